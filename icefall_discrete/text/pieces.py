"""Text <-> labels: sentencepiece unigram models with icefall's ids (blank 0, sos/eos 1, unk 2), and language tokens."""

import dataclasses
import io
import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import sentencepiece

from icefall_discrete.base.atomic_files import write_bytes, write_text
from icefall_discrete.base.provenance import require_as_made
from icefall_discrete.base.settings import setting
from icefall_discrete.text.language_pieces import language_token, read_pieces, write_joined
from icefall_discrete.text.piece_sizes import check_size
from icefall_discrete.text.words import WORD_START, plain_spaces

PathLike = Union[str, Path]
BLANK_ID, SOS_EOS_ID, UNK_ID = 0, 1, 2
SPECIAL_PIECES = ("<blk>", "<sos/eos>")  # ids 0 and 1; <unk> is 2
_SAID_BY = "--vocab-size, or bpe.vocab_size of the recipe"
PIECE_TYPES = ("unigram", "char")
UNK_PIECE = "<unk>"
# A unigram model that covers every character, changes none, and is the same at every training.
EXACT_UNIGRAM: Dict[str, Any] = {
    "model_type": "unigram",
    "character_coverage": 1.0,
    "normalization_rule_name": "identity",
    "bos_id": -1,
    "eos_id": -1,
    "num_threads": 1,  # sums of several threads would depend on their order
    "max_sentence_length": 1 << 20,
    "minloglevel": 2,
}
# What is different about pieces that are characters: a text begins with its first one, not with a space.
EVERY_CHARACTER: Dict[str, Any] = {"model_type": "char", "use_all_vocab": True, "add_dummy_prefix": False}
MANY_PIECES = 1 << 16  # sentencepiece wants a number, and takes all characters whatever it is


def refuse_reserved(text: str, reserved: Iterable[str]) -> None:
    """Raise ValueError, the end of a sentence about its place, if a text has one of the strings that are labels.

    Written in a transcript, such as `<blk>`, it would be learnt as that label.
    """
    found = [string for string in reserved if string in text]
    if found:
        raise ValueError(
            f"its text has {found[0]!r}, which the pieces keep for themselves ('{text[:80]}'); write it otherwise, or "
            "leave it out."
        )


def reserved_strings(languages: Iterable[str] = ()) -> Tuple[str, ...]:
    """What no text may have: the special pieces, the tokens of languages, and sentencepiece's sign for a space."""
    return (*SPECIAL_PIECES, UNK_PIECE, WORD_START, *map(language_token, languages))


def possible_sizes(error: Exception) -> Tuple[Optional[int], Optional[int]]:
    """The largest and the smallest number of pieces that sentencepiece's `error` says can be; None where it does not.

    A vocabulary of at most the largest size can be trained on the same sentences, one of at least the smallest covers
    all of their characters.
    """
    text = " ".join(str(error).split())
    too_large = re.search(r"Vocabulary size too high \(\d+\).*?<= ?(\d+)", text)
    too_small = re.search(r"smaller than required_chars\. \d+ vs (\d+)", text)
    return too_large and int(too_large.group(1)), too_small and int(too_small.group(1))


def _explain(error: Exception, vocab_size: int) -> str:
    largest, smallest = possible_sizes(error)
    if largest:
        return f"vocab_size {vocab_size} is too large for this text; the largest possible is {largest} ({_SAID_BY})."
    if smallest:
        return f"vocab_size {vocab_size} is too small for the text's characters; use at least {smallest} ({_SAID_BY})."
    return f"sentencepiece could not train {vocab_size} pieces: {' '.join(str(error).split())}"


