"""Where the files of a decoding lie: `<exp>/<method>/<kind>-<set>-<suffix>.txt`, named as icefall names them."""

from pathlib import Path
from typing import List, NamedTuple, Tuple

from icefall_discrete.base.atomic_files import PathLike
from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.provenance import STRICT, Provenance, Rules, read_record, recorded_in
from icefall_discrete.decoding.k2_settings import k2_setting_parts
from icefall_discrete.decoding.methods import k2_methods
from icefall_discrete.decoding.settings import DecodeConfig, setting_parts


def decoding_suffix(checkpoints: str, averaged: bool, config: DecodeConfig, context_size: int) -> str:
    """icefall's suffix: `checkpoints`, the settings of the search that change its result, and the kind of average."""
    parts = [checkpoints]
    if config.decoding_method in k2_methods():
        parts += k2_setting_parts(config.decoding_method, config)
        parts += [f"nbest-{config.nbest}"] if config.nbest > 1 else []
    elif "beam_search" in config.decoding_method:
        parts.append(f"_{config.decoding_method}__beam-size-{config.beam_size}")
        parts += setting_parts(config)
    elif config.decoding_method == "greedy_search":
        parts += [f"context-{context_size}", f"max-sym-per-frame-{config.max_sym_per_frame}"]
    if config.blank_penalty:
        parts.append(f"blank-penalty-{config.blank_penalty}")
    if averaged:
        parts.append("use-averaged-model")
    return "_".join(parts)


class DecodingFiles(NamedTuple):
    """Paths of one decoding: its folder (of the method) and its suffix."""

    folder: Path
    suffix: str

    def recogs(self, split: str) -> Path:
        """Transcripts of a set."""
        return self.folder / f"recogs-{split}-{self.suffix}.txt"

    def errs(self, split: str) -> Path:
        """Error statistics of a set."""
        return self.folder / f"errs-{split}-{self.suffix}.txt"

    def page(self, split: str) -> Path:
        """Errors of a set to read and listen to."""
        return self.folder / f"errors-{split}-{self.suffix}.html"

    def languages(self, split: str) -> Path:
        """Languages that were said in the cuts of a set, where labels tell languages apart."""
        return self.folder / f"languages-{split}-{self.suffix}.txt"

    def wer_summary(self, split: str) -> Path:
        """Word error rate of a set."""
        return self.folder / f"wer-summary-{split}-{self.suffix}.txt"

    def nbest(self, split: str) -> Path:
        """Several hypotheses of each cut of a set, with scores and times."""
        return self.folder / f"nbest-{split}-{self.suffix}.jsonl"

    def record(self, split: str) -> Path:
        """What the transcripts were made from, how fast and where: JSON, written after them."""
        return self.folder / f"decode-{split}-{self.suffix}.json"

    def is_decoded(self, split: str, made_from: Provenance, rules: Rules = STRICT) -> bool:
        """Whether the set was decoded from exactly this before, but for what the rules allow."""
        path = self.record(split)
        if not path.is_file() or not self.recogs(split).is_file():
            return False
        return made_from.is_same(recorded_in(read_record(path, "made_from"), path), rules)

    @property
    def pointer(self) -> Path:
        """Says which suffix and sets of this method were decoded last: JSON {"suffix", "splits"}."""
        return self.folder / "last-decoded.json"


def decoding_files(exp_dir: PathLike, method: str, suffix: str) -> DecodingFiles:
    """The files of decoding method `method` with `suffix`."""
    return DecodingFiles(Path(exp_dir) / method, suffix)


def last_decoded(exp_dir: PathLike, method: str) -> Tuple[DecodingFiles, List[str]]:
    """The files and the sets that were decoded last with `method`. Raises FileNotFoundError if there are none."""
    pointer = decoding_files(exp_dir, method, "").pointer
    if not pointer.is_file():
        raise FileNotFoundError(f"{pointer} does not exist; decode {exp_dir} with --decoding-method {method} first.")
    last = read_json(pointer)
    return decoding_files(exp_dir, method, last["suffix"]), last["splits"]
