"""Pieces of units that ESPnet trained: its characters become ours, its places in the token list rows of a table.

ESPnet writes unit i as the character U+4E00 + i and lets sentencepiece take an utterance for a word, so that its first
piece has, or is, the sign of a word's beginning. Before all pieces its network puts `<sos/eos>`. Both stay, as pieces
that stand for no unit. A unit that the training of pieces never saw is `<unk>` there; here it is a piece of its own,
with the vector of `<unk>`.
"""

from pathlib import Path
from typing import List, NamedTuple, Sequence, Set

from icefall_discrete.text.espnet_pieces import BOS_PIECE, UNKNOWN_PENALTY, Kind, Piece, read_listed, rebuilt
from icefall_discrete.text.pieces import UNK_PIECE
from icefall_discrete.text.words import WORD_START
from icefall_discrete.tokenizers.formats.unit_pieces import MAX_UNITS, MODEL_TYPES, as_characters

_FIRST_CHARACTER = 0x4E00
_KINDS = dict(zip((1, 2), MODEL_TYPES))


class EspnetUnits(NamedTuple):
    """A model of pieces as unit_pieces.py reads it.

    model: serialised. rows: of each piece, its place in ESPnet's token list. model_type: unigram or bpe.
    unseen: the units that are `<unk>` there.
    """

    model: bytes
    rows: List[int]
    model_type: str
    unseen: List[int]


def read_units(path: Path, tokens: Sequence[str], num_units: int) -> EspnetUnits:
    """Read the model of the source token list `tokens` of a checkpoint.

    Raises:
      FileNotFoundError: if there is no such file. ValueError: if it is no such model, or has other units than those
        below `num_units`.
    """
    if num_units > MAX_UNITS:
        raise ValueError(f"{num_units} units, but pieces can be made of at most {MAX_UNITS}; use fewer clusters.")
    model, model_type, listed = read_listed(path, tokens)
    if model_type not in _KINDS:
        raise ValueError(f"{path} is of sentencepiece's model type {model_type}, expected {MODEL_TYPES[0]} or bpe.")
    ours: List[Piece] = []
    seen: Set[int] = set()
    for piece in listed:
        units = _units_in(piece.text, path, num_units)
        begins_word = piece.text.startswith(WORD_START)
        if len(units) == 1 and not begins_word:
            seen.add(units[0])
        ours.append(piece._replace(text=WORD_START * begins_word + as_characters(units)))
    unseen = [unit for unit in range(num_units) if unit not in seen]
    lowest = min(piece.score for piece in listed) - UNKNOWN_PENALTY
    special = [Piece(UNK_PIECE, 0.0, Kind.UNKNOWN), Piece(BOS_PIECE, 0.0, Kind.CONTROL)]
    pieces = [*special, *ours, *(Piece(as_characters([unit]), lowest) for unit in unseen)]
    rows = [len(tokens) - 1, *range(2, len(tokens) - 1), *[1] * len(unseen)]
    return EspnetUnits(rebuilt(model, pieces, without_rules=True), rows, _KINDS[model_type], unseen)


def _units_in(piece: str, path: Path, num_units: int) -> List[int]:
    units = [ord(character) - _FIRST_CHARACTER for character in piece.removeprefix(WORD_START)]
    outside = [unit for unit in units if not 0 <= unit < num_units]
    if outside:
        raise ValueError(
            f"{path} has the piece {piece!r}, with a character that is none of {num_units} units (U+4E00 and on); give "
            "the pieces of units that the checkpoint was trained with, and the feature type of those units."
        )
    return units
