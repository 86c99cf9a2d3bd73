"""Contextual biasing: phrases to prefer, as an Aho-Corasick graph over labels.

While a phrase is being said, each of its labels earns its score in advance; if the phrase does not come to its end,
what was earned is taken back. So the total that a transcript gets in the end is exactly the sum over the phrases found
in it (each occurrence, overlapping ones too) of labels x score.
"""

import json
import logging
from collections import deque
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch

from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.text_files import read_text
from icefall_discrete.decoding.automaton import Arc, AutomatonScorer, Backoff, BackoffAutomaton
from icefall_discrete.text.words import WORD_START, forms_of

LOG = logging.getLogger(__name__)
SHARED = "*"  # key of the phrases for every cut
MAX_SCORE = 1e4  # nats a label; sums of larger ones would drown the model's log-probabilities


class Phrase(NamedTuple):
    """Labels of a phrase, and the nats that each of them adds."""

    labels: Tuple[int, ...]
    score: float


class _Graph:
    """A forest of tries with failure links; state 0 is the root that all of them back off to."""

    def __init__(self) -> None:
        self.children: List[Dict[int, int]] = [{}]
        self.promised = [0.0]  # earned in advance on the way here
        self.bonus = [0.0]  # of phrases that end here; after `link`, also of those that are suffixes
        self.fail = [0]

    def add_trie(self, phrases: Sequence[Phrase]) -> int:
        """Add a trie of phrases (of equal ones the last counts); returns its root."""
        root = self._add_state()
        # Where phrases with different scores share a beginning, the larger one counts in advance: it comes first.
        for labels, score in sorted(dict(phrases).items(), key=lambda phrase: -phrase[1]):
            state = root
            for label in labels:
                if label not in self.children[state]:
                    self.children[state][label] = self._add_state()
                    self.promised[-1] = self.promised[state] + max(score, 0.0)
                state = self.children[state][label]
            self.bonus[state] = len(labels) * score
        return root

    def _add_state(self) -> int:
        self.children.append({})
        self.promised.append(0.0)
        self.bonus.append(0.0)
        self.fail.append(0)
        return len(self.children) - 1

    def link(self, root: int) -> None:
        """Set the failure links of the trie at `root`, breadth first, and add up the bonuses along them."""
        queue = deque([root])
        while queue:
            state = queue.popleft()
            for label, child in self.children[state].items():
                self.fail[child] = root if state == root else self._follow(self.fail[state], label, root)
                self.bonus[child] += self.bonus[self.fail[child]]
                queue.append(child)
            if not self.children[state] and state != root:
                # Nothing follows, so nothing is promised but what a shorter suffix promises.
                self.promised[state] = self.promised[self.fail[state]]

    def _follow(self, state: int, label: int, root: int) -> int:
        while label not in self.children[state] and state != root:
            state = self.fail[state]
        return self.children[state].get(label, root)

    def automaton(self, vocab_size: int) -> BackoffAutomaton:
        """The graph with the promises and bonuses as weights of its arcs."""
        root = [Arc(0, unit, 0, 0.0) for unit in range(vocab_size)]
        arcs = [
            Arc(state, label, child, self.promised[child] - self.promised[state] + self.bonus[child])
            for state, children in enumerate(self.children)
            for label, child in children.items()
        ]
        backoffs = [Backoff(fail, self.promised[fail] - self.promised[state]) for state, fail in enumerate(self.fail)]
        return BackoffAutomaton(root, arcs, backoffs)


def hotword_scorer(
    lists: Sequence[Sequence[Phrase]],
    vocab_size: int,
    device: torch.device,
    choice: Optional[Sequence[int]] = None,
) -> AutomatonScorer:
    """A scorer that prefers phrases.

    Args:
      lists: lists of phrases. vocab_size: V. device: of the search.
      choice: for each utterance of the batch the index of its list; None: all use the first.

    Raises:
      ValueError: if a phrase is empty or has labels outside 1..V-1.
    """
    for phrase in (phrase for phrases in lists for phrase in phrases):
        if not phrase.labels or not all(0 < label < vocab_size for label in phrase.labels):
            raise ValueError(f"a phrase has labels {phrase.labels}; expected some of 1 to {vocab_size - 1}.")
    graph = _Graph()
    roots = [graph.add_trie(phrases) for phrases in lists]
    for root in roots:
        graph.link(root)
    homes = torch.tensor([roots[0]] if choice is None else [roots[index] for index in choice], device=device)
    ends = -torch.tensor(graph.promised, device=device)
    return AutomatonScorer(graph.automaton(vocab_size).to(device), homes, ends, homes)


class ContextFile(NamedTuple):
    """Phrases to prefer: for all cuts, and for single ones by id."""

    shared: List[Phrase]
    of_cut: Dict[str, List[Phrase]]

    def scorer(self, cut_ids: Sequence[str], vocab_size: int, device: torch.device) -> AutomatonScorer:
        """The scorer for a batch of cuts."""
        named = [cut_id for cut_id in cut_ids if cut_id in self.of_cut]
        lists = [self.shared, *(self.shared + self.of_cut[cut_id] for cut_id in named)]
        place = {cut_id: index for index, cut_id in enumerate(named, start=1)}
        return hotword_scorer(lists, vocab_size, device, [place.get(cut_id, 0) for cut_id in cut_ids])


