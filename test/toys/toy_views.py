"""Feature types of a few clusters on filter banks and MFCCs at two rates, what is made of them, and a model of them."""

import json

from toy_settings import model_config

from icefall_discrete.tokenizers import load_tokenizer

CONFS = {
    "slow": {"tokenizer": "fbank_kmeans", "num_clusters": 8, "num_mel_bins": 20, "frame_shift_sec": 0.02},
    "fast": {"tokenizer": "mfcc_kmeans", "num_clusters": 6, "frame_shift_sec": 0.01},
    "units": {"tokenizer": "unit_bpe", "base": "slow"},
    "pieces": {"tokenizer": "unit_bpe", "base": "slow", "bpe_vocab_size": 16},
    "pieces_of_frames": {"tokenizer": "unit_bpe", "base": "fast", "deduplicate": False, "bpe_vocab_size": 16},
    "continuous": {"tokenizer": "fbank"},
}

TINY_MODEL = model_config(
    downsampling_factor=(1, 2),
    encoder_dim=(24, 32),
    num_encoder_layers=(1, 1),
    encoder_unmasked_dim=(24,),
    num_heads=(2,),
    query_head_dim=(8,),
    value_head_dim=(8,),
    feedforward_dim=(32,),
    cnn_module_kernel=(7,),
    front_end="conv1d",
    embedding_dim=16,
    decoder_dim=16,
    joiner_dim=16,
)


def write_confs(folder):
    """Write the feature types to a conf dir and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in CONFS.items():
        small = {"fit_memory_mib": 8} if values["tokenizer"].endswith("_kmeans") else {}
        (folder / f"{name}.json").write_text(json.dumps({**values, **small}))
    return folder


def fitted(feature_type, folder, audio):
    """Write the conf dir below `folder`, fit there and return the tokenizer as it is loaded afterwards."""
    conf, state_dir = write_confs(folder / "conf"), folder / "state"
    load_tokenizer(feature_type, [conf], state_dir).fit(audio, state_dir, seed=1)
    return load_tokenizer(feature_type, [conf], state_dir)


def paths_of(folder, *names):
    """Paths of feature types, written to `folder`: settings that name those need no conf dir."""
    conf = write_confs(folder)
    return [str(conf / f"{name}.json") for name in names]
