"""Where the files of a decoding lie: `<exp>/<method>/<kind>-<set>-<suffix>.txt`, named as icefall names them."""

import dataclasses
from pathlib import Path

from icefall_discrete.base.atomic_files import PathLike
from icefall_discrete.decoding.k2_settings import k2_setting_parts
from icefall_discrete.decoding.methods import METHODS, k2_methods
from icefall_discrete.decoding.settings import DecodeConfig, setting_parts
from icefall_discrete.systems.prediction import OutputFiles


def decoding_suffix(checkpoints: str, averaged: bool, config: DecodeConfig, context_size: int) -> str:
    """icefall's suffix: `checkpoints`, the settings of the search that change its result, and the kind of average."""
    parts = [checkpoints]
    if config.decoding_method in k2_methods():
        parts += k2_setting_parts(config.decoding_method, config)
        parts += [f"nbest-{config.nbest}"] if config.nbest > 1 else []
    elif "beam_size" in METHODS[config.decoding_method].settings:
        parts.append(f"_{config.decoding_method}__beam-size-{config.beam_size}")
        parts += setting_parts(config)
    elif config.decoding_method == "greedy_search":
        parts += [f"context-{context_size}", f"max-sym-per-frame-{config.max_sym_per_frame}"]
    if config.blank_penalty and "blank_penalty" in METHODS[config.decoding_method].settings:
        parts.append(f"blank-penalty-{config.blank_penalty}")
    if config.emit_unk:
        parts.append("emit-unk")
    if averaged:
        parts.append("use-averaged-model")
    return "_".join(parts)


@dataclasses.dataclass(frozen=True)
class DecodingFiles(OutputFiles):
    """Paths of one decoding of a recogniser, in icefall's words."""

    def said(self, split: str) -> Path:
        """Transcripts of a set."""
        return self.recogs(split)

    def recogs(self, split: str) -> Path:
        """Transcripts of a set."""
        return self.folder / f"recogs-{split}-{self.suffix}.txt"

    def texts(self, split: str) -> Path:
        """What was said and recognised in a set, with the spaces of the texts."""
        return self.folder / f"texts-{split}-{self.suffix}.jsonl"

    def errs(self, split: str) -> Path:
        """Error statistics of a set."""
        return self.folder / f"errs-{split}-{self.suffix}.txt"

    def languages(self, split: str) -> Path:
        """Languages that were said in the cuts of a set, where labels tell languages apart."""
        return self.folder / f"languages-{split}-{self.suffix}.txt"

    def wer_summary(self, split: str) -> Path:
        """Word error rate of a set."""
        return self.folder / f"wer-summary-{split}-{self.suffix}.txt"

    def nbest(self, split: str) -> Path:
        """Several hypotheses of each cut of a set, with scores and times."""
        return self.folder / f"nbest-{split}-{self.suffix}.jsonl"


def decoding_files(exp_dir: PathLike, method: str, suffix: str) -> DecodingFiles:
    """The files of decoding method `method` with `suffix`."""
    return DecodingFiles(Path(exp_dir) / method, suffix)
