"""What is to be said, for systems that say texts: symbols, how long each lasts, whose voice, and which language."""

import collections
import contextlib
from pathlib import Path
from typing import Any, Counter, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from lhotse.cut import Cut

from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.provenance import digest_of_lines
from icefall_discrete.base.shapes import TEXT, read_shaped
from icefall_discrete.data.cuts import language_of, text_of
from icefall_discrete.data.facts import Facts, text_fact
from icefall_discrete.data.targets.contract import LeftOut, Targets
from icefall_discrete.data.targets.named import NamedTargets
from icefall_discrete.data.targets.voices import VoiceTargets
from icefall_discrete.text.alignments import Alignments, Segment
from icefall_discrete.text.symbols import MARKERS, Span, front_named
from icefall_discrete.text.words import forms_of

PADDING = 0
_ALIGNMENTS_FILE = "alignments.json"


class SymbolTable(NamedTargets):
    """Numbers of symbols, from 1; 0 is padding. `fact` is what they are: letters or phones (text/symbols.py)."""

    noun, link = "symbols", "of"

    def __init__(self, fact: str, counts: Dict[str, int]) -> None:
        super().__init__(fact, counts, first=PADDING + 1)

    @property
    def size(self) -> int:
        """The symbols, and padding."""
        return 1 + len(self.counts)

    def of_facts(self, facts: Facts) -> int:
        """There is none of a whole utterance."""
        raise NotImplementedError

    def numbers_of(self, symbols: Sequence[str]) -> List[int]:
        """Numbers of symbols; a letter that has none is taken in its other case.

        Raises ValueError, the end of a sentence, for one that has none in either.
        """
        return [self._number_of(symbol) for symbol in symbols]

    def _number_of(self, symbol: str) -> int:
        for spelling in (symbol, symbol.lower(), symbol.upper()):
            if spelling in self._numbers:
                return self._numbers[spelling]
        known = " ".join(name for name in self.names if name not in (*MARKERS, " "))
        raise ValueError(
            f"'{symbol}' (U+{ord(symbol[0]):04X}) has no entry among the {self.fact} of the training texts ({known}); "
            "write it otherwise, or train on texts that have it."
        )


class LanguageTargets(VoiceTargets):
    """Number of the language of each utterance: from 1, or 0 for one that is not known."""

    noun, link = "languages", "by"


class Spoken(NamedTuple):
    """Numbers of symbols (U,), and of the voice and the language, 0 for none."""

    symbols: List[int]
    voice: int
    language: int