@dataclasses.dataclass(frozen=True)
class BpeConfig:
    """The text pieces that a model emits; section `bpe` of a recipe."""

    vocab_size: int = setting(
        500, "number of pieces, blank and language tokens included (paper's code: 500)", minimum=0
    )
    piece_type: str = setting("unigram", "char: one piece a character, however many there are", choices=PIECE_TYPES)
    language_token: bool = setting(False, "labels begin with a token of the cut's language, such as <en>")
    by_language: bool = setting(False, "each language has pieces of its own, as many as vocab_size")
    vocab_sizes: Tuple[str, ...] = setting((), "their number where it is another one, as en=60,ru=70")

    def __post_init__(self) -> None:
        if self.piece_type not in PIECE_TYPES:
            raise ValueError(f"piece_type is '{self.piece_type}', expected one of {', '.join(PIECE_TYPES)}.")
        check_size(self.vocab_size, self.piece_type)
        if self.piece_type == "char" and self.by_language:
            raise ValueError("piece_type char with by_language: languages share characters; choose one of the two.")

    def sizes(self, languages: Sequence[str]) -> Dict[str, int]:
        """Number of pieces of each language, the three special ones included. Raises ValueError if one is malformed."""
        given = {language: size for language, _, size in (entry.partition("=") for entry in self.vocab_sizes)}
        wrong = [f"{name}={size}" for name, size in given.items() if name not in languages or not size.isdecimal()]
        if wrong:
            raise ValueError(
                f"vocab_sizes has {', '.join(wrong)}; expected <language>=<number>, languages: {', '.join(languages)}."
            )
        return {language: int(given.get(language, self.vocab_size)) for language in languages}


def _trained(texts: Iterable[str], vocab_size: int, symbols: Sequence[str] = (), piece_type: str = "unigram") -> bytes:
    """A serialised sentencepiece model with `symbols` as its first pieces behind the special ones."""
    lines = [plain_spaces(text) for text in texts if text.strip()]
    for line in lines:
        refuse_reserved(line, (*SPECIAL_PIECES, UNK_PIECE, WORD_START, *symbols))
    if not lines:
        raise ValueError("there is no text to train the pieces on; check the transcripts of the training cuts.")
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            vocab_size=vocab_size,
            user_defined_symbols=[*SPECIAL_PIECES, *symbols],
            unk_id=UNK_ID,
            **{**EXACT_UNIGRAM, **(EVERY_CHARACTER if piece_type == "char" else {})},
        )
    except (RuntimeError, OSError) as error:
        raise ValueError(_explain(error, vocab_size)) from None
    return model.getvalue()


def train_bpe(texts: Iterable[str], vocab_size: int, model_path: PathLike, languages: Sequence[str] = ()) -> None:
    """Train a unigram model (Kudo 2018, https://arxiv.org/abs/1804.10959) and write it; same texts, same bytes.

    Every character of the texts is covered and text is not normalised, so training text has no unknown piece and
    decode(encode(text)) == text (up to repeated spaces, and white space of other kinds, which is a space).

    Args:
      texts: transcripts. vocab_size: number of pieces, the three special ones and the language tokens included.
      model_path: where to write. languages: those that have a token; none for pieces without language tokens.
    Raises:
      ValueError: if there is no text, or one has a string that is reserved, or the vocabulary is too large (the largest
        possible is named) or too small.
    """
    model = _trained(texts, vocab_size, [language_token(language) for language in languages])
    write_bytes(model_path, model)


def train_characters(texts: Iterable[str], model_path: PathLike, languages: Sequence[str] = ()) -> None:
    """Write a model whose pieces are the characters of the texts, each a label; a space is one too, where there is any.

    Args: as of `train_bpe`, which also says what holds for them.
    """
    model = _trained(texts, MANY_PIECES, [language_token(language) for language in languages], "char")
    write_bytes(model_path, model)


def train_language_bpe(texts: Mapping[str, Sequence[str]], config: BpeConfig, model_path: PathLike) -> None:
    """Train a model as `train_bpe` does on the texts of each language, and write them joined to one vocabulary.

    The special pieces are there once: V = 3 + number of language tokens + sum over languages of (its size - 3).

    Raises:
      ValueError: as `train_bpe`, naming the language.
    """
    models: Dict[str, bytes] = {}
    for language, size in config.sizes(list(texts)).items():
        language_token(language)
        try:
            models[language] = _trained(texts[language], size)
        except ValueError as error:
            raise ValueError(f"language {language}: {error} Its size is set by --vocab-sizes {language}=N.") from None
    write_joined(model_path, models, config.language_token)


RECORD = "bpe.json"  # beside the model: what it was made from, and what was made


