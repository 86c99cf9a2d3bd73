"""Settings with which tokenizers train a network of their own in a second."""

from icefall_discrete.systems.codec.config import CodecConfig
from icefall_discrete.systems.masked_prediction.config import MaskedPredictionConfig

SMALL_CODEC = CodecConfig(
    channels=(4, 8, 8, 12),
    state_dim=8,
    num_codebooks=2,
    codebook_size=16,
    codebook_dim=4,
    max_steps=3,
    batch_sec=0.5,
    segment_sec=0.25,
    plain_steps=1,
    kmeans_batches=3,
    fit_device="cpu",
)
SMALL_HUBERT = MaskedPredictionConfig(
    num_layers=2, layer=2, dim=16, num_heads=2, ffn_dim=32, position_kernel=5, position_groups=4, fit_memory_mib=1,
    teacher_clusters=(4, 6), steps=(3, 3), warmup_steps=2, batch_sec=3.0, num_clusters=8, device="cpu",
)  # fmt: skip
