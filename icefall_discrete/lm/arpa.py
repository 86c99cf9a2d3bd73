"""n-gram models: back-off probabilities, and the ARPA files that every n-gram tool reads and writes."""

import math
import re
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, NamedTuple, NoReturn, Sequence, Tuple

from icefall_discrete.base.atomic_files import PathLike, write_text
from icefall_discrete.base.numbers import number_of

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
LOG10 = math.log(10.0)
_NEVER_LOG10 = -99.0  # what ARPA files write for the probability of <s>
_MOST_LOG10 = 1e-4  # a probability of 1, rounded
_GZIP_START = b"\x1f\x8b"
_MAX_LINE, _SHOWN = 2**16, 80
_SECTION = re.compile(r"\\(\d{1,3})-grams:", re.ASCII)
_COUNT = re.compile(r"ngram +(\d{1,3}) *= *(\d{1,18})", re.ASCII)

Ngram = Tuple[str, ...]


class Gram(NamedTuple):
    """Log-probability of an n-gram's last token, and back-off weight of the n-gram as a context; both in nats."""

    log_prob: float
    backoff: float = 0.0


class NgramModel:
    """A back-off n-gram model.

    Args:
      grams: for each order from 1 the n-grams; tokens are strings, `<s>` and `</s>` begin and end a sentence.
    """

    def __init__(self, grams: Sequence[Dict[Ngram, Gram]]) -> None:
        self.grams = list(grams)

    @property
    def order(self) -> int:
        """Length of the longest n-grams."""
        return len(self.grams)

    def log_prob(self, context: Sequence[str], token: str) -> float:
        """Nats of `token` after `context` of any length; -inf if the token is unknown and there is no <unk>."""
        if (token,) not in self.grams[0]:
            token = UNKNOWN
        context = tuple(context)[max(0, len(context) - self.order + 1) :]
        paid = 0.0
        while True:
            found = self.grams[len(context)].get((*context, token))
            if found is not None:
                return paid + found.log_prob
            if not context:
                return -math.inf
            known = self.grams[len(context) - 1].get(context)
            paid += known.backoff if known is not None else 0.0
            context = context[1:]

    def sentence_log_prob(self, tokens: Sequence[str]) -> float:
        """Nats of a whole sentence, its end included."""
        whole = (START, *tokens, END)
        return sum(self.log_prob(whole[:place], whole[place]) for place in range(1, len(whole)))


def perplexity(model: NgramModel, sentences: Iterable[Sequence[str]]) -> float:
    """exp of the mean negative log-probability of a token; the end of each sentence counts as one."""
    sentences = list(sentences)
    tokens = sum(len(sentence) + 1 for sentence in sentences)
    return math.exp(-sum(model.sentence_log_prob(sentence) for sentence in sentences) / tokens)


def write_arpa(path: PathLike, model: NgramModel) -> None:
    """Write `model`; same model, same bytes."""
    write_text(path, "".join(f"{line}\n" for line in _arpa_lines(model)))


def _arpa_lines(model: NgramModel) -> Iterator[str]:
    yield "\\data\\"
    for size, grams in enumerate(model.grams, start=1):
        yield f"ngram {size}={len(grams)}"
    for size, grams in enumerate(model.grams, start=1):
        yield from ("", f"\\{size}-grams:")
        for ngram, gram in sorted(grams.items()):
            line = f"{max(gram.log_prob / LOG10, _NEVER_LOG10):.7f}\t{' '.join(ngram)}"
            yield line if size == model.order else f"{line}\t{gram.backoff / LOG10:.7f}"
    yield from ("", "\\end\\")


def read_arpa(path: PathLike) -> NgramModel:
    """Read an ARPA file. Raises FileNotFoundError or ValueError (with the line) if it is missing or not one."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; train a language model first.")
    reader = _ArpaReader(str(path))
    with open(path, "rb") as stream:
        if stream.peek(2)[:2] == _GZIP_START:
            raise ValueError(f"{path} is compressed; unpack it with gunzip, and give the file that comes out.")
        while not reader.ended and (line := stream.readline(_MAX_LINE)):
            reader.take(line)
    return reader.model()


class _ArpaReader:
    """Takes the lines of an ARPA file one by one; errors name `where` and the line."""

    def __init__(self, where: str) -> None:
        self.ended = False
        self._where, self._number = where, 0
        self._grams: List[Dict[Ngram, Gram]] = []
        self._announced: Dict[int, int] = {}

    def _refuse(self, what: str) -> NoReturn:
        raise ValueError(f"{self._where}, line {self._number}: {what}; make it again.")

    def take(self, data: bytes) -> None:
        """The next line."""
        self._number += 1
        if len(data) == _MAX_LINE:
            self._refuse(f"expected at most {_MAX_LINE} bytes")
        try:
            line = data.decode("utf-8-sig" if self._number == 1 else "utf-8").strip("\n\r ")
        except UnicodeDecodeError:
            self._refuse("it is not UTF-8")
        section = _SECTION.fullmatch(line)
        if section:
            if int(section[1]) != len(self._grams) + 1:
                self._refuse(f"expected \\{len(self._grams) + 1}-grams:, got {line!r}")
            self._grams.append({})
        elif line == "\\end\\":
            self.ended = True
        elif line and self._grams:
            self._add(line)
        elif count := _COUNT.fullmatch(line):
            self._announced[int(count[1])] = int(count[2])

    def _add(self, line: str) -> None:
        size, fields = len(self._grams), line.split()
        if len(fields) not in (size + 1, size + 2):
            self._refuse(f"expected a probability, {size} tokens and maybe a back-off weight, got '{line[:_SHOWN]}'")
        log_prob, backoff = self._number_in(fields[0]), 0.0
        if log_prob > _MOST_LOG10:
            self._refuse(f"'{fields[0]}' is the logarithm of a probability above 1")
        if len(fields) == size + 2:
            backoff = self._number_in(fields[size + 1])
        ngram = tuple(fields[1 : size + 1])
        if ngram in self._grams[-1]:
            self._refuse(f"'{' '.join(ngram)}' stands twice")
        self._grams[-1][ngram] = Gram(log_prob * LOG10, backoff * LOG10)

    def _number_in(self, text: str) -> float:
        value = number_of(text)
        if value is None or value == math.inf:
            self._refuse(f"'{text[:_SHOWN]}' is no number, expected numbers before and behind the tokens")
        return max(value, _NEVER_LOG10) if value == -math.inf else value

    def model(self) -> NgramModel:
        """What was read, once it has ended."""
        grams = self._grams
        if not grams or not grams[0] or not self.ended:
            raise ValueError(f"{self._where} is not a whole ARPA file (no \\1-grams:, or no \\end\\); make it again.")
        found = {size: len(table) for size, table in enumerate(grams, start=1)}
        wrong = [size for size in sorted({*found, *self._announced}) if found.get(size) != self._announced.get(size)]
        if self._announced and wrong:
            size = wrong[0]
            raise ValueError(
                f"{self._where} announces {self._announced.get(size, 0)} {size}-grams and holds {found.get(size, 0)}; "
                "make it again."
            )
        return NgramModel(grams)
