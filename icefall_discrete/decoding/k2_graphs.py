"""Decoding graphs: H, L, G, LG and HLG, and the ending that every graph gets before a search.

Labels: 0 blank (epsilon in L and LG), 1 to V - 1 pieces; in L and LG under construction V + k is #k; in a graph with an
ending V is `end` and V + 1 is `give up`.
"""

import functools
from pathlib import Path
from typing import Any, Dict, Iterable, List, Tuple

import torch

from icefall_discrete.base import backend
from icefall_discrete.base.atomic_files import PathLike
from icefall_discrete.decoding.k2_graph_files import GRAPH_STAGE, load_graph, save_graph
from icefall_discrete.decoding.k2_lexicon import FIRST_WORDS, Lexicon
from icefall_discrete.lm.arpa import END, START, NgramModel

Fsa = Any  # k2.Fsa; k2 is imported only where it is used
# A path that gives up in the middle of a word is this many nats worse than any that reaches an end.
GIVE_UP = 1.0e6
DISAMBIGUATOR = "#0"


def _fsa(arcs: Iterable[Tuple[int, int, int, int, float]]) -> Fsa:
    """An FST from arcs (source, destination, label, output label, score); the last state is final."""
    k2 = backend.k2_module()
    table = torch.tensor(sorted(arcs), dtype=torch.float64)
    scores = table[:, 4].to(torch.float32).contiguous().view(torch.int32)
    fsa = k2.Fsa(torch.cat([table[:, :3].to(torch.int32), scores.unsqueeze(1)], dim=1))
    fsa.aux_labels = table[:, 3].to(torch.int32)
    return fsa


def lexicon_fsts(lexicon: Lexicon) -> Tuple[Fsa, Fsa]:
    """L and L_disambig: pieces to words, any number of words; a word's id is on its first piece.

    L_disambig has #1 behind words that begin another one, and loops #0:#0 for the grammar's backing off.
    """
    table = lexicon.word_table()
    disambiguated, _ = lexicon.disambiguated()
    plain = _fsa(_lexicon_arcs(list(lexicon.spellings.items()), table, []))
    loop = [(0, 0, lexicon.vocab_size, table[DISAMBIGUATOR], 0.0)]
    return plain, _fsa(_lexicon_arcs(list(disambiguated.items()), table, loop))


def _lexicon_arcs(entries: List[Tuple[str, Tuple[int, ...]]], table: Dict[str, int], arcs: List) -> List:
    """Words start and end in state 0."""
    free = 1
    for word, labels in entries:
        source = 0
        for position, label in enumerate(labels):
            is_last = position == len(labels) - 1
            destination = 0 if is_last else free
            arcs.append((source, destination, label, 0 if position else table[word], 0.0))
            source, free = destination, free + (not is_last)
    return [*arcs, (0, free, -1, -1, 0.0)]


def grammar_fst(model: NgramModel, word_table: Dict[str, int]) -> Fsa:
    """G: an n-gram model as an FST over the ids of words.txt, from and to words; scores in nats.

    A state is a context. Backing off reads #0, writes nothing and is always allowed, so that a sentence scores as on
    its best way: never below its log-probability, a little above it where backing off early is better. </s> is the
    final score. N-grams with a token that the table has not, such as <unk>, are left out.

    Raises ValueError if the model knows no word of the table, or no end of a sentence.
    """
    known = {END, *word_table} - {START, *FIRST_WORDS, DISAMBIGUATOR}
    if (END,) not in model.grams[0] or len(known.intersection(token for (token,) in model.grams[0])) < 2:
        raise ValueError("the n-gram model knows no word of the lexicon, or no </s>; it must be one over words.")
    contexts = {(): 0.0, (START,): 0.0}
    for grams in model.grams:
        for ngram, gram in grams.items():
            contexts.setdefault(ngram[:-1], 0.0)
            if gram.backoff:
                contexts[ngram] = gram.backoff
    contexts = {c: b for c, b in contexts.items() if known.issuperset(c[1:] if c[:1] == (START,) else c)}
    order = sorted(contexts, key=lambda context: (context != (START,), context))
    state_of = {context: state for state, context in enumerate(order)}
    disambiguator = word_table[DISAMBIGUATOR]
    arcs = [
        (state_of[c], state_of[_longest_context(c[1:], state_of)], disambiguator, 0, contexts[c]) for c in order if c
    ]
    for grams in model.grams:
        for ngram, gram in grams.items():
            if ngram[:-1] not in state_of or ngram[-1] not in known:
                continue
            source = state_of[ngram[:-1]]
            if ngram[-1] == END:
                arcs.append((source, len(order), -1, -1, gram.log_prob))
            else:
                word = word_table[ngram[-1]]
                arcs.append((source, state_of[_longest_context(ngram, state_of)], word, word, gram.log_prob))
    return _fsa(arcs)


def _longest_context(tokens: Tuple[str, ...], states: Dict[Tuple[str, ...], int]) -> Tuple[str, ...]:
    """The longest end of `tokens` that is a state."""
    return next(tokens[begin:] for begin in range(len(tokens) + 1) if tokens[begin:] in states)


