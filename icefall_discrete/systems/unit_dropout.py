"""BPE dropout of units: the pieces of a feature type, from which other divisions are drawn in training."""

from pathlib import Path
from typing import Optional

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.tokenizers.formats.piece_sampling import PieceSampler
from icefall_discrete.tokenizers.unit_bpe import MODEL_FILE, read_pieces


def piece_sampler(tokenizer_dir: Path, spec: FeatureSpec, config: Optional[AugmentConfig]) -> Optional[PieceSampler]:
    """What draws other pieces for the units of an utterance; None if `config` does not want that.

    Args:
      tokenizer_dir: the folder `tokenizer` of the features. spec: of the features.
    Raises:
      ValueError: if the features are no pieces of units, or the folder's pieces are not theirs.
    """
    if config is None or config.unit_bpe_alpha == 0:
        return None
    sha256 = spec.provenance.get("pieces_sha256")
    if not sha256:
        raise ValueError(
            f"unit_bpe_alpha is {config.unit_bpe_alpha}, but the codes of feature type '{spec.name}' are no pieces of "
            "units; set it to 0, or use a feature type such as ..._rm_bpe5000."
        )
    path = tokenizer_dir / MODEL_FILE
    if not path.is_file():
        raise ValueError(f"{path} is missing, from which unit_bpe_alpha draws; run stage 3 again, which writes it.")
    return PieceSampler(read_pieces(path, sha256)[0], config.unit_bpe_alpha)
