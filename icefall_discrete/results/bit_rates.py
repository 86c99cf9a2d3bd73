"""The table of bit rates, from specs alone."""

from typing import Iterable

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.base.text_tables import markdown_table

SOURCE = "Yang et al. 2024, https://arxiv.org/abs/2309.07377, Table 1"


def published_specs() -> Iterable[FeatureSpec]:
    """The inputs whose bandwidth SOURCE gives, with what they promise."""
    return (
        FeatureSpec("fbank", "continuous", 16000, 100.0, 0, (), 80),
        FeatureSpec("wavlm_large_l21_km2000", "codes", 16000, 50.0, 1, (2000,), 0),
        FeatureSpec("hubert_large_l24_km2000", "codes", 16000, 50.0, 1, (2000,), 0),
        FeatureSpec("encodec_6kbps", "codes", 24000, 75.0, 8, (1024,) * 8, 0),
        FeatureSpec("vq_wav2vec", "codes", 16000, 100.0, 2, (320,) * 2, 0),
    )


def _frame(spec: FeatureSpec) -> str:
    if spec.kind == "continuous":
        return f"{spec.feature_dim} x 32 bits"
    counts = {size: spec.codebook_sizes.count(size) for size in spec.codebook_sizes}
    return " + ".join(f"{count} x {size}" for size, count in counts.items())


def bit_rate_table(specs: Iterable[FeatureSpec]) -> str:
    """A Markdown table of frame rate, codebooks and nominal kbit/s: frame rate x sum of log2 V (32 bits a float)."""
    header = ["feature type", "frames a second", "frame", "kbit/s"]
    return markdown_table(
        header,
        [[spec.name, f"{spec.frame_rate_hz:g}", _frame(spec), f"{spec.bits_per_second / 1000:.2f}"] for spec in specs],
    )