def compile_lg(lexicon_disambig: Fsa, grammar: Fsa, vocab_size: int, disambiguator: int, push: bool = True) -> Fsa:
    """LG: determinized, without symbols of disambiguation, without epsilon; labels are pieces, outputs words.

    Args:
      disambiguator: word id of #0. push: whether scores come as early as they can (in the log semiring), as a search
        over LG wants them; for HLG they stay where they are, as in icefall.
    """
    k2 = backend.k2_module()
    lg = k2.connect(k2.compose(k2.arc_sort(lexicon_disambig), k2.arc_sort(grammar)))
    kind = k2.DeterminizeWeightPushingType
    lg = k2.connect(k2.determinize(lg, kind.kLogWeightPushing if push else kind.kNoWeightPushing))
    labels = lg.labels.clone()
    labels[labels >= vocab_size] = 0
    lg.labels = labels
    words = lg.aux_labels if isinstance(lg.aux_labels, torch.Tensor) else lg.aux_labels.values
    words[words >= disambiguator] = 0
    lg = k2.connect(k2.remove_epsilon(lg))
    lg.aux_labels = lg.aux_labels.remove_values_eq(0)
    return k2.arc_sort(lg)


def compile_hlg(lg: Fsa, vocab_size: int) -> Fsa:
    """HLG: labels are units of frames, `tokens` the pieces they begin (0: none), outputs words."""
    k2 = backend.k2_module()
    return k2.arc_sort(k2.connect(k2.compose(k2.ctc_topo(vocab_size - 1), lg, inner_labels="tokens")))


def ctc_graph(vocab_size: int) -> Fsa:
    """H: every sequence of units; `tokens` are the pieces they begin."""
    k2 = backend.k2_module()
    graph = k2.ctc_topo(vocab_size - 1)
    graph.tokens = graph.aux_labels
    return graph


def trivial_graph(vocab_size: int) -> Fsa:
    """One state on which every piece may follow every other."""
    return backend.k2_module().trivial_graph(vocab_size - 1)


def with_ending(graph: Fsa, vocab_size: int, may_give_up: bool) -> Fsa:
    """The graph with arcs to a last state, labelled `end` (V) from final states and, if asked for, `give up` (V + 1).

    A search puts one more frame behind the last one, on which only these labels can be read. Scores of ends are then
    paid like any other, and a search that is nowhere near an end still has a path. Outputs are dropped.
    """
    k2 = backend.k2_module()
    arcs = graph.as_dict()["arcs"].clone()
    tokens = getattr(graph, "tokens", graph.labels).clone()
    last = graph.shape[0] - 1
    ends = arcs[:, 2] == -1
    arcs[ends, 2] = vocab_size
    tokens[ends] = vocab_size
    states = torch.arange(last if may_give_up else 0, dtype=torch.int32)
    giving_up = torch.stack(
        [states, torch.full_like(states, last), states.new_full(states.shape, vocab_size + 1)], dim=1
    )
    final = torch.tensor([[last, last + 1, -1]], dtype=torch.int32)
    extra = torch.nn.functional.pad(torch.cat([giving_up, final]), (0, 1))
    arcs, tokens = torch.cat([arcs, extra]), torch.cat([tokens, extra[:, 2]])
    order = torch.sort(arcs[:, 0].to(torch.int64), stable=True).indices
    ended = k2.Fsa(arcs[order].contiguous())
    ended.tokens = tokens[order].contiguous()
    return k2.arc_sort(ended)


def write_graphs(folder: PathLike, lexicon: Lexicon, model: NgramModel) -> Dict[str, int]:
    """Compile and write L.pt, L_disambig.pt, G.pt, LG.pt and HLG.pt; returns the number of arcs of each."""
    vocab_size, table = lexicon.vocab_size, lexicon.word_table()
    plain, disambiguated = lexicon_fsts(lexicon)
    grammar = grammar_fst(model, table)
    unpushed = compile_lg(disambiguated, grammar, vocab_size, table[DISAMBIGUATOR], push=False)
    graphs = {
        "L.pt": plain,
        "L_disambig.pt": disambiguated,
        "G.pt": grammar,
        "LG.pt": compile_lg(disambiguated, grammar, vocab_size, table[DISAMBIGUATOR]),
        "HLG.pt": compile_hlg(unpushed, vocab_size),
    }
    for name, graph in graphs.items():
        save_graph(graph, Path(folder) / name)
    return {name: graph.num_arcs for name, graph in graphs.items()}


def search_graph(graph: Fsa, vocab_size: int, scale: float, may_give_up: bool, device: torch.device) -> Fsa:
    """A graph made ready for a search: its scores scaled, with an ending, on `device`; `graph` itself is used up.

    Raises ValueError if the graph was made for more pieces than the model has.
    """
    largest = int(graph.labels.max())
    if largest >= vocab_size:
        raise ValueError(
            f"the graph has label {largest}, but the model has {vocab_size} units; make it with {GRAPH_STAGE} from the "
            "experiment's own bpe.model."
        )
    graph.scores = graph.scores * scale
    return with_ending(graph, vocab_size, may_give_up).to(device)


@functools.lru_cache(maxsize=4)
def _cached_graph(path: str, changed_ns: int, vocab_size: int, scale: float, device: torch.device) -> Fsa:
    return search_graph(load_graph(path), vocab_size, scale, Path(path).stem.startswith("H"), device)


def cached_graph(path: Path, vocab_size: int, scale: float, device: torch.device) -> Fsa:
    """`search_graph` of a file, kept in memory for the next batch; a file that changed is read again."""
    changed = path.stat().st_mtime_ns if path.is_file() else 0
    return _cached_graph(str(path), changed, vocab_size, scale, device)
