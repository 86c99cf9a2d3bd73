"""Checkpoints of ESPnet's recognisers of units (asr2): read as data, and made into an experiment folder."""

import dataclasses
import logging
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Tuple

from torch import Tensor

from icefall_discrete.base.atomic_files import new_folder, write_bytes
from icefall_discrete.base.feature_types import find_feature_conf, read_feature_settings
from icefall_discrete.base.guarded_pickle import read_checkpoint, tensors_of
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.provenance import Provenance, digest_of_file
from icefall_discrete.data.targets.pieces import FILE_NAME, PieceTargets
from icefall_discrete.decoding.joint_settings import ATTENTION, JOINT
from icefall_discrete.experiment.espnet_config import EspnetConfig
from icefall_discrete.experiment.folder import TOKENIZER_DIR, Experiment
from icefall_discrete.experiment.transcription_files import RECIPE_FILE, save_tokenizer
from icefall_discrete.nn.loading import require_finite
from icefall_discrete.systems.asr.espnet_names import SOURCE_TABLE, Vocabularies, from_espnet
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.systems.asr.stages import AsrStages
from icefall_discrete.text.espnet_pieces import label_rows, text_pieces
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.formats.espnet_units import EspnetUnits, read_units
from icefall_discrete.tokenizers.unit_bpe import UnitBpeConfig, UnitBpeTokenizer
from icefall_discrete.training.averages import save_averaged

LOG = logging.getLogger(__name__)
_EXPECTED = "give a checkpoint of ESPnet, such as valid.acc.ave.pth"
_SHOWN_UNITS = 8
_ESPNETS_BEAM = 20  # of its recipes; the weights of the two heads in the search are our default


@dataclasses.dataclass(frozen=True)
class Beside:
    """What a checkpoint of ESPnet does not hold.

    pieces, unit_pieces: the sentencepiece models of the text and of the units. units: feature type of the units, a name
    or a path. kmeans: file of their centroids, or "" if the feature type says it. deduplicate: whether repeated units
    were removed (`rm`). codes_per_sec: average rate of the source tokens.
    """

    pieces: Path
    unit_pieces: Path
    units: str
    kmeans: str
    deduplicate: bool
    codes_per_sec: float


class Converted(NamedTuple):
    """What was made: settings of the model, and the units that the training of pieces never saw."""

    settings: Dict[str, Any]
    unseen: List[int]


def read_weights(path: Path) -> Dict[str, Tensor]:
    """The weights of a checkpoint of ESPnet, of one epoch or an average, or those within checkpoint.pth.

    Raises ValueError, naming the file, if it has none.
    """
    loaded = read_checkpoint(path, advice=_EXPECTED)
    state = loaded["model"] if isinstance(loaded, dict) and isinstance(loaded.get("model"), dict) else loaded
    return tensors_of(state, str(path))


def write_experiment(
    exp_dir: Path, path: Path, weights: Mapping[str, Tensor], config: EspnetConfig, beside: Beside
) -> Converted:
    """Make `exp_dir` an experiment folder with the weights as averaged.pt: decode.py and transcribe take it.

    Args:
      path: where the weights come from. Settings of the training that are not the model's have our defaults.
    Raises:
      ValueError: if weights, configuration, pieces and units do not belong together; the folder is not made then.
    """
    require_finite(weights, str(path))
    with new_folder(exp_dir) as unfinished:
        tokenizer, units = _tokenizer(unfinished / TOKENIZER_DIR, config, beside)
        pieces = unfinished / FILE_NAME
        write_bytes(pieces, text_pieces(beside.pieces, config.tokens))
        targets = PieceTargets(TextEncoder(pieces))
        vocabularies = Vocabularies(
            units.rows, label_rows(len(config.tokens)), len(config.source_tokens), len(config.tokens)
        )
        ours = from_espnet(weights, vocabularies, str(path))
        settings = _settings(weights, config, path)
        network = AsrStages().network(settings, tokenizer.spec, targets, None)
        network.load_trained(ours, str(path))
        taken = network.state_dict()
        left = [name for name in ours if name not in taken]
        if left:
            LOG.warning(f"{path}: {', '.join(left[:3])} and others, {len(left)}, had no loss; they are left out.")
        Experiment(unfinished).start(settings, tokenizer.spec, targets, None)
        save_tokenizer(tokenizer, unfinished)
        save_averaged(unfinished, taken, Provenance({path.name: digest_of_file(path)}))
        write_json(unfinished / RECIPE_FILE, {"decode": _search(config)})
    return Converted(settings.to_dict()["model"], units.unseen)


