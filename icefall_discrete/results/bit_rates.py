"""The table of bit rates, from specs alone."""

from typing import Any, Dict, Iterable

from icefall_discrete import CONF_DIR
from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.base.text_tables import markdown_table

SOURCE = "Yang et al. 2024, https://arxiv.org/abs/2309.07377, Table 1"


# What the weights of SOURCE's codecs decide and no settings file says: frames a second, entries of a codebook.
_OF_WEIGHTS = {"encodec_6kbps": (75.0, 1024), "vq_wav2vec": (100.0, 320)}
_SSL_FRAME_RATE_HZ, _VQ_WAV2VEC_GROUPS = 50.0, 2


def published_specs() -> Iterable[FeatureSpec]:
    """The inputs whose bandwidth SOURCE gives, with what their settings files and weights promise."""
    fbank = _settings("fbank")
    yield FeatureSpec("fbank", "continuous", 16000, 1.0 / fbank["frame_shift_sec"], 0, (), fbank["num_mel_bins"])
    for name in ("wavlm_large_l21_km2000", "hubert_large_l24_km2000"):
        yield FeatureSpec(name, "codes", 16000, _SSL_FRAME_RATE_HZ, 1, (_settings(name)["num_clusters"],), 0)
    rate, size = _OF_WEIGHTS["encodec_6kbps"]
    num_codebooks = _settings("encodec_6kbps")["num_codebooks"]
    yield FeatureSpec("encodec_6kbps", "codes", 24000, rate, num_codebooks, (size,) * num_codebooks, 0)
    rate, size = _OF_WEIGHTS["vq_wav2vec"]
    yield FeatureSpec("vq_wav2vec", "codes", 16000, rate, _VQ_WAV2VEC_GROUPS, (size,) * _VQ_WAV2VEC_GROUPS, 0)


def _settings(feature_type: str) -> Dict[str, Any]:
    return read_json(CONF_DIR / "features" / f"{feature_type}.json")


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
