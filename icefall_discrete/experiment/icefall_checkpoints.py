"""Checkpoints of icefall's zipformer recipe: read as data, and made into an experiment folder that all stages take."""

import dataclasses
import logging
from pathlib import Path
from typing import Any, Dict, Mapping, NamedTuple

from torch import Tensor

from icefall_discrete.base.atomic_files import new_folder
from icefall_discrete.base.guarded_pickle import CHECKPOINT_RECORDS, read_checkpoint, tensors_of
from icefall_discrete.base.provenance import Provenance, digest_of_file
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.transcription_files import save_tokenizer
from icefall_discrete.losses.transducer_loss import LossConfig
from icefall_discrete.nn.encoders.zipformer import ZipformerConfig
from icefall_discrete.nn.loading import require_finite
from icefall_discrete.systems.asr.icefall_names import from_icefall, inferred_settings, is_icefalls
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.systems.asr.stages import AsrStages
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.training.averages import save_averaged

LOG = logging.getLogger(__name__)
# Packages of what icefall saves beside the weights: its parameters, the state of samplers, optimiser and schedule.
_RECORDS = (
    *CHECKPOINT_RECORDS,
    *("collections", "datetime", "icefall", "k2", "lhotse", "optim", "random", "sentencepiece", "torch.optim"),
)
_EXPECTED = "a checkpoint of icefall, epoch-*.pt or pretrained.pt"
# Weights that only losses use; pretrained.pt of some recipes lacks them.
_OF_LOSSES = ("simple_am_proj.", "simple_lm_proj.")
_OF_PARALLEL = "module."  # before each name, where a model was saved from within DistributedDataParallel
# What the weights do not tell, as it must be so that they mean what icefall's code made of them: no projection of the
# filter bank, no vectors learned for it.
_INPUT = {"input": {"embedding_dim": 0}, "front_end": "conv2d"}


def read_loaded(path: Path) -> Any:
    """What a checkpoint holds, of icefall, of ours or of fairseq; ValueError, naming the file, if it is damaged."""
    return read_checkpoint(path, _RECORDS, advice=f"give {_EXPECTED}")


def weights_in(loaded: Any, path: Path) -> Dict[str, Tensor]:
    """The weights of a checkpoint of icefall or of ours, as read from `path`; ValueError, naming it, if it has none."""
    is_bare = isinstance(loaded, dict) and bool(loaded) and all(isinstance(value, Tensor) for value in loaded.values())
    if not isinstance(loaded, dict) or not (is_bare or "model" in loaded):
        raise ValueError(f"{path} has no 'model'; expected {_EXPECTED}.")
    weights = tensors_of(loaded if is_bare else loaded["model"], f"{path}, 'model',")
    within = all(name.startswith(_OF_PARALLEL) for name in weights)
    return {name.removeprefix(_OF_PARALLEL) if within else name: value for name, value in weights.items()}


def read_weights(path: Path) -> Dict[str, Tensor]:
    """The weights of a checkpoint of icefall or of ours; ValueError, naming the file, if it has none."""
    return weights_in(read_loaded(path), path)


class Converted(NamedTuple):
    """Weights under our names, and the settings that their shapes tell."""

    weights: Dict[str, Tensor]
    settings: Dict[str, Any]


def under_our_names(weights: Mapping[str, Tensor], path: Path, pos_head_dim: int) -> Converted:
    """The weights of `path` under our names, whichever they have; ValueError if they are of no Zipformer transducer.

    pos_head_dim: positional dimension of a head, which shapes do not tell.
    """
    try:
        ours = from_icefall(weights) if is_icefalls(weights) else dict(weights)
        return Converted(ours, inferred_settings(ours, pos_head_dim))
    except KeyError as error:
        raise ValueError(f"{path} lacks the weight {error}; expected a Zipformer transducer of icefall.") from None
    except (ArithmeticError, AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no Zipformer transducer of icefall ({str(error).rstrip('.')}).") from None


@dataclasses.dataclass(frozen=True)
class Beside:
    """What a checkpoint of icefall does not hold.

    pieces: bpe.model of its lang folder. feature_type: filter banks as it had them.
    """

    pieces: Path
    feature_type: str


def write_experiment(exp_dir: Path, path: Path, converted: Converted, beside: Beside) -> None:
    """Make `exp_dir` an experiment folder with the weights as averaged.pt: decode.py and transcribe take it.

    Args:
      path: where the weights come from. Settings that leave no trace in weights (schedules, chunk sizes) have defaults.
    Raises:
      ValueError: if pieces, features and weights do not belong together, or the folder holds anything.
    """
    tokenizer = load_tokenizer(beside.feature_type, ())
    spec = tokenizer.spec
    if spec.kind != "continuous":
        raise ValueError(f"--feature-type {spec.name} gives codes; icefall's checkpoints are of filter banks (fbank).")
    targets = PieceTargets(TextEncoder(beside.pieces))
    told = dict(converted.settings)
    vocab_size = told.pop("vocab_size", targets.size)
    if vocab_size != targets.size:
        raise ValueError(f"{path} has {vocab_size} pieces, {beside.pieces} {targets.size}; give its own bpe.model.")
    settings = _settings(converted.weights, told, path)
    network = AsrStages().network(settings, spec, targets, None)
    initial = network.state_dict()
    absent = [name for name in initial if name not in converted.weights]
    taken = [name for name in absent if name.startswith(("input_embedding.", *_OF_LOSSES))]
    if any(name.startswith(_OF_LOSSES) for name in taken):
        LOG.warning(f"{path} lacks {', '.join(_OF_LOSSES)}, which only training uses; they begin anew.")
    weights = {**converted.weights, **{name: initial[name] for name in taken}}
    require_finite(weights, str(path))
    network.load_trained(weights, str(path))
    with new_folder(exp_dir) as unfinished:
        Experiment(unfinished).start(settings, spec, targets, None)
        save_tokenizer(tokenizer, unfinished)
        save_averaged(unfinished, weights, Provenance({path.name: digest_of_file(path)}))


def _settings(weights: Mapping[str, Tensor], told: Mapping[str, Any], path: Path) -> TrainSettings:
    """The settings of the experiment; the losses are those whose heads there are."""
    dims, unmasked = told["encoder_dim"], ZipformerConfig().encoder_unmasked_dim
    if len(unmasked) != len(dims):
        unmasked = dims
    model = {**_INPUT, **told, "encoder_unmasked_dim": [min(pair) for pair in zip(unmasked, dims)]}
    return TrainSettings.from_dict({"model": model, "loss": _losses(weights)}, str(path))


def _losses(weights: Mapping[str, Tensor]) -> Dict[str, float]:
    scales = LossConfig()
    present = {head: any(name.startswith(f"{head}.") for name in weights) for head in ("predictor", "ctc_output")}
    transducer = scales.transducer_loss_scale if present["predictor"] else 0.0
    ctc = (scales.ctc_loss_scale if present["predictor"] else 1.0) if present["ctc_output"] else 0.0
    return {"transducer_loss_scale": transducer, "ctc_loss_scale": ctc}
