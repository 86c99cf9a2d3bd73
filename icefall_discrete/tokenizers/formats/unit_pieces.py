"""Units without their repetitions, and pieces of several units: sentencepiece over a private alphabet.

Unit i is the character U+F0000 + i, the first of Unicode's private planes: no script, case, normal form or white space
is attached to it, so that no rule for text can touch it. (ESPnet takes Chinese characters, from U+4E00 on.) Piece ids
are sentencepiece's less one, whose piece 0, the unknown, cannot occur: every unit is a piece by itself too.

Models that ESPnet trained (espnet_units.py) may also have pieces that stand for no unit, one that begins every
utterance (`<s>`) and one that begins a word, and two pieces of the same units: where a word begins, and elsewhere.
"""

import io
from typing import Iterable, List, Sequence, Tuple

import sentencepiece
import torch
from torch import Tensor

from icefall_discrete.text.pieces import EXACT_UNIGRAM, possible_sizes
from icefall_discrete.text.words import WORD_START

FIRST_CHARACTER = 0xF0000
MAX_UNITS = 0xFFFE  # U+FFFFE and U+FFFFF are no characters
MAX_PIECE_UNITS = 16
MODEL_TYPES = ("unigram", "bpe")


def runs(units: Tensor) -> Tuple[Tensor, Tensor]:
    """Units (T,) without repetitions (U,), and how often each is repeated (U,) int64; the latter sum to T."""
    return torch.unique_consecutive(units, return_counts=True)


def as_characters(units: Sequence[int]) -> str:
    """Units as characters."""
    return "".join(chr(FIRST_CHARACTER + unit) for unit in units)


def train_pieces(texts: Iterable[str], num_units: int, num_pieces: int, model_type: str = "unigram") -> bytes:
    """Train pieces with sentencepiece; same texts, same bytes.

    Args:
      texts: units as characters, an utterance each. num_units: V of the units, all of which become pieces.
      num_pieces: size of the vocabulary.
      model_type: "unigram" (Kudo 2018, https://arxiv.org/abs/1804.10959) or "bpe", which merges the most frequent pair.
    Raises:
      ValueError: if there are more units than characters, or too many or too few pieces; says how many there can be.
    """
    if num_units > MAX_UNITS:
        raise ValueError(f"{num_units} units, but pieces can be made of at most {MAX_UNITS}; use fewer clusters.")
    if num_pieces < num_units:
        raise ValueError(
            f"bpe_vocab_size is {num_pieces}, but each of the {num_units} units needs a piece of its own; "
            f"use at least {num_units}."
        )
    model = io.BytesIO()
    alphabet = (
        as_characters([unit]) for unit in range(num_units)
    )  # so that a unit that was never seen has a piece, too
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([*texts, *alphabet]),
            model_writer=model,
            vocab_size=num_pieces + 1,
            unk_id=0,
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            split_by_whitespace=False,
            split_by_unicode_script=False,
            split_by_number=False,
            max_sentencepiece_length=MAX_PIECE_UNITS,
            **{**EXACT_UNIGRAM, "model_type": model_type},
        )
    except (RuntimeError, OSError) as error:
        largest, _ = possible_sizes(error)
        reason = (
            f"at most {largest - 1} are possible; use fewer, or more audio" if largest else " ".join(str(error).split())
        )
        raise ValueError(f"bpe_vocab_size is {num_pieces}, but from these units {reason}.") from None
    return model.getvalue()


class UnitPieces:
    """Units to pieces and back, by the model that `train_pieces` made. Raises ValueError if `model` is not one."""

    def __init__(self, model: bytes) -> None:
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
            pieces = [self._processor.id_to_piece(piece) for piece in range(1, self._processor.get_piece_size())]
        except (RuntimeError, UnicodeDecodeError):
            raise ValueError("is not a sentencepiece model") from None
        start = self._processor.bos_id()
        self._has_start = start > 0
        if self._has_start:
            pieces[start - 1] = ""
        pieces = [piece.removeprefix(WORD_START) for piece in pieces]
        if any(ord(character) < FIRST_CHARACTER for piece in pieces for character in piece):
            raise ValueError("is a sentencepiece model, but not one of units")
        self._units = [[ord(character) - FIRST_CHARACTER for character in piece] for piece in pieces]

    def __len__(self) -> int:
        return len(self._units)

    @property
    def scores(self) -> List[float]:
        """Of each piece: its log-prob in nats (unigram), or minus the number of merges before its own (bpe)."""
        return [self._processor.get_score(piece) for piece in range(1, self._processor.get_piece_size())]

    @property
    def is_merged(self) -> bool:
        """Whether it is a bpe model, whose scores are whole numbers that fall from 0; a unigram model's are none."""
        return all(score == round(score) for score in self.scores)

    def encode(self, units: Sequence[int]) -> List[int]:
        """The most probable pieces of some units."""
        return [piece - 1 for piece in self._processor.encode(as_characters(units), add_bos=self._has_start)]

    def units_of(self, piece: int) -> List[int]:
        """The units that a piece stands for; none for one that only begins an utterance or a word."""
        return self._units[piece]
