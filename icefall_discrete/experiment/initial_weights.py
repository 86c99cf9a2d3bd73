"""Training that begins with weights of another: an experiment, a checkpoint, ours or icefall's, a published network."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.provenance import digest_of_file
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.targets.contract import Targets
from icefall_discrete.data.targets.worded_codes import WordedCodes
from icefall_discrete.experiment.checkpoint_choice import files_of, load_weights, resolve_choice
from icefall_discrete.experiment.folder import TAKEN, Experiment
from icefall_discrete.experiment.icefall_checkpoints import read_loaded, weights_in
from icefall_discrete.experiment.published_decoders import (
    PublishedDecoder,
    grown_weights,
    is_decoder,
    read_decoder,
)
from icefall_discrete.experiment.published_encoders import (
    Published,
    is_published,
    read_published,
    require_fits,
    with_mask_vector,
)
from icefall_discrete.experiment.published_roberta import (
    PublishedRoberta,
    checkpoint_of,
    published_roberta,
    weights_for,
)
from icefall_discrete.experiment.transcription_files import kept_settings
from icefall_discrete.nn.acoustic_encoder import AcousticEncoder, AcousticEncoderConfig
from icefall_discrete.nn.adaptation import changes_of, merged_weights, names_of_changes, plain_name
from icefall_discrete.nn.code_embedding import FeatureNormalizer
from icefall_discrete.nn.frame_network import FrameNetwork
from icefall_discrete.nn.loading import require_finite
from icefall_discrete.systems.asr.icefall_names import from_icefall, is_icefalls
from icefall_discrete.systems.contract import system_stages
from icefall_discrete.systems.training_settings import FITTING, InitialConfig, TrainSettings
from icefall_discrete.systems.unit_lm.network import ModelConfig as UnitLmConfig

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
    published: Optional[Published] = None
    decoder: Optional[PublishedDecoder] = None
    roberta: Optional[PublishedRoberta] = None


class Beginning(NamedTuple):
    """The files that weights came from, a sentence about what was taken, and the parts that were."""

    files: List[Path]
    said: str
    taken: Tuple[str, ...]


def _read(place: Path) -> _Source:
    if place.is_dir() and is_published(place):
        if is_decoder(place):
            decoder = read_decoder(place)
            return _Source({}, decoder.files, decoder=decoder)
        published = read_published(place)
        return _Source(published.weights, published.files, published=published)
    checkpoint = checkpoint_of(place) if place.is_dir() else place
    if checkpoint is None:
        experiment = Experiment(place)
        experiment.settings()  # of a folder that holds no experiment, that is to be said, not what it lacks
        choice = resolve_choice(kept_settings(place)[0], place)
        weights, files = load_weights(choice, place), files_of(choice, place)
        return _Source(merged_weights(weights), files, experiment.spec(), experiment.targets())
    loaded = read_loaded(checkpoint)
    roberta = published_roberta(loaded, checkpoint)
    if roberta is not None:
        return _Source({}, [checkpoint], roberta=roberta)
    weights = weights_in(loaded, checkpoint)
    if is_icefalls(weights):
        return _Source(from_icefall(weights), [checkpoint], is_icefalls=True)
    return _Source(merged_weights(weights), [checkpoint])


def _places(network: FrameNetwork, source: _Source) -> Dict[str, str]:
    """The network's weights that another may have, by their names in a network that nothing adapts."""
    changes = names_of_changes(network)
    return {plain_name(name): name for name in network.state_dict() if name not in changes or name in source.weights}


def begin_with(
    network: FrameNetwork, config: InitialConfig, spec: FeatureSpec, targets: Targets, place: Optional[Path] = None
) -> Beginning:
    """Give `network` the weights that `config` names, if it names any.

    Adapters and changes of low rank begin anew, but for adapters that the source has as well.

    Args:
      spec, targets: what is trained on, and what is learnt. place: where what `config` names lies, if elsewhere.
    Raises:
      FileNotFoundError, ValueError: if there are no such weights, or they do not fit; what could be taken is named.
    """
    if not config.init_from:
        return Beginning([], "Begins with new weights.", ())
    place = place or Path(config.init_from)
    if not place.exists():
        raise FileNotFoundError(f"--init-from {place} does not exist; give an experiment folder or a checkpoint.")
    source = _read(place)
    own = network.state_dict()
    if source.published is not None:
        require_fits(network, source.published, spec, str(place))
        source.weights.update(with_mask_vector(source.published, own))
    if source.decoder is not None:
        source.weights.update(grown_weights(source.decoder, network, spec, targets))
    if source.roberta is not None:
        source.weights.update(weights_for(network, source.roberta, spec, str(place)))
    places = _places(network, source)
    if source.is_icefalls and isinstance(network.input_embedding, FeatureNormalizer):
        # icefall's features are as they are: without their mean and deviation taken off.
        plain = {"mean": own[f"{_OF_FEATURES}.mean"] * 0, "scale": own[f"{_OF_FEATURES}.scale"] * 0 + 1}
        source.weights.update({f"{_OF_FEATURES}.{name}": value for name, value in plain.items()})
    shapes = {name: own[place_of_it].shape for name, place_of_it in places.items()}
    needed = {name: shape for name, shape in shapes.items() if name in source.weights or not _may_be_new(network, name)}
    reasons = {part: _why_not(part, needed, source, spec, targets) for part in network.parts}
    taken = _parts_to_take(config, network.parts, reasons, str(place))
    weights = {name: value for name, value in source.weights.items() if _part(name) in taken and name in places}
    require_finite(weights, str(place))
    network.load_state_dict({**own, **{places[name]: value for name, value in weights.items()}})
    return Beginning(source.files, _said(network.parts, taken, reasons, source, places), taken)