def _tokenizer(folder: Path, config: EspnetConfig, beside: Beside) -> Tuple[UnitBpeTokenizer, EspnetUnits]:
    """The tokenizer of ESPnet's pieces of units, with its state in the new `folder`."""
    conf = find_feature_conf(beside.units)
    values = read_feature_settings(conf)
    if beside.kmeans:
        if not Path(beside.kmeans).is_file():
            raise FileNotFoundError(f"centroids {beside.kmeans} do not exist; correct --kmeans.")
        values["kmeans_path"] = str(Path(beside.kmeans).resolve())
    folder.mkdir()
    write_json(folder / conf.name, values)
    base = load_tokenizer(folder / conf.name, (), folder / conf.stem)
    if not base.is_fitted:
        raise ValueError(f"feature type {conf.stem} names no centroids; give those of the checkpoint with --kmeans.")
    sizes = base.spec.codebook_sizes
    if len(sizes) != 1:
        raise ValueError(
            f"feature type {conf.stem} has {len(sizes)} codebooks, expected one of units; give that of the "
            "checkpoint's units, such as wavlm_large_l21_km2000."
        )
    units = read_units(beside.unit_pieces, config.source_tokens, sizes[0])
    if units.unseen:
        shown = ", ".join(map(str, units.unseen[:_SHOWN_UNITS])) + (" ..." if len(units.unseen) > _SHOWN_UNITS else "")
        LOG.warning(
            f"{len(units.unseen)} of {sizes[0]} units are in no piece alone ({shown}); they are <unk>, as there."
        )
    kept = "rm" if beside.deduplicate else "ts"
    settings = UnitBpeConfig(conf.stem, beside.deduplicate, len(units.rows), units.model_type)
    name = f"{conf.stem}_{kept}_bpe{len(config.source_tokens)}"
    tokenizer = UnitBpeTokenizer(name, settings, folder, (folder,))
    tokenizer.adopt(units.model, beside.codes_per_sec, folder)
    return tokenizer, units


def _size(weights: Mapping[str, Tensor], name: str, axis: int, path: Path) -> int:
    """The size of a weight along an axis."""
    if name not in weights:
        raise ValueError(f"{path} lacks the weight '{name}'; expected an E-Branchformer recogniser of ESPnet's asr2.")
    if weights[name].dim() <= axis:
        raise ValueError(f"{path}: '{name}' is {tuple(weights[name].shape)}, expected more than {axis} axes.")
    return weights[name].shape[axis]


def _num_layers(weights: Mapping[str, Tensor], start: str) -> int:
    return len({name[len(start) :].split(".")[0] for name in weights if name.startswith(start)})


def _settings(weights: Mapping[str, Tensor], config: EspnetConfig, path: Path) -> TrainSettings:
    """The settings of the experiment, as shapes and configuration tell them."""
    rates, first = config.dropouts, "encoder.encoders.0."
    encoder = {
        "kind": "e_branchformer",
        "dim": _size(weights, "encoder.after_norm.weight", 0, path),
        "num_layers": _num_layers(weights, "encoder.encoders."),
        "num_heads": _size(weights, f"{first}attn.pos_bias_u", 0, path),
        "feedforward_dim": _size(weights, f"{first}feed_forward.w_1.weight", 0, path),
        "cgmlp_dim": _size(weights, f"{first}cgmlp.channel_proj1.0.weight", 0, path),
        "cgmlp_kernel": _size(weights, f"{first}cgmlp.csgu.conv.weight", 2, path),
        "merge_kernel": _size(weights, f"{first}depthwise_conv_fusion.weight", 2, path),
        "dropout": [rates["encoder"].get("dropout_rate", 0.1)],
        "attention_dropout": rates["encoder"].get("attention_dropout_rate", 0.0),
        "positional_dropout": rates["encoder"].get("positional_dropout_rate", 0.1),
    }
    inputs = {
        "embedding_dim": _size(weights, SOURCE_TABLE, 1, path),
        "input_positions": True,
        "input_positions_dropout": rates["frontend"].get("positional_dropout_rate", 0.1),
    }
    front_end = {"kind": "espnet_conv1d", "stride": config.stride}
    model = {"input": inputs, "front_end": front_end, "encoder": encoder, "heads": _heads(weights, config, path)}
    loss = {
        "transducer_loss_scale": 0.0,
        "ctc_loss_scale": config.ctc_weight,
        "attention_decoder_loss_scale": 1.0 - config.ctc_weight,
        "label_smoothing": config.label_smoothing,
    }
    return TrainSettings.from_dict({"model": model, "loss": loss}, str(path))


def _heads(weights: Mapping[str, Tensor], config: EspnetConfig, path: Path) -> Dict[str, Any]:
    if config.ctc_weight == 1.0:
        return {}
    decoder = {
        "attention_decoder_dim": _size(weights, "decoder.embed.0.weight", 1, path),
        "attention_decoder_num_layers": _num_layers(weights, "decoder.decoders."),
        "attention_decoder_num_heads": config.decoder_heads,
        "attention_decoder_feedforward_dim": _size(weights, "decoder.decoders.0.feed_forward.w_1.weight", 0, path),
        "attention_decoder_activation": "relu",
        "attention_decoder_dropout": config.dropouts["decoder"].get("dropout_rate", 0.1),
    }
    return {"attention_decoder": decoder}


def _search(config: EspnetConfig) -> Dict[str, Any]:
    """What the model is decoded with if nothing else is said: the heads that it has, with ESPnet's beam."""
    if config.ctc_weight == 1.0:
        return {"decoding_method": "ctc_prefix_beam_search", "beam_size": _ESPNETS_BEAM}
    return {"decoding_method": JOINT if config.ctc_weight > 0 else ATTENTION, "beam_size": _ESPNETS_BEAM}
