"""How a trained system is used on the cuts of a split: what the stages of decoding and scoring need of it."""

import abc
import dataclasses
import time
from pathlib import Path
from typing import (
    Any,
    Callable,
    ClassVar,
    Dict,
    Generic,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Type,
    TypeVar,
    cast,
)

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from tqdm import tqdm

from icefall_discrete.base.atomic_files import PathLike
from icefall_discrete.base.device import device_setting, resolve
from icefall_discrete.base.environment import peak_memory_mib
from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.inside import path_inside
from icefall_discrete.base.provenance import STRICT, Provenance, Rules, read_record, recorded_in
from icefall_discrete.base.settings import MOST_THREADS, from_dict, setting, to_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.base.text_files import read_text
from icefall_discrete.data.cuts import num_frames
from icefall_discrete.data.dataset import Batch
from icefall_discrete.data.loaders import LoaderConfig, make_test_batches
from icefall_discrete.data.targets.contract import Targets
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.nn.frame_network import FrameNetwork, FrameNetworkConfig
from icefall_discrete.systems.training_settings import TrainSettings

Json = Dict[str, Any]
C = TypeVar("C")
S = TypeVar("S", bound=TrainSettings)
N = TypeVar("N", bound=FrameNetwork)
T = TypeVar("T", bound=Targets)
Said = TypeVar("Said")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """How decoding runs; it does not change what is recognised."""

    max_duration: float = setting(200.0, "largest total duration of a batch, in seconds of audio", above=0)
    device: str = device_setting("where it decodes")
    num_threads: int = setting(0, "threads of torch; 0: as the environment says", minimum=0, maximum=MOST_THREADS)

    def torch_device(self) -> torch.device:
        """The device to decode on. Raises ValueError if CUDA is asked for and absent."""
        return resolve(self.device, "decoding")


@dataclasses.dataclass(frozen=True)
class Trained(Generic[S, N, T]):
    """A trained network with all that belongs to it, in evaluation mode."""

    exp_dir: Path
    settings: S
    spec: FeatureSpec
    targets: T
    network: N


@dataclasses.dataclass(frozen=True)
class OutputFiles:
    """Paths of one decoding: its folder, named by the method, and its suffix, `<kind>-<set>-<suffix>`."""

    folder: Path
    suffix: str

    def said(self, split: str) -> Path:
        """What was said of the cuts of a set: the file that must be there for the set to count as decoded."""
        raise NotImplementedError

    def page(self, split: str) -> Path:
        """Errors of a set for a person to read."""
        return self.folder / f"errors-{split}-{self.suffix}.html"

    def record(self, split: str) -> Path:
        """What it was made from, how fast and where: JSON, written last."""
        return self.folder / f"decode-{split}-{self.suffix}.json"

    def is_decoded(self, split: str, made_from: Provenance, rules: Rules = STRICT) -> bool:
        """Whether the set was decoded from exactly this before, but for what the rules allow."""
        path = self.record(split)
        if not path.is_file() or not self.said(split).is_file():
            return False
        return made_from.is_same(recorded_in(read_record(path, "made_from"), path), rules)

    @property
    def pointer(self) -> Path:
        """Says which suffix and sets of this method were decoded last: JSON {"suffix", "splits"}."""
        return self.folder / "last-decoded.json"


F = TypeVar("F", bound=OutputFiles)
Kind = TypeVar("Kind", bound=OutputFiles)


class Prediction(abc.ABC, Generic[C, F, S, N, T]):
    """What a system does with cuts once it is trained, as settings `C` say; its output are files `F`.

    S, N and T are the settings of its training, its network and its targets, as those of SystemStages.
    """

    files: Type[F]

    @abc.abstractmethod
    def add_flags(self, parser: ScriptParser) -> None:
        """Add the flags of its settings."""

    @abc.abstractmethod
    def read_settings(self, recipe: Mapping[str, Any], where: str, args: Any) -> C:
        """Its settings: the defaults, over them what a recipe says (`where` is its file), then the flags.

        Raises:
          ValueError: if there is no such setting, or it cannot be.
        """

    @abc.abstractmethod
    def noted(self, config: C) -> Json:
        """The settings that the result depends on, for its record."""

    def method(self, asked: str) -> str:
        """Name of the folder for what --decoding-method asks for."""
        return asked

    def kind(self, method: str) -> Type[F]:
        """What the files in the folder of a method are."""
        return self.files

    @abc.abstractmethod
    def output(self, exp_dir: Path, settings: S, config: C, checkpoints: str, averaged: bool) -> F:
        """The files of a decoding with `checkpoints`, as file names write them, `averaged` over all of their steps."""

    def inputs(self, config: C) -> List[Path]:
        """Files besides network and cuts that the result depends on."""
        return []

    @abc.abstractmethod
    def predict(self, split: str, trained: Trained[S, N, T], cuts: CutSet, config: C, run: RunConfig, files: F) -> Json:
        """Write what is said of the cuts; return the facts of `predict_cuts`, and others for the record."""

    @abc.abstractmethod
    def score(self, split: str, files: F, feature_dir: Path, rules: ScoringRules) -> Json:
        """Figures of a set by name (metrics/facts.py), over all and by "languages"; further files and lines of it."""

    def last(self, exp_dir: PathLike, asked: str) -> Tuple[F, List[str]]:
        """The files and the sets that were decoded last. Raises FileNotFoundError if there are none."""
        folder = Path(exp_dir) / self.method(asked)
        kind = self.kind(folder.name)
        pointer = kind(folder, "").pointer
        if not pointer.is_file():
            how = f" with --decoding-method {folder.name}" if self.method(asked) else ""
            raise FileNotFoundError(f"{pointer} does not exist; decode {exp_dir}{how} first.")
        last = read_record(pointer, "suffix", "splits")
        suffix, splits = last["suffix"], last["splits"]
        if not isinstance(splits, list) or not splits or not all(isinstance(one, str) for one in (suffix, *splits)):
            raise ValueError(f"{pointer}: expected a text as 'suffix' and a list of texts as 'splits'; decode again.")
        for split in splits:
            path_inside(folder, f"{split}-{suffix}", f"{pointer}: the name of a decoding")
        return kind(folder, suffix), splits

    def last_of(self, kind: Type[Kind], exp_dir: PathLike, asked: str, otherwise: str) -> Tuple[Kind, List[str]]:
        """`last`, of a system whose files are of a `kind`.

        Raises ValueError if they are of another: `otherwise` is the end of a sentence about the folder.
        """
        if not issubclass(self.kind(self.method(asked)), kind):
            raise ValueError(f"{exp_dir} {otherwise}.")
        files, splits = self.last(exp_dir, asked)
        return cast(Kind, files), splits


