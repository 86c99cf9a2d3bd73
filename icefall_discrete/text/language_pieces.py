"""Vocabularies of text pieces: one sentencepiece model for all languages, or one a language, with ids of their own.

Ids 0, 1 and 2 are the special pieces of text/pieces.py. Then come the language tokens, such as <en>, if there are any.
Then come the pieces of the one model, or those of the first language, those of the second, and so on.
"""

import bisect
import collections
import io
import itertools
import json
import re
import zipfile
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Protocol, Sequence, Tuple

from sentencepiece import SentencePieceProcessor

from icefall_discrete.base.atomic_files import PathLike, write_bytes
from icefall_discrete.base.json_files import parse_json
from icefall_discrete.text.words import WORD_START

_FACTS = "languages.json"


def language_token(language: str) -> str:
    """The piece that stands for a language: `<en>`. Raises ValueError if the name cannot be a piece."""
    if not re.fullmatch(r"[^\s<>@=,]+", language):
        raise ValueError(f"language '{language}' cannot be a token: use a name without spaces, commas, and <>@=.")
    return f"<{language}>"


class PieceSet(Protocol):
    """What a vocabulary can do; labels are those of text, without blank, sos/eos and language tokens."""

    token_languages: Tuple[str, ...]

    def names(self) -> List[str]:
        """All pieces, in the order of their ids."""

    def encode(self, text: str, language: Optional[str]) -> List[int]:
        """Labels of a text in a language."""

    def outside(self, text: str, language: Optional[str]) -> str:
        """The characters of a text in a language that have no piece, in order."""

    def decode(self, labels: Sequence[int]) -> str:
        """Text of labels."""

    def languages(self) -> Tuple[str, ...]:
        """The languages whose pieces differ; none where all share theirs."""

    def language_of(self, labels: Sequence[int]) -> Optional[str]:
        """The language that most labels are of; None where that cannot be told."""


class _Characters:
    """Tells which characters of texts a model has no piece for."""

    def __init__(self, processor: SentencePieceProcessor) -> None:
        self._processor = processor
        pieces = (processor.id_to_piece(label) for label in range(processor.get_piece_size()))
        self._single = {" ", *(piece for piece in pieces if len(piece) == 1)}

    def outside(self, text: str) -> str:
        """The characters without a piece, in order."""
        if self._single.issuperset(text):
            return ""
        # A model may write text in another way before it looks at it, so that the characters alone do not tell.
        pairs = zip(self._processor.encode(text), self._processor.encode(text, out_type=str))
        unknown = (piece for label, piece in pairs if label == self._processor.unk_id())
        return "".join(unknown).replace(WORD_START, "")


class SharedPieces:
    """One sentencepiece model for all languages, with or without language tokens."""

    def __init__(self, processor: SentencePieceProcessor) -> None:
        self._processor = processor
        self._characters = _Characters(processor)
        first = processor.unk_id() + 1
        # Symbols that training was given have the ids after <unk>, and no probability.
        given = itertools.takewhile(
            lambda label: processor.get_score(label) == 0.0 and re.fullmatch("<.+>", processor.id_to_piece(label)),
            range(first, processor.get_piece_size()),
        )
        self.token_languages = tuple(processor.id_to_piece(label)[1:-1] for label in given)

    def names(self) -> List[str]:
        """All pieces, in the order of their ids."""
        return [self._processor.id_to_piece(label) for label in range(self._processor.get_piece_size())]

    def encode(self, text: str, language: Optional[str]) -> List[int]:
        """Labels of a text; its language does not matter."""
        return self._processor.encode(text)

    def outside(self, text: str, language: Optional[str]) -> str:
        """The characters of a text that have no piece; its language does not matter."""
        return self._characters.outside(text)

    def decode(self, labels: Sequence[int]) -> str:
        """Text of labels."""
        return self._processor.decode(list(labels))

    def languages(self) -> Tuple[str, ...]:
        """None: all languages share the pieces."""
        return ()

    def language_of(self, labels: Sequence[int]) -> Optional[str]:
        """None: it cannot be told."""
        return None


