"""Sentencepiece models that ESPnet trained, with pieces in another order: that of its token lists, or of ours.

ESPnet's token lists begin with `<blank>` and `<unk>`, end in `<sos/eos>`, and have the model's pieces between. How a
model divides a text does not depend on the order of its pieces.
"""

import enum
from pathlib import Path
from typing import Any, List, NamedTuple, Sequence

from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2

from icefall_discrete.text.pieces import SPECIAL_PIECES, UNK_ID, UNK_PIECE

BLANK, SOS_EOS = "<blank>", "<sos/eos>"
BOS_PIECE = "<s>"  # as sentencepiece calls it
# An unknown stretch costs so many nats more than the least probable piece; sentencepiece's own number.
UNKNOWN_PENALTY = 10.0
# Symbols without a score and in angle brackets would be taken for the tokens of languages.
_NEARLY_NO_SCORE = -1e-6
_PROTO: Any = sentencepiece_model_pb2  # its classes are made when it is imported, so that no checker knows them


class Kind(enum.IntEnum):
    """What a piece is, by sentencepiece's numbers."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4


class Piece(NamedTuple):
    """A piece of a model; score: its log-prob in nats, or minus the number of merges before its own."""

    text: str
    score: float
    kind: int = Kind.NORMAL


class ListedPieces(NamedTuple):
    """A model of ESPnet, and its pieces in the order of the token list, where the first of them has the id 2.

    model: serialised. model_type: sentencepiece's number, 1 for unigram, 2 for bpe.
    """

    model: bytes
    model_type: int
    pieces: List[Piece]


def _parsed(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give the sentencepiece model of the checkpoint.")
    model = _PROTO.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError:
        raise ValueError(f"{path} is not a sentencepiece model that can be read; copy it anew.") from None
    if not any(piece.type == Kind.UNKNOWN for piece in model.pieces):
        raise ValueError(f"{path} is not a sentencepiece model: it has no unknown piece; copy it anew.")
    return model


def read_listed(path: Path, tokens: Sequence[str]) -> ListedPieces:
    """Read the model of a token list.

    Raises:
      FileNotFoundError: if there is no such file. ValueError: if it is no model, or another one than that of the list.
    """
    model = _parsed(path)
    ends = (list(tokens[:2]), tokens[-1]) if len(tokens) > 3 else ([], "")
    if ends != ([BLANK, UNK_PIECE], SOS_EOS):
        raise ValueError(
            f"the token list of {path} has {len(tokens)} tokens, expected {BLANK}, {UNK_PIECE}, the pieces, {SOS_EOS}; "
            "give the config.yaml that ESPnet wrote."
        )
    pieces = [Piece(piece.piece, piece.score, piece.type) for piece in model.pieces]
    own = {piece.text: piece for piece in pieces if piece.kind not in (Kind.UNKNOWN, Kind.CONTROL)}
    listed = tokens[2:-1]
    foreign = [token for token in listed if token not in own] or [name for name in own if name not in set(listed)]
    if foreign or len(set(listed)) < len(listed):
        what = f"{foreign[0]!r} is in one of them only" if foreign else "a token stands twice in the list"
        raise ValueError(
            f"{path} has {len(own)} pieces, the checkpoint's token list {len(listed)} beside the special ones, and "
            f"{what}; give the sentencepiece model that the checkpoint was trained with."
        )
    return ListedPieces(model.SerializeToString(), model.trainer_spec.model_type, [own[token] for token in listed])


def rebuilt(model: bytes, pieces: Sequence[Piece], without_rules: bool = False) -> bytes:
    """The serialised model with these pieces in place of its own.

    without_rules: it is to leave characters as they are, whatever rules it has for them.
    """
    made = _PROTO.ModelProto()
    made.ParseFromString(model)
    del made.pieces[:]
    for piece in pieces:
        made.pieces.add(piece=piece.text, score=piece.score, type=int(piece.kind))
    names = [piece.text for piece in pieces]
    made.trainer_spec.vocab_size = len(names)
    made.trainer_spec.unk_id = names.index(UNK_PIECE)
    made.trainer_spec.bos_id = names.index(BOS_PIECE) if BOS_PIECE in names else -1
    made.trainer_spec.eos_id = -1
    if without_rules:
        made.normalizer_spec.name, made.normalizer_spec.precompiled_charsmap = "identity", b""
    return bytes(made.SerializeToString(deterministic=True))


def text_pieces(path: Path, tokens: Sequence[str]) -> bytes:
    """The model of the text, serialised: our special pieces, then those of the list. Raises as `read_listed`."""
    found = read_listed(path, tokens)
    special = [Piece(name, 0.0, Kind.USER_DEFINED) for name in SPECIAL_PIECES]
    special.insert(UNK_ID, Piece(UNK_PIECE, 0.0, Kind.UNKNOWN))
    listed = [
        piece._replace(score=_NEARLY_NO_SCORE) if (piece.kind, piece.score) == (Kind.USER_DEFINED, 0.0) else piece
        for piece in found.pieces
    ]
    return rebuilt(found.model, [*special, *listed])


def label_rows(num_tokens: int) -> List[int]:
    """The place in ESPnet's list of `num_tokens` tokens of each of our labels: blank, sos/eos, unknown, pieces."""
    return [0, num_tokens - 1, 1, *range(2, num_tokens - 1)]