class SearchlessPrediction(Prediction[C, F, S, N, T]):
    """A prediction of one kind, without a search.

    Class attributes a subclass sets, besides `files`:
      folder: name of the folder of what is said, and of the method.
      config, section: its settings, and where a recipe has them.
      searchless: why section `decode` of a recipe is refused, the end of a sentence.
    """

    folder: ClassVar[str]
    config: Type[C]
    section: ClassVar[str] = "synthesis"
    searchless: ClassVar[str]

    def add_flags(self, parser: ScriptParser) -> None:
        """Those of its settings."""
        add_flags(parser, self.config, self.section)

    def read_settings(self, recipe: Mapping[str, Any], where: str, args: Any) -> C:
        """Its section of the recipe, over it the flags. Raises ValueError for settings of a search."""
        require_no_search(recipe, where, self.searchless)
        return override(from_dict(self.config, recipe.get(self.section, {}), where), args, self.section)

    def noted(self, config: C) -> Json:
        """All of them."""
        return to_dict(config)

    def method(self, asked: str) -> str:
        """There is but one."""
        return self.folder

    def output(self, exp_dir: Path, settings: S, config: C, checkpoints: str, averaged: bool) -> F:
        """`<exp>/<folder>`, with the checkpoints as suffix."""
        return self.files(exp_dir / self.folder, with_average(checkpoints, averaged))


def require_no_search(recipe: Mapping[str, Any], where: str, reason: str) -> None:
    """Raise ValueError if a recipe, of the file `where`, has settings of a search; reason: why there is none."""
    if recipe.get("decode"):
        raise ValueError(f"{where}: section decode chooses a search, and {reason}; leave it away.")


def with_average(checkpoints: str, averaged: bool) -> str:
    """A suffix that says whether checkpoints were averaged over all of their steps."""
    return checkpoints + ("_use-averaged-model" if averaged else "")


def in_batches(
    predict: Callable[[Batch], Sequence[Said]], cuts: Sequence[Cut], spec: FeatureSpec, run: RunConfig
) -> Iterator[Tuple[str, Said]]:
    """Cut id and what is said of it, by a function from a batch to what is said of each of its utterances."""
    if cuts:
        for batch in make_test_batches(CutSet.from_cuts(cuts), LoaderConfig(max_duration=run.max_duration), spec):
            yield from zip(batch["cut_ids"], predict(batch))


def predict_cuts(
    say: Callable[[List[Cut]], Iterable[Tuple[str, Said]]],
    model: FrameNetworkConfig,
    cuts: CutSet,
    spec: FeatureSpec,
    title: Optional[str] = None,
) -> Tuple[Dict[str, Said], Json]:
    """What is said of every cut; nothing of one that is too short for the network.

    Args:
      say: gives cut ids and what is said of them. model: shape of the network. spec: what the cuts hold.
      title: of the progress bar; None shows no bar.
    Returns:
      what is said by cut id, and facts: num_utterances, num_too_short (and `too_short`, their ids), audio_sec,
      wall_sec, decode_rtf (their ratio; the reading of codes is in it) and peak_memory_mib.
    """
    every = list(cuts)
    short = [cut.id for cut in every if model.num_encoder_frames(num_frames(cut, spec), spec) < 1]
    unheard = set(short)
    seconds = {cut.id: cut.duration for cut in every}
    audio_sec = sum(seconds.values())
    found: Dict[str, Said] = {}
    began = time.monotonic()
    with tqdm(total=round(audio_sec), desc=title, unit="s audio", disable=title is None) as bar:
        for cut_id, said in say([cut for cut in every if cut.id not in unheard]):
            found[cut_id] = said
            bar.update(round(seconds[cut_id]))
    wall_sec = time.monotonic() - began
    return found, {
        "num_utterances": len(every),
        "num_too_short": len(short),
        "too_short": short,
        "audio_sec": audio_sec,
        "wall_sec": wall_sec,
        "decode_rtf": wall_sec / audio_sec if audio_sec else None,
        "peak_memory_mib": peak_memory_mib(),
    }


def predict_batches(
    predict: Callable[[Batch], Sequence[Said]],
    model: FrameNetworkConfig,
    cuts: CutSet,
    spec: FeatureSpec,
    run: RunConfig,
    title: Optional[str] = None,
) -> Tuple[Dict[str, Said], Json]:
    """As `predict_cuts`, by a function from a batch to what is said of each of its utterances."""
    return predict_cuts(lambda kept: in_batches(predict, kept, spec, run), model, cuts, spec, title)


def rows_of_split(path: PathLike) -> Iterator[Tuple[int, List[str]]]:
    """The columns of each line that was written for a split, with its number. Raises FileNotFoundError."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; decode the split first.")
    for number, text in enumerate(read_text(path).splitlines(), start=1):
        yield number, text.split("\t")
