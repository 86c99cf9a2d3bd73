"""n-gram models: back-off probabilities, and the ARPA files that every n-gram tool reads and writes."""

import math
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, NamedTuple, Sequence, Tuple

from icefall_discrete.base.atomic_files import PathLike, write_text

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
LOG10 = math.log(10.0)
_NEVER_LOG10 = -99.0  # what ARPA files write for the probability of <s>

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
    grams: List[Dict[Ngram, Gram]] = []
    ended = False
    with open(path, encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            line = line.strip("\n\r ")
            if line.endswith("-grams:") and line.startswith("\\"):
                grams.append({})
            elif line == "\\end\\":
                ended = True
                break
            elif line and grams:
                ngram, gram = _parse_line(line, len(grams), f"{path}, line {number}")
                grams[-1][ngram] = gram
    if not grams or not grams[0] or not ended:
        raise ValueError(f"{path} is not a whole ARPA file (no \\1-grams:, or no \\end\\); make it again.")
    return NgramModel(grams)


def _parse_line(line: str, size: int, where: str) -> Tuple[Ngram, Gram]:
    fields = line.split()
    if len(fields) not in (size + 1, size + 2):
        raise ValueError(f"{where}: expected a probability, {size} tokens and maybe a back-off weight, got '{line}'.")
    try:
        backoff = float(fields[size + 1]) * LOG10 if len(fields) == size + 2 else 0.0
        return tuple(fields[1 : size + 1]), Gram(float(fields[0]) * LOG10, backoff)
    except ValueError:
        raise ValueError(f"{where}: expected numbers before and behind the tokens, got '{line}'.") from None
