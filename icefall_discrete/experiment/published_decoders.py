"""Published language models, folders of transformers, for trainings that begin with their weights: grown by our ids.

LLaMA, Qwen2 and GPT-2 (nn/decoder/transformers_names.py). A model of text and speech gets the vectors of the model's
pieces as well; what the model has no vectors of, marks and units, begins near the mean of those that it has.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

from torch import Tensor

from icefall_discrete.base.json_files import read_object
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.targets.contract import Targets
from icefall_discrete.data.targets.worded_codes import WordedCodes
from icefall_discrete.nn.decoder.config import DecoderConfig
from icefall_discrete.nn.decoder.transformers_names import HEAD, KINDS, TOKENS, decoder_of, decoder_weights, is_tied
from icefall_discrete.nn.frame_network import FrameNetwork
from icefall_discrete.systems.speech_lm.steps import Steps
from icefall_discrete.systems.speech_lm.vocabulary import MARKS, Vocabulary
from icefall_discrete.systems.unit_lm.network import UnitLm
from icefall_discrete.text.published_pieces import FILE, PublishedPieces
from icefall_discrete.tokenizers.formats.pretrained import model_type_of
from icefall_discrete.tokenizers.frames.ssl import folder_weights, weight_files

TABLE, SCORES, LAYERS = "input_embedding.table", "head.weight", "decoder."
_CONFIG = "config.json"
# What a training chooses for itself: no weight depends on it.
_FREE = ("dropout", "attention_dropout", "context")


class PublishedDecoder(NamedTuple):
    """weights: by our names; tokens, scores: vectors (V, D) of its ids, and those that score them, None if tied."""

    weights: Dict[str, Tensor]
    tokens: Tensor
    scores: Optional[Tensor]
    files: List[Path]
    config: Mapping[str, Any]
    folder: Path

    @property
    def shape(self) -> DecoderConfig:
        """Its layers as our settings."""
        return decoder_of(self.config, str(self.folder / _CONFIG))


def is_decoder(folder: Path) -> bool:
    """Whether a folder of transformers holds a language model that can be read."""
    return model_type_of(folder) in KINDS


def read_decoder(folder: Path) -> PublishedDecoder:
    """Read a folder; nothing in it is run. Raises FileNotFoundError, ValueError if something lacks or cannot be."""
    config, state = read_object(folder / _CONFIG), folder_weights(folder)
    if config.get("model_type") == "gpt2" and not any(name.startswith("transformer.") for name in state):
        state = {f"transformer.{name}": value for name, value in state.items()}  # as those of the hub are named
    found = decoder_weights(config, state, str(folder))
    tokens, scores = found.pop(TOKENS), found.pop(HEAD, None)
    weights = {f"{LAYERS}{name}": value for name, value in found.items()}
    return PublishedDecoder(weights, tokens, scores, weight_files(folder), config, folder)


def size_of(published: DecoderConfig, tied: bool) -> Dict[str, Any]:
    """What a file of a model size says for it: the settings that differ from the defaults."""
    default = DecoderConfig()
    differing = {
        field.name: getattr(published, field.name)
        for field in dataclasses.fields(DecoderConfig)
        if getattr(published, field.name) != getattr(default, field.name)
    }
    return {"tied": tied, "decoder": differing}


def require_decoder_fits(network: FrameNetwork, published: PublishedDecoder) -> UnitLm:
    """The network. Raises ValueError where it would do something else with the weights; what to set is named."""
    where, theirs = published.folder, published.shape
    if not isinstance(network, UnitLm):
        raise ValueError(f"{where} is a language model; begin with it a recipe of system unit_lm or speech_lm.")
    ours = network.config.decoder
    wanted = dataclasses.replace(theirs, **{name: getattr(ours, name) for name in _FREE})
    resolved = dataclasses.replace(wanted, num_key_heads=ours.num_key_heads, feedforward_dim=ours.feedforward_dim)
    same_sizes = ours.key_heads == wanted.key_heads and ours.hidden_dim == wanted.hidden_dim
    if ours != resolved or not same_sizes:
        said = json.dumps(size_of(theirs, is_tied(published.config)))
        raise ValueError(
            f"{where} has other layers than the recipe; let its section model, or its model size, say {said}"
        )
    if ours.context > theirs.context or (ours.positions == "learned" and ours.context != theirs.context):
        raise ValueError(
            f"context is {ours.context}, but {where} knows {theirs.context} places; set --model.decoder.context to that"
            f"{'' if ours.positions == 'learned' else ' or less'}."
        )
    if network.config.tied and published.scores is not None:
        raise ValueError(f"{where} has vectors of its own for scores; set --tied false.")
    return network


def grown_weights(
    published: PublishedDecoder, network: FrameNetwork, spec: FeatureSpec, targets: Targets
) -> Dict[str, Tensor]:
    """Weights of the network: the model's layers, and where texts are divided as it does, vectors of all ids.

    Args:
      network: with initial weights. spec: of the codes. targets: what is learnt of them.
    Raises:
      ValueError: if the network has another shape, texts are divided otherwise, or the model knows other units.
    """
    network = require_decoder_fits(network, published)
    if not isinstance(targets, WordedCodes):
        return published.weights  # units alone: none of its ids means anything
    _require_own_pieces(published, targets)
    table, dim = network.input_embedding.table, published.shape.dim
    if table.shape[1] != dim:
        raise ValueError(
            f"{published.folder} has vectors of {dim} dimensions, here pieces have {table.shape[1]}; set "
            "--codebook-combination sum, --codebook-dim 0 and --embedding-dim 0."
        )
    steps = Steps.of(network, Vocabulary(spec.codebook_sizes, targets.text))
    sources = _sources(steps, published)
    weights = {**published.weights, TABLE: _grown(table, published.tokens, sources)}
    if network.head is not None:
        known = published.tokens if published.scores is None else published.scores
        weights[SCORES] = _grown(network.head.weight, known, sources)
    return weights


def _require_own_pieces(published: PublishedDecoder, targets: WordedCodes) -> None:
    own = PublishedPieces.read(published.folder) if (published.folder / FILE).is_file() else None
    if own is None or not own.means_the_same(targets.text):
        what = "bytes" if not isinstance(targets.text, PublishedPieces) else targets.text.where
        raise ValueError(
            f"texts are divided as {what}, but {published.folder} learnt its own pieces; give --text-pieces "
            f"{published.folder} (with its {FILE}), or take its layers alone with --init-modules decoder."
        )
    if own.size > len(published.tokens):
        raise ValueError(
            f"{own.where} has ids up to {own.size - 1}, but {published.folder} has vectors for "
            f"{len(published.tokens)}: they are of different models; fetch both anew."
        )


def _sources(steps: Steps, published: PublishedDecoder) -> List[Optional[int]]:
    """For each id of the first stream that of the model, or None for a new one; END, the last, begins a text there."""
    words, together = steps.outline, bool(steps.frames_per_step)
    named = [words.text.id_of(name) for name in (MARKS if together else words.names)]
    units = named[len(MARKS) :]
    num_known = sum(one is not None for one in units)
    beyond = words.text.id_of(f"<{len(units)}>") is not None and len(words.codebook_sizes) == 1
    if together:
        named, beyond = [*named, None], False  # no token of the model is a frame
    if num_known and (num_known < len(units) or beyond):
        raise ValueError(
            f"{published.folder} has tokens of {'more than ' * beyond}{num_known} units, and the codes are "
            f"{len(units)}; take the feature type that it was trained with."
        )
    begins = published.config.get("bos_token_id")
    end = begins if isinstance(begins, int) and begins < len(published.tokens) else None
    return [*range(words.text.size), *named, end]


def _grown(fresh: Tensor, known: Tensor, sources: List[Optional[int]]) -> Tensor:
    """Rows for our ids: known ones, and the mean of these with the noise of fresh ones for those that are new.

    Rows behind those of `sources`, of padding and of codes that are one step together, are as they were.
    """
    rows, known = fresh.detach().clone(), known.to(fresh)
    rows[: len(sources)] += known.mean(dim=0)
    old = [place for place, source in enumerate(sources) if source is not None]
    rows[old] = known[[source for source in sources if source is not None]]
    return rows
