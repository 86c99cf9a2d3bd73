"""What a system that is trained on codes or features of utterances offers to the stages of a recipe.

A system is a folder here; `stages.py` in it defines one subclass of SystemStages, which is found by looking through the
folders. A recipe names its system, `{"system": "classification", ...}`; one that names none trains a recogniser.
"""

import abc
import importlib.util
from pathlib import Path
from typing import Any, Dict, Generic, Mapping, Optional, Sequence, Type, Union

from lhotse import CutSet
from torch import Tensor

from icefall_discrete.base.json_files import as_json
from icefall_discrete.base.names import known_names
from icefall_discrete.base.registry import find_class, packages_in
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import Completion, complete
from icefall_discrete.data.loaders import Cuts
from icefall_discrete.data.shar import SharSource
from icefall_discrete.systems import DEFAULT_SYSTEM
from icefall_discrete.systems.prediction import N, Prediction, S, T
from icefall_discrete.training.system import System


class SystemStages(abc.ABC, Generic[S, N, T]):
    """How the stages make the parts of a system from settings S, network N and targets T, which they need not know."""

    settings: Type[S]
    """Sections of its recipes."""
    prediction: Prediction[Any, Any, S, N, T]
    """What it does once it is trained."""

    @abc.abstractmethod
    def targets(self, settings: S, train: Union[CutSet, SharSource], lang_dir: Optional[Path]) -> T:
        """What is learnt, for a run that begins.

        Args:
          train: the training cuts. lang_dir: folder with text pieces, or None.
        Raises:
          ValueError: if it needs the folder and there is none.
        """

    @abc.abstractmethod
    def load_targets(self, exp_dir: Path) -> T:
        """What was learnt in an experiment folder."""

    @abc.abstractmethod
    def network(self, settings: S, spec: FeatureSpec, targets: T, codebooks: Optional[Sequence[Tensor]]) -> N:
        """The network with initial weights; `codebooks` are the tokenizer's, or None."""

    @abc.abstractmethod
    def system(self, network: N, settings: S, spec: FeatureSpec, targets: T, backend: str) -> System:
        """The network with its losses; `backend` is "k2" or "torch", resolved."""

    def num_views(self, settings: S) -> int:
        """How often a training batch holds each utterance, each time augmented in another way."""
        return 1

    def uses_unlabelled(self, settings: S) -> bool:
        """Whether training has use for utterances whose labels are not used."""
        return False

    def unlabelled_batches(self, settings: S, epoch: int) -> int:
        """How many batches of such follow each batch with labels in epoch number `epoch` (from 1)."""
        return 0

    def with_more(self, settings: S, cuts: CutSet, spec: FeatureSpec, feature_dir: Path, split: str) -> CutSet:
        """The cuts of a split with what else of the folder of codes belongs to them, such as codes of their sources.

        Raises:
          FileNotFoundError, ValueError: if it is not there, or does not belong to them.
        """
        return cuts

    def completion(self, settings: S, spec: FeatureSpec, targets: T) -> Completion:
        """What batches hold besides frames and facts, such as audio."""
        return complete

    def cuts_of_epoch(self, settings: S, cuts: Cuts, spec: FeatureSpec, epoch: int) -> Cuts:
        """The training cuts, of `spec`, as epoch number `epoch` (from 1) has them, such as parts of them."""
        return cuts


def known_systems() -> Dict[str, str]:
    """Systems that recipes can name, each with the path of its module `stages`."""
    folders = {path.rpartition(".")[-1]: f"{path}.stages" for path in packages_in(__name__.rpartition(".")[0])}
    return {name: path for name, path in folders.items() if importlib.util.find_spec(path) is not None}


def system_stages(name: str) -> SystemStages[Any, Any, Any]:
    """What the system called `name` offers. Raises ValueError if there is none; the known ones are listed."""
    if not isinstance(name, str) or name not in known_systems():
        raise ValueError(f"unknown system {as_json(name)}; {known_names(sorted(known_systems()), str(name))}")
    return find_class(known_systems(), name, SystemStages)()


def stages_of(recipe: Mapping[str, Any]) -> SystemStages[Any, Any, Any]:
    """What the system of a recipe, or of a config.json, offers. Raises ValueError if it is unknown."""
    return system_stages(recipe.get("system", DEFAULT_SYSTEM))