class SpokenTextTargets(Targets[Spoken, List[Spoken]]):
    """Texts with voice and language, and when their symbols are said.

    Args:
      symbols, voices, languages: tables of the training data.
      alignments: segments by cut id, which spell the texts; None: not needed, as nothing is trained.
      digest: of the alignments, where these are not at hand.
    """

    fact = "text"

    def __init__(
        self,
        symbols: SymbolTable,
        voices: VoiceTargets,
        languages: LanguageTargets,
        alignments: Optional[Alignments] = None,
        digest: str = "",
    ) -> None:
        self.symbols, self.voices, self.languages = symbols, voices, languages
        self._front, self._alignments = front_named(symbols.fact), alignments
        self.digest = digest if alignments is None else _digest_of(alignments)

    @classmethod
    def from_cuts(cls, front: str, voice_fact: str, cuts: Iterable[Cut], alignments: Alignments) -> "SpokenTextTargets":
        """Tables of the training cuts that have an alignment.

        Raises ValueError if none has, or for one without a text.
        """
        known = [cut for cut in cuts if cut.id in alignments]
        if not known:
            raise ValueError(
                "none of the training cuts has an alignment; give those of the same cuts, whose ids they name "
                "(local/align_cuts.py makes them)."
            )
        counts: Counter[str] = collections.Counter()
        said_by = front_named(front)
        for cut in known:
            try:
                counts.update(said_by.symbols(text_of(cut), language_of(cut) or ""))
            except ValueError as error:
                raise ValueError(f"cut {cut.id}: {error}") from None
        return cls(
            SymbolTable(front, dict(sorted(counts.items()))),
            VoiceTargets.from_cuts(voice_fact, known),
            LanguageTargets(*_counted("language", known)),
            alignments,
        )

    @property
    def size(self) -> int:
        """Number of symbols, padding included."""
        return self.symbols.size

    def said(self, text: str, voice: str, language: str) -> Spoken:
        """A text that is to be said; "" is no voice in particular, and the only language that there is.

        Raises ValueError, a sentence, for a text or a symbol that cannot be said, or an unknown voice or language.
        """
        names = self.languages.names
        if not language and len(names) > 1:
            raise ValueError(f"the language of the text is not known; say which it is: {', '.join(names)}.")
        number = self.languages.number_of(language or "".join(names))
        return Spoken(self._numbers_of(text, language or "".join(names)), self.voices.number_of(voice), number)

    def _numbers_of(self, text: str, language: str) -> List[int]:
        """Numbers of the symbols of a text, in the first of its forms whose symbols all have one."""
        first, *others = forms_of(text)
        try:
            return self.symbols.numbers_of(self._front.symbols(first, language))
        except ValueError:
            for form in others:
                with contextlib.suppress(ValueError):
                    return self.symbols.numbers_of(self._front.symbols(form, language))
            raise

    def of_facts(self, facts: Facts) -> Spoken:
        """What is to be said of an utterance."""
        text, language = text_fact(facts, "text"), text_fact(facts, "language") or ""
        if text is None:
            raise ValueError("its text is empty; drop it in the manifest stage, or give it a transcript.")
        numbers = self.symbols.numbers_of(self._front.symbols(text, language))
        return Spoken(numbers, self.voices.of_facts(facts), self.languages.of_facts(facts))

    def frames_needed(self, cut: Cut) -> int:
        """One. Raises LeftOut for a cut that has no alignment, or a symbol without entry."""
        text_of(cut)
        self.spans(cut)
        try:
            self.of(cut)
        except ValueError:
            raise LeftOut("symbols without an entry") from None
        return 1

    def spans(self, cut: Cut) -> List[Optional[Span]]:
        """When each symbol is said. Raises LeftOut if that is not known."""
        segments = self._segments(cut.id)
        if segments is None:
            raise LeftOut("no alignment")
        found = self._front.spans(text_of(cut), language_of(cut) or "", segments)
        if found is None:
            raise LeftOut("alignment of another text")
        return found

    def _segments(self, cut_id: str) -> Optional[List[Segment]]:
        if self._alignments is None:
            raise ValueError("these targets were read from an experiment, which holds no alignments to train on.")
        return self._alignments.get(cut_id)

    def collated(self, targets: List[Spoken]) -> List[Spoken]:
        """As they are; batches hold tensors of them (systems/tts/batches.py)."""
        return targets

    def means_the_same(self, other: Targets[Any, Any]) -> bool:
        """Whether symbols, voices and languages are the same."""
        return isinstance(other, SpokenTextTargets) and all(
            mine.means_the_same(its) for mine, its in zip(self._tables(), other._tables())
        )

    def _tables(self) -> Tuple[NamedTargets, ...]:
        return (self.symbols, self.voices, self.languages)

    def save(self, folder: Path) -> None:
        """Write the tables and the digest of the alignments, or check that the same are there."""
        for table in self._tables():
            table.save(folder)
        path = Path(folder) / _ALIGNMENTS_FILE
        if not path.is_file():
            write_json(path, {"digest": self.digest})
        elif _read_digest(path) != self.digest:
            raise ValueError(
                f"{path} is of other alignments than those of now; go on with those with which training began, or use "
                "another --exp-dir."
            )

    @classmethod
    def load(cls, folder: Path) -> "SpokenTextTargets":
        """The tables of an experiment folder."""
        folder = Path(folder)
        tables = SymbolTable.load(folder), VoiceTargets.load(folder), LanguageTargets.load(folder)
        return cls(*tables, digest=_read_digest(folder / _ALIGNMENTS_FILE))


def _counted(fact: str, cuts: Iterable[Cut]) -> Tuple[str, Dict[str, int]]:
    counts = collections.Counter(language_of(cut) for cut in cuts)
    return fact, {name: counts[name] for name in sorted(name for name in counts if name)}


def _read_digest(path: Path) -> str:
    return read_shaped(path, {"digest": TEXT}, "copy it anew from where it was trained")["digest"]


def _digest_of(alignments: Alignments) -> str:
    return digest_of_lines(
        f"{name} {one.begin_sec:.3f} {one.end_sec:.3f} {one.label}"
        for name, segments in sorted(alignments.items())
        for one in segments
    )
