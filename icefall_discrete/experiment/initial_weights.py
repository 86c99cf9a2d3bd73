"""Training that begins with weights of another one: of an experiment, or of a checkpoint, ours or icefall's."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from torch import Tensor

from icefall_discrete.base.provenance import digest_of_file
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.targets.contract import Targets
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, files_of, load_weights, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.icefall_checkpoints import read_weights
from icefall_discrete.nn.code_embedding import FeatureNormalizer
from icefall_discrete.nn.frame_network import FrameNetwork
from icefall_discrete.nn.loading import require_finite
from icefall_discrete.systems.asr.icefall_names import from_icefall, is_icefalls
from icefall_discrete.systems.contract import system_stages
from icefall_discrete.systems.training_settings import InitialConfig, TrainSettings

# The part of a network that means the features, and those that mean what is learnt: of another spec, or of other
# targets, their weights mean nothing even where shapes fit.
_OF_FEATURES = "input_embedding"
_OF_ENCODER = (_OF_FEATURES, "front_end", "encoder", "augment")


class _Source(NamedTuple):
    """Weights, the files they come from, and what they were trained on and for, where that is known."""

    weights: Dict[str, Tensor]
    files: List[Path]
    spec: Optional[FeatureSpec] = None
    targets: Optional[Targets] = None
    is_icefalls: bool = False


class Beginning(NamedTuple):
    """The files that weights came from, and a sentence about what was taken."""

    files: List[Path]
    said: str


def _read(place: Path) -> _Source:
    if place.is_dir():
        experiment = Experiment(place)
        choice = resolve_choice(CheckpointChoice(), place)
        weights, files = load_weights(choice, place), files_of(choice, place)
        return _Source(weights, files, experiment.spec(), experiment.targets())
    weights = read_weights(place)
    if is_icefalls(weights):
        return _Source(from_icefall(weights), [place], is_icefalls=True)
    return _Source(weights, [place])


def begin_with(network: FrameNetwork, config: InitialConfig, spec: FeatureSpec, targets: Targets) -> Beginning:
    """Give `network` the weights that `config` names, if it names any.

    Args:
      spec, targets: what is trained on, and what is learnt.
    Raises:
      FileNotFoundError, ValueError: if there are no such weights, or they do not fit; what could be taken is named.
    """
    if not config.init_from:
        return Beginning([], "Begins with new weights.")
    place = Path(config.init_from)
    if not place.exists():
        raise FileNotFoundError(f"--init-from {place} does not exist; give an experiment folder or a checkpoint.")
    source = _read(place)
    own = network.state_dict()
    if source.is_icefalls and isinstance(network.input_embedding, FeatureNormalizer):
        # icefall's features are as they are: without their mean and deviation taken off.
        plain = {"mean": own[f"{_OF_FEATURES}.mean"] * 0, "scale": own[f"{_OF_FEATURES}.scale"] * 0 + 1}
        source.weights.update({f"{_OF_FEATURES}.{name}": value for name, value in plain.items()})
    parts = list(dict.fromkeys(name.partition(".")[0] for name in own))
    reasons = {part: _why_not(part, own, source, spec, targets) for part in parts}
    wanted = list(config.init_modules) or parts
    unknown = [part for part in wanted if part not in parts]
    if unknown:
        raise ValueError(f"--init-modules {unknown[0]}: the network has no such part; its parts: {', '.join(parts)}.")
    refused = [part for part in wanted if reasons[part]]
    if refused:
        fitting = ",".join(part for part in parts if not reasons[part])
        advice = f"take what does with --init-modules {fitting}" if fitting else "begin with other weights"
        raise ValueError(f"{place}: {refused[0]} does not fit ({reasons[refused[0]]}); {advice}.")
    taken = {name: value for name, value in source.weights.items() if name.partition(".")[0] in wanted and name in own}
    require_finite(taken, str(place))
    network.load_state_dict({**own, **taken})
    anew = ", ".join(part for part in parts if part not in wanted)
    said = f"Begins with {', '.join(wanted)} of {', '.join(map(str, source.files))}{anew and f'; anew: {anew}'}."
    return Beginning(source.files, said)


def try_beginning(
    settings: TrainSettings, spec: FeatureSpec, targets: Targets, codebooks: Optional[Sequence[Tensor]]
) -> Dict[str, Any]:
    """What a record of a run that begins so says of its weights: {"init": digests by path}.

    Raises:
      FileNotFoundError, ValueError: as `begin_with`, on a network that is let go of again.
    """
    network = system_stages(settings.system).network(settings, spec, targets, codebooks)
    beginning = begin_with(network, settings.init, spec, targets)
    return {"init": {str(path): digest_of_file(path) for path in beginning.files}}


def _why_not(part: str, own: Mapping[str, Tensor], source: _Source, spec: FeatureSpec, targets: Targets) -> str:
    """Why a part of the network cannot be taken from the source; empty if it can."""
    names = [name for name in own if name.partition(".")[0] == part]
    for name in names:
        if name not in source.weights:
            return f"it has no {name}"
        if source.weights[name].shape != own[name].shape:
            return f"its {name} is {tuple(source.weights[name].shape)}, here {tuple(own[name].shape)}"
    if part == _OF_FEATURES and source.spec is not None and source.spec.differences(spec):
        changed = ", ".join(source.spec.differences(spec))
        return f"it was trained on other features, which differ in {changed}"
    if part not in _OF_ENCODER and source.targets is not None and not source.targets.means_the_same(targets):
        return "it was trained for other pieces or classes"
    return ""
