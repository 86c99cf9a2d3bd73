"""Shapes of published networks, as transformers' configurations say them."""

# wav2vec 2.0 and HuBERT, large.
PUBLISHED_LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
