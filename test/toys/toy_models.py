"""A small model of every kind of part, and the codes that it reads."""

from toy_settings import model_config

from icefall_discrete.base.spec import FeatureSpec

CODES = FeatureSpec("toy", "codes", 16000, 50.0, 2, (10, 12), 0)
CONFIG = model_config(
    downsampling_factor=(1, 2),
    encoder_dim=(32, 48),
    num_encoder_layers=(1, 1),
    encoder_unmasked_dim=(32,),
    num_heads=(2,),
    query_head_dim=(8,),
    value_head_dim=(8,),
    feedforward_dim=(64,),
    cnn_module_kernel=(7,),
    front_end="conv1d",
    embedding_dim=16,
    decoder_dim=24,
    joiner_dim=20,
    inner_ctc_stacks=(0,),
)