class TextEncoder:
    """Text to labels and back. Raises FileNotFoundError or ValueError if `model_path` is missing or not a model."""

    def __init__(self, model_path: PathLike) -> None:
        self.path = path = Path(model_path)
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; run the BPE stage first.")
        require_as_made(path.with_name(RECORD), f"move {RECORD} aside too, if it is meant")
        try:
            self._set = read_pieces(path)
            self._pieces = self._set.names()
        except (RuntimeError, ValueError) as error:
            reason = f" ({error})" if type(error) is ValueError else ""
            raise ValueError(
                f"{path} is not a sentencepiece model that can be read{reason}; copy it anew, or move it aside and "
                "rerun the BPE stage."
            ) from None
        if self._pieces[BLANK_ID] != SPECIAL_PIECES[0]:
            raise ValueError(f"{path}: piece 0 is not {SPECIAL_PIECES[0]}; train the pieces with the BPE stage.")
        self._token_languages = {self._pieces.index(language_token(name)): name for name in self._set.token_languages}
        self._reserved = reserved_strings(self._set.token_languages)

    @property
    def vocab_size(self) -> int:
        """Number of pieces V, the blank included."""
        return len(self._pieces)

    @property
    def blank_id(self) -> int:
        """Id of the blank, 0."""
        return BLANK_ID

    @property
    def language_tokens(self) -> Dict[str, int]:
        """Label of each language that has a token; empty for pieces without language tokens."""
        return {name: label for label, name in self._token_languages.items()}

    @property
    def languages(self) -> Tuple[str, ...]:
        """The languages that labels tell apart, by a token or by pieces of their own; none for plain pieces."""
        return tuple(self._token_languages.values()) or self._set.languages()

    @property
    def is_by_language(self) -> bool:
        """Whether each language has pieces of its own, so that text alone has no labels."""
        return bool(self._set.languages())

    def encode(self, text: str, language: Optional[str] = None) -> List[int]:
        """Labels (U,) of a text without language token; pieces that are those of a language need the language.

        Raises:
          ValueError: if the text has a string that is reserved, or there are no pieces for the language.
        """
        refuse_reserved(text, self._reserved)
        return self._set.encode(plain_spaces(text), language)

    def outside(self, text: str, language: Optional[str] = None) -> str:
        """The characters of a text that have no piece and are learnt as `<unk>`, in order. Raises as `encode`."""
        return self._set.outside(plain_spaces(text), language)

    def labels_of(self, text: str, language: Optional[str]) -> List[int]:
        """Labels (U,) that a model learns for a transcript: the language token, if there are such, and the pieces.

        Raises:
          ValueError: if labels tell languages apart and `language` is none of them.
        """
        self._check_language(language)
        token = [label for label, name in self._token_languages.items() if name == language]
        return token + self.encode(text, language)

    def marked(self, text: str, language: Optional[str]) -> str:
        """The text behind its language token as a word, where there are such: for lexicons and models over words.

        Raises ValueError as `labels_of`.
        """
        self._check_language(language)
        return f"{language_token(language)} {text}" if language is not None and self._token_languages else text

    def _check_language(self, language: Optional[str]) -> None:
        if self.languages and language not in self.languages:
            raise ValueError(
                f"its language is {language!r}, but the pieces were made for {', '.join(self.languages)}; train the "
                "pieces on cuts of that language too, or choose the languages with --languages."
            )

    def decode(self, labels: Sequence[int]) -> str:
        """Text of labels. Blank, sos/eos and language tokens leave no trace."""
        silent = (BLANK_ID, SOS_EOS_ID, *self._token_languages)
        return self._set.decode([label for label in labels if label not in silent])

    def language_of(self, labels: Sequence[int]) -> Optional[str]:
        """The language that labels say: that of the first token, else the one that most pieces are of; or None."""
        silent = (BLANK_ID, SOS_EOS_ID, *self._token_languages)
        said = (self._token_languages[label] for label in labels if label in self._token_languages)
        return next(said, self._set.language_of([label for label in labels if label not in silent]))

    def pieces(self) -> List[str]:
        """All pieces, in the order of their ids."""
        return list(self._pieces)

    def write_tokens(self, path: PathLike) -> None:
        """Write tokens.txt, "piece id" lines, as icefall's decoders and sherpa read it."""
        write_text(path, "".join(f"{piece} {label}\n" for label, piece in enumerate(self.pieces())))