def _part(name: str) -> str:
    return name.partition(".")[0]


def _may_be_new(network: FrameNetwork, name: str) -> bool:
    """Whether a weight of the encoder does no harm as it is at first."""
    config = network.config if isinstance(network, AcousticEncoder) else None
    return config is not None and name.startswith(tuple(f"encoder.{one}." for one in config.encoder.may_begin_anew))


def _parts_to_take(
    config: InitialConfig, parts: Sequence[str], reasons: Mapping[str, str], place: str
) -> Tuple[str, ...]:
    fitting = tuple(part for part in parts if not reasons[part])
    if config.init_modules == (FITTING,):
        if not fitting:
            raise ValueError(
                f"{place}: nothing of it fits ({parts[0]}: {reasons[parts[0]]}); begin with other weights."
            )
        return fitting
    wanted = config.init_modules or tuple(parts)
    unknown = [part for part in wanted if part not in parts]
    if unknown:
        raise ValueError(f"--init-modules {unknown[0]}: the network has no such part; its parts: {', '.join(parts)}.")
    refused = [part for part in wanted if reasons[part]]
    if refused:
        advice = f"take what does with --init-modules {','.join(fitting)}" if fitting else "begin with other weights"
        raise ValueError(f"{place}: {refused[0]} does not fit ({reasons[refused[0]]}); {advice}.")
    return tuple(wanted)


def _said(
    parts: Sequence[str], taken: Sequence[str], reasons: Mapping[str, str], source: _Source, places: Mapping[str, str]
) -> str:
    """What was taken, what is new, and what was left where it was, in a sentence."""
    sentence = f"Begins with {', '.join(taken)} of {', '.join(map(str, source.files))}"
    anew = [f"{part}{reasons[part] and f' ({reasons[part]})'}" for part in parts if part not in taken]
    sentence += f"; anew: {', '.join(anew)}" if anew else ""
    left = [name for name in source.weights if name not in places]
    whole = [part for part in dict.fromkeys(map(_part, left)) if part not in parts]
    inner = [name for name in left if _part(name) in taken]
    whole += [f"{len(inner)} weights, such as {inner[0]}"] if inner else []
    return f"{sentence}; left there: {', '.join(whole)}." if whole else f"{sentence}."


def require_something_to_adapt(settings: TrainSettings) -> None:
    """Raise ValueError if adapters, LoRA or frozen steps are asked for, and no weights that they are for.

    Frozen steps stand in recipes of fine-tuning, of which a flag says later what they begin with.
    """
    model = settings.model
    if settings.init.frozen_steps and not settings.init.init_from:
        raise ValueError(
            f"frozen_steps is {settings.init.frozen_steps} and would keep random weights: init_from does not say what "
            "to begin with; give --init-from, or set it to 0."
        )
    if (
        isinstance(model, (AcousticEncoderConfig, UnitLmConfig))
        and model.adaptation.is_on
        and not settings.init.init_from
    ):
        raise ValueError(
            f"adapter_dim is {model.adaptation.adapter_dim} and lora_r {model.adaptation.lora_r}, but init_from names "
            "no weights to adapt; give --init-from, or set both to 0."
        )


def keep_parts(network: FrameNetwork, config: InitialConfig, taken: Sequence[str]) -> List[str]:
    """Let parts of the network be as they began; a sentence about what learns, none if all does.

    Args:
      taken: parts that were taken from elsewhere; where adapters or changes of low rank learn, these do not.
    """
    kept = list(dict.fromkeys([*config.frozen_modules, *(taken if changes_of(network) else ())]))
    if not kept:
        return []
    network.keep(kept)
    sizes = [value.numel() for value in network.parameters()]
    learning = [value.numel() for value in network.parameters() if value.requires_grad]
    if not learning:
        raise ValueError(f"nothing would learn: all parts are kept ({', '.join(kept)}); leave some out.")
    share = 100 * sum(learning) / sum(sizes)
    return [f"{sum(learning)} of {sum(sizes)} weights learn ({share:.3g} %); kept: {', '.join(kept)}."]


def try_beginning(
    settings: TrainSettings,
    spec: FeatureSpec,
    targets: Targets,
    codebooks: Optional[Sequence[Tensor]],
    place: Optional[Path] = None,
) -> Dict[str, Any]:
    """What a record of a run that begins so says of its weights: {"init": digests by path, "taken": parts}.

    Raises:
      FileNotFoundError, ValueError: as `begin_with`, on a network that is let go of again.
    """
    network = system_stages(settings.system).network(settings, spec, targets, codebooks)
    beginning = begin_with(network, settings.init, spec, targets, place)
    keep_parts(network, settings.init, beginning.taken)
    return {"init": {str(path): digest_of_file(path) for path in beginning.files}, TAKEN: list(beginning.taken)}


def _why_not(part: str, own: Mapping[str, torch.Size], source: _Source, spec: FeatureSpec, targets: Targets) -> str:
    """Why a part of the network cannot be taken from the source; empty if it can."""
    for name in (name for name in own if _part(name) == part):
        if name not in source.weights:
            return f"it has no {name}"
        if source.weights[name].shape != own[name]:
            return f"its {name} is {tuple(source.weights[name].shape)}, here {tuple(own[name])}"
    if part == _OF_FEATURES and source.spec is not None and source.spec.differences(spec):
        changed = ", ".join(source.spec.differences(spec))
        return f"it was trained on other features, which differ in {changed}"
    means_texts = part not in _OF_ENCODER or isinstance(targets, WordedCodes)  # whose input has pieces of them, too
    if means_texts and source.targets is not None and not source.targets.means_the_same(targets):
        return "it was trained for other pieces or classes"
    return ""