class PhraseReader:
    """Reads phrases to prefer: text, or pieces with spaces between them, such as `▁new ▁york`.

    Args:
      encode: text to labels. pieces: all pieces, in the order of their ids; none: phrases are text.
      default_score: nats a label. unknown_id: the label of what has no pieces.
    """

    def __init__(
        self, encode: Callable[[str], List[int]], default_score: float, unknown_id: int, pieces: Sequence[str] = ()
    ) -> None:
        self._encode, self._default_score, self._unknown_id = encode, default_score, unknown_id
        self._label_of = {piece: label for label, piece in enumerate(pieces)}
        _require_score(default_score, "context_score")

    def phrase(self, line: object, where: str) -> Phrase:
        """The phrase of a line, which may end in ` :3.5`, its own score a label. Raises ValueError, beginning with
        `where`, if it is none that the pieces can write."""
        if not isinstance(line, str):
            raise ValueError(f"{where}: {line!r} is no text; write each phrase in quotation marks.")
        text, colon, number = line.rpartition(" :")
        score = self._default_score
        if colon:
            try:
                score = float(number)
            except ValueError:
                raise ValueError(
                    f"{where}: the score of '{line}' is '{number}'; expected a number behind ' :'."
                ) from None
            _require_score(score, f"{where}: the score of '{line}'")
        return Phrase(tuple(self._labels((text if colon else number).strip(), where)), score)

    def _labels(self, text: str, where: str) -> List[int]:
        if WORD_START in text and self._label_of:
            return self._labels_of_pieces(text, where)
        try:
            forms = [self._encode(form) for form in forms_of(text)]
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        labels = next((form for form in forms if self._unknown_id not in form), [])
        if not labels:
            raise ValueError(f"{where}: '{text}' has characters that the model has no pieces for; respell or drop it.")
        return labels

    def _labels_of_pieces(self, text: str, where: str) -> List[int]:
        """Labels of pieces that are written one by one, as `▁new ▁york`."""
        strange = [piece for piece in text.split() if self._label_of.get(piece, 0) <= self._unknown_id]
        if strange:
            raise ValueError(
                f"{where}: '{text}' is written in pieces, as it has '{WORD_START}', but '{strange[0]}' is none of the "
                "model's (tokens.txt has them); write the phrase as text, or in its pieces with spaces between them."
            )
        return [self._label_of[piece] for piece in text.split()]


def _require_score(score: float, what: str) -> None:
    if not abs(score) <= MAX_SCORE:
        raise ValueError(f"{what} is {score:g}; expected a number of nats from -{MAX_SCORE:g} to {MAX_SCORE:g}.")


def read_context_file(
    path: Path,
    encode: Callable[[str], List[int]],
    default_score: float,
    unknown_id: int,
    pieces: Sequence[str] = (),
) -> ContextFile:
    """Read phrases to prefer; arguments besides the file are those of `PhraseReader`.

    A text file has a phrase a line; a JSON file has an object from cut id to a list of phrases, "*" for every cut.
    Empty lines count for nothing. Of a phrase with two scores the last one counts, with a warning.

    Raises:
      FileNotFoundError: if the file does not exist.
      ValueError: if it holds no phrase, a phrase cannot be written in the model's pieces, or the JSON has another form.
    """
    path, reader = Path(path), PhraseReader(encode, default_score, unknown_id, pieces)
    if path.suffix == ".json":
        lists = read_json(path)
        if not isinstance(lists, dict) or not all(isinstance(phrases, list) for phrases in lists.values()):
            raise ValueError(f"{path}: expected an object such as {json.dumps({SHARED: ['a phrase']})}.")
        lines = {cut_id: [(str(path), line) for line in phrases] for cut_id, phrases in lists.items()}
    elif path.is_file():
        text = read_text(path).split("\n")
        lines = {SHARED: [(f"{path}, line {number}", line) for number, line in enumerate(text, start=1)]}
    else:
        raise FileNotFoundError(f"{path} does not exist; write the phrases to prefer into it, one a line.")
    phrases = {
        cut_id: [reader.phrase(line, where) for where, line in named if not isinstance(line, str) or line.strip()]
        for cut_id, named in lines.items()
    }
    if not any(phrases.values()):
        raise ValueError(f"{path} holds no phrase; write one a line, or leave --context-file out.")
    conflicts = sum(len({phrase.labels for phrase in set(several)}) < len(set(several)) for several in phrases.values())
    if conflicts:
        LOG.warning(f"{path} has a phrase with two scores in {conflicts} of its lists; the last of them counts.")
    return ContextFile(phrases.pop(SHARED, []), phrases)