class PiecesByLanguage:
    """A sentencepiece model a language; label = first id of the language + id in its model - number of special pieces.

    Args:
      models: serialised models by language, in the order of their ids. with_token: whether there are language tokens.
    """

    def __init__(self, models: Mapping[str, bytes], with_token: bool) -> None:
        self.token_languages = tuple(models) if with_token else ()
        self._processors: Dict[str, SentencePieceProcessor] = {}
        self._unk_id = 0
        self._first: Dict[str, int] = {}
        for language, model in models.items():
            self._processors[language] = processor = SentencePieceProcessor()
            processor.LoadFromSerializedProto(model)
            self._unk_id = processor.unk_id()
        self._characters = {language: _Characters(processor) for language, processor in self._processors.items()}
        self._num_special = self._unk_id + 1
        size = self._num_special + len(self.token_languages)
        for language, processor in self._processors.items():
            self._first[language] = size
            size += processor.get_piece_size() - self._num_special
        self._owners, self._starts = list(self._first), list(self._first.values())

    def names(self) -> List[str]:
        """All pieces, in the order of their ids; those of a language end in @ and its name, as languages share some."""
        processors = list(self._processors.items())
        names = [processors[0][1].id_to_piece(label) for label in range(self._num_special)]
        names += [language_token(language) for language in self.token_languages]
        for language, processor in processors:
            own = range(self._num_special, processor.get_piece_size())
            names += [f"{processor.id_to_piece(label)}@{language}" for label in own]
        return names

    def encode(self, text: str, language: Optional[str]) -> List[int]:
        """Labels of a text in a language. Raises ValueError if there are no pieces for it."""
        known = self._known(language)
        shift = self._first[known] - self._num_special
        labels = self._processors[known].encode(text)
        return [label if label == self._unk_id else label + shift for label in labels]

    def outside(self, text: str, language: Optional[str]) -> str:
        """The characters of a text that its language has no piece for. Raises ValueError as `encode`."""
        return self._characters[self._known(language)].outside(text)

    def _known(self, language: Optional[str]) -> str:
        if language is None or language not in self._processors:
            raise ValueError(f"there are no pieces for language {language!r}, only for {', '.join(self._processors)}.")
        return language

    def decode(self, labels: Sequence[int]) -> str:
        """Text of labels; a model may change the language within an utterance, and even within a word."""
        text = ""
        for language, run in self._runs(labels):
            processor = self._processors[language]
            begins_word = processor.id_to_piece(run[0]).startswith(WORD_START)
            text += (" " if text and begins_word else "") + processor.decode(run)
        return text

    def languages(self) -> Tuple[str, ...]:
        """All languages, in the order of their ids."""
        return tuple(self._processors)

    def language_of(self, labels: Sequence[int]) -> Optional[str]:
        """The language that most labels are of (of equals, the first); None if there are none but unknown pieces."""
        count = collections.Counter(self._owner(label) for label in labels if label != self._unk_id)
        return max(count, key=count.__getitem__, default=None)

    def _owner(self, label: int) -> str:
        return self._owners[bisect.bisect_right(self._starts, label) - 1]

    def _runs(self, labels: Sequence[int]) -> Iterator[Tuple[str, List[int]]]:
        """Stretches of one language, as ids of its model; unknown pieces are of the language before them."""
        known = (self._owner(label) for label in labels if label != self._unk_id)
        last = next(known, next(iter(self._processors)))
        owned = []
        for label in labels:
            last = last if label == self._unk_id else self._owner(label)
            shift = 0 if label == self._unk_id else self._first[last] - self._num_special
            owned.append((last, label - shift))
        for language, group in itertools.groupby(owned, key=lambda pair: pair[0]):
            yield language, [label for _, label in group]


def write_joined(path: PathLike, models: Mapping[str, bytes], with_token: bool) -> None:
    """Write the serialised models of some languages as one file: a zip of <language>.model; same models, same bytes."""
    content = io.BytesIO()
    facts = {"languages": list(models), "language_token": with_token}
    members = {_FACTS: json.dumps(facts, ensure_ascii=False).encode()}
    members.update({f"{language}.model": model for language, model in models.items()})
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # without the time of writing
    write_bytes(path, content.getvalue())


def _read_joined(path: Path) -> Tuple[Dict[str, bytes], bool]:
    """Serialised models by language, and whether there are language tokens."""
    try:
        with zipfile.ZipFile(path) as archive:
            # As they are written; others could unpack to any size.
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("it is a compressed archive")
            facts = parse_json(archive.read(_FACTS).decode("utf-8"))
            languages = facts.get("languages") if isinstance(facts, dict) else None
            if not isinstance(languages, list) or not languages or not all(isinstance(one, str) for one in languages):
                raise ValueError(f"{_FACTS} in it has no list of languages")
            models = {language: archive.read(f"{language}.model") for language in languages}
            return models, bool(facts.get("language_token"))
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError) as error:
        raise ValueError(" ".join(str(error).split())) from None


def read_pieces(path: Path) -> PieceSet:
    """Read a sentencepiece model, or what `write_joined` wrote. Raises RuntimeError, ValueError if it is neither."""
    if zipfile.is_zipfile(path):
        return PiecesByLanguage(*_read_joined(path))
    processor = SentencePieceProcessor()
    processor.LoadFromSerializedProto(path.read_bytes())
    return SharedPieces(processor)


def by_language(texts: Iterable[Tuple[str, Optional[str]]]) -> Dict[str, List[str]]:
    """Group (text, language) pairs by language, in alphabetical order.

    Raises ValueError if one has no language; the text is named.
    """
    groups: Dict[str, List[str]] = {}
    for text, language in texts:
        if not language:
            raise ValueError(f"the utterance '{text[:60]}' has no language; give its supervision one in the manifest.")
        groups.setdefault(language, []).append(text)
    return dict(sorted(groups.items()))
