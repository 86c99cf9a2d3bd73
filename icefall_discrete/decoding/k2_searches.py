"""The searches that need k2, under icefall's names: `K2_METHODS`.

fast_beam_search and its n-best forms search a graph with the transducer, ctc_decoding, 1best and nbest-rescoring one
with the CTC head. Labels of a hypothesis are pieces whatever the graph, so that all methods read alike; those over a
lexicon also name the words. See `k2_searches.md`.
"""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, TypeVar, Union

import torch
from torch import Tensor

from icefall_discrete.base import backend
from icefall_discrete.decoding.attention_rescoring import attention_scores
from icefall_discrete.decoding.hypothesis import Hypothesis, check_encoder_output
from icefall_discrete.decoding.k2_graphs import (
    GRAPH_STAGE,
    Fsa,
    cached_graph,
    ctc_graph,
    load_graph,
    search_graph,
    trivial_graph,
)
from icefall_discrete.decoding.k2_lattices import (
    PathList,
    alignments,
    ctc_lattice,
    hypotheses_of,
    lattice_device,
    path_scores,
    sampled_paths,
    transducer_lattice,
)
from icefall_discrete.decoding.k2_lexicon import Lexicon, read_lexicon, read_token_table
from icefall_discrete.decoding.k2_settings import K2SearchConfig
from icefall_discrete.decoding.scorer import Scorer
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.decoding.unit_scores import unit_log_probs
from icefall_discrete.metrics.wer import count_errors
from icefall_discrete.nn.heads.contract import (
    LabelModel,
    require_attention_decoder,
    require_ctc,
    require_transducer,
)
from icefall_discrete.text.words import words_in


@dataclass(frozen=True)
class WordHypothesis(Hypothesis):
    """A hypothesis of a search over a lexicon: its labels are the pieces of `words`."""

    words: Tuple[str, ...] = ()


@dataclass(frozen=True)
class References:
    """What was said in each utterance of the batch, for the oracle: words, and how labels are read as text."""

    words: Sequence[Sequence[str]]
    decode: Callable[[Sequence[int]], str]


# What the searches may be given besides; only the oracle takes it.
Outside = Union[Scorer, References, None]
Lists = List[List[Hypothesis]]
Scales = Tuple[float, float]  # weights of G and of the attention decoder
Key = TypeVar("Key")


def n_best(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: K2SearchConfig, graph: Optional[Fsa] = None
) -> List[List[Hypothesis]]:
    """All distinct hypotheses sampled from each utterance's lattice of fast_beam_search, best first, never none.

    A score sums over the alignments in the lattice; timestamps are those of the best alignment.

    Args:
      model: has `predictor` and `joiner`. encoder_out: (N, T', D). encoder_lens: (N,).
      config: DecodeConfig or K2SearchConfig. graph: with an ending; None: every piece may follow every other.
    """
    lattice = _transducer_lattice(model, encoder_out, encoder_lens, config, graph)
    vocab_size = _vocab_size(model)
    paths = sampled_paths(lattice, config)
    found: List[List[Hypothesis]] = [[] for _ in range(encoder_out.size(0))]
    for utterance, hypothesis in zip(paths.utterances, _aligned(lattice, paths, vocab_size)):
        found[utterance].append(hypothesis)
    return [sorted(several, key=lambda hypothesis: -hypothesis.score) for several in found]


def rescore(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: K2SearchConfig, lm_scales: Sequence[float]
) -> Dict[float, List[Hypothesis]]:
    """nbest-rescoring for several weights of G at the cost of one: hypotheses of each utterance by weight.

    Sentences are sampled from the lattice of HLG. Each gets its log-probability from the CTC head, over all alignments,
    plus a weight times its log-probability from G; the scores of HLG count for the sampling only.

    Args:
      model: has `ctc_output`. encoder_out: (N, T', D). encoder_lens: (N,).
      config: DecodeConfig or K2SearchConfig; `graph_dir` holds HLG.pt, G.pt, lexicon.txt and tokens.txt.
      lm_scales: weights of the log-probabilities of G.
    """
    candidates = _word_candidates(model, encoder_out, encoder_lens, config)
    ranked = {scale: candidates.ranked([scale, 0.0], 1) for scale in lm_scales}
    return {scale: [several[0] for several in lists] for scale, lists in candidates.hypotheses(ranked).items()}


def rescore_with_attention(
    model: LabelModel,
    encoder_out: Tensor,
    encoder_lens: Tensor,
    config: K2SearchConfig,
    with_ngram: bool,
    scales: Sequence[Scales],
) -> Dict[Scales, Lists]:
    """attention-decoder-rescoring for several weights at the cost of one: hypotheses of each utterance, best first.

    As `rescore`, with a weight times the log-probability of the sentence, its end included, by the attention decoder.

    Args:
      model: has `ctc_output` and `attention_decoder`. encoder_out: (N, T', D). encoder_lens: (N,).
      config: as for `rescore`. with_ngram: as `rescore`; else sentences of pieces, sampled from the lattice of H, and G
        adds nothing.
      scales: weights of the log-probabilities of G and of the attention decoder.
    """
    decoder = require_attention_decoder(model, "this search").attention_decoder
    make = _word_candidates if with_ngram else _piece_candidates
    candidates = make(model, encoder_out, encoder_lens, config)
    said = candidates.sentences, candidates.paths.utterances
    candidates = candidates._replace(attention=attention_scores(decoder, encoder_out, encoder_lens, *said))
    return candidates.hypotheses({each: candidates.ranked(each, _kept(config)) for each in scales})


class _Candidates(NamedTuple):
    """Sentences from lattices, with the nats of each.

    sentences: labels. acoustic: by the CTC head, over all alignments. lm: by G. attention: by the attention decoder.
    lexicon: None where they are pieces only. vocab_size: V.
    """

    lattice: Fsa
    paths: PathList
    sentences: List[List[int]]
    acoustic: List[float]
    lm: List[float]
    attention: List[float]
    lexicon: Optional[Lexicon]
    vocab_size: int

    def total(self, index: int, scales: Sequence[float]) -> float:
        """Nats of a sentence for weights of G and of the attention decoder."""
        lm_scale, attention_scale = scales
        return self.acoustic[index] + lm_scale * self.lm[index] + attention_scale * self.attention[index]

    def ranked(self, scales: Sequence[float], num: int) -> List[List[Tuple[int, float]]]:
        """The best sentences of each utterance, at most `num`, with their nats."""
        of_utterance = itertools.groupby(range(len(self.sentences)), key=lambda i: self.paths.utterances[i])
        scored = [[(i, self.total(i, scales)) for i in members] for _, members in of_utterance]
        return [sorted(several, key=lambda pair: -pair[1])[:num] for several in scored]

    def hypotheses(self, ranked: Dict[Key, List[List[Tuple[int, float]]]]) -> Dict[Key, List[List[Hypothesis]]]:
        """Hypotheses, with times of the best alignment, of what was ranked."""
        chosen = sorted({i for lists in ranked.values() for several in lists for i, _ in several})
        aligned = dict(zip(chosen, _aligned(self.lattice, self.paths.at(chosen), self.vocab_size)))
        return {
            key: [[self._hypothesis(aligned[i], score) for i, score in several] for several in lists]
            for key, lists in ranked.items()
        }

    def _hypothesis(self, aligned: Hypothesis, score: float) -> Hypothesis:
        if self.lexicon is None:
            return replace(aligned, score=score)
        return _in_words(aligned, self.lexicon, score)


def _word_candidates(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: K2SearchConfig
) -> _Candidates:
    """Sentences of words, from the lattice of HLG."""
    vocab_size = _ctc_vocab_size(model)
    graph = _file_graph(config, "HLG.pt", model, encoder_out)
    lexicon = _lexicon(config, vocab_size)
    lens = _checked_lens(encoder_out, encoder_lens)
    log_probs = _ctc_log_probs(model, encoder_out, config)
    lattice = ctc_lattice(log_probs, lens, graph, config)
    paths = sampled_paths(lattice, config)
    groups = [lexicon.groups([label for label in labels if label < vocab_size]) for labels in paths.labels]
    spellings = [[label for group in several for label in lexicon.spellings[group.word]] for several in groups]
    acoustic = _ctc_scores(log_probs, lens, spellings, paths.utterances)
    grammar = _grammar(Path(config.graph_dir) / "G.pt", lexicon)
    lm = _grammar_scores(grammar, [[group.word for group in several] for several in groups], lexicon)
    return _Candidates(lattice, paths, spellings, acoustic, lm, [0.0] * len(lm), lexicon, vocab_size)


def _piece_candidates(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: K2SearchConfig
) -> _Candidates:
    """Sentences of pieces, from the lattice of H."""
    vocab_size = _ctc_vocab_size(model)
    graph = search_graph(ctc_graph(vocab_size), vocab_size, 1.0, False, lattice_device(encoder_out.device))
    lens = _checked_lens(encoder_out, encoder_lens)
    log_probs = _ctc_log_probs(model, encoder_out, config)
    lattice = ctc_lattice(log_probs, lens, graph, config)
    paths = sampled_paths(lattice, config)
    sentences = [[label for label in labels if label < vocab_size] for labels in paths.labels]
    acoustic = _ctc_scores(log_probs, lens, sentences, paths.utterances)
    nothing = [0.0] * len(sentences)
    return _Candidates(lattice, paths, sentences, acoustic, nothing, nothing, None, vocab_size)


def _aligned(lattice: Fsa, paths: PathList, vocab_size: int) -> List[Hypothesis]:
    """Each path as a hypothesis: timestamps of its best alignment, score of all its alignments in the lattice."""
    k2 = backend.k2_module()
    found: List[Hypothesis] = []
    for part in alignments(lattice, paths):
        best = k2.shortest_path(part, use_double_scores=True)
        found.extend(hypotheses_of(best, path_scores(part, log_semiring=True), vocab_size))
    return found


def _ctc_scores(
    log_probs: Tensor, lens: Sequence[int], sentences: Sequence[Sequence[int]], utterances: Sequence[int]
) -> List[float]:
    """Log-probability of labels over all their CTC alignments, in nats.

    Args:
      log_probs: (N, T', V). lens: N lengths. sentences: labels. utterances: the row of log_probs of each, rising.
    """
    scores: List[float] = []
    for utterance, members in itertools.groupby(range(len(sentences)), key=lambda i: utterances[i]):
        targets = [list(sentences[i]) for i in members]
        if lens[utterance] == 0:
            scores.extend([0.0] * len(targets))
            continue
        frames = log_probs[utterance, : lens[utterance], None].expand(-1, len(targets), -1).cpu()
        losses = torch.nn.functional.ctc_loss(
            frames,
            torch.tensor([label for labels in targets for label in labels], dtype=torch.int64),
            torch.full((len(targets),), lens[utterance], dtype=torch.int64),
            torch.tensor([len(labels) for labels in targets], dtype=torch.int64),
            reduction="none",
        )
        scores.extend((-losses).tolist())
    return scores


def _grammar(path: Path, lexicon: Lexicon) -> Fsa:
    """G as an acceptor of word ids in which backing off reads nothing."""
    k2 = backend.k2_module()
    grammar = load_graph(path)
    if hasattr(grammar, "aux_labels"):
        del grammar.aux_labels
    labels = grammar.labels.clone()
    labels[labels >= lexicon.word_table()["#0"]] = 0
    grammar.labels = labels
    return k2.create_fsa_vec([k2.arc_sort(grammar)])


def _grammar_scores(grammar: Fsa, sentences: Sequence[Sequence[str]], lexicon: Lexicon) -> List[float]:
    """Log-probability of each sentence, its end included, in nats: the best way to read it with backing off."""
    k2 = backend.k2_module()
    table = lexicon.word_table()
    linear = k2.add_epsilon_self_loops(k2.linear_fsa([[table[word] for word in words] for words in sentences]))
    everywhere = torch.zeros(len(sentences), dtype=torch.int32)
    read = k2.top_sort(k2.connect(k2.intersect_device(grammar, linear, b_to_a_map=everywhere, sorted_match_a=True)))
    return read.get_tot_scores(use_double_scores=True, log_semiring=False).tolist()


def _vocab_size(model: LabelModel) -> int:
    if model.blank_id != 0:
        raise ValueError(f"k2 searches need blank to be unit 0, but it is {model.blank_id}.")
    return require_transducer(model, "this search").joiner.output_linear.out_features


def _ctc_vocab_size(model: LabelModel) -> int:
    return require_ctc(model, "this search").ctc_output.out_features


def _checked_lens(encoder_out: Tensor, encoder_lens: Tensor) -> List[int]:
    """Lengths as a list; k2 would go astray in what is not a number."""
    lens = check_encoder_output(encoder_out, encoder_lens)
    for number, length in enumerate(lens):
        if not torch.isfinite(encoder_out[number, :length]).all():
            raise ValueError(f"encoder output of utterance {number} of the batch is not finite; is the model sound?")
    return lens


def _transducer_lattice(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: K2SearchConfig, graph: Optional[Fsa]
) -> Fsa:
    lens = _checked_lens(encoder_out, encoder_lens)
    if graph is None:
        vocab_size = _vocab_size(model)
        graph = search_graph(trivial_graph(vocab_size), vocab_size, 1.0, False, lattice_device(encoder_out.device))
    heads, log_probs = require_transducer(model, "this search"), _log_probs_of(model, config, with_temperature=True)
    with torch.no_grad():
        return transducer_lattice(heads, encoder_out, lens, graph, config, log_probs)


def _log_probs_of(model: LabelModel, config: K2SearchConfig, with_temperature: bool) -> Callable[[Tensor], Tensor]:
    """From logits to log-probabilities of units, with what settings of all searches say of them."""
    if not isinstance(config, DecodeConfig):
        return lambda logits: unit_log_probs(logits, model)
    temperature = config.temperature if with_temperature else 1.0
    return lambda logits: unit_log_probs(logits, model, config.blank_penalty, temperature, config.emit_unk)


def _ctc_log_probs(model: LabelModel, encoder_out: Tensor, config: K2SearchConfig) -> Tensor:
    with torch.no_grad():
        logits = require_ctc(model, "this search").ctc_output(encoder_out)
        return _log_probs_of(model, config, with_temperature=False)(logits)


def _ctc_lattice(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: K2SearchConfig, graph: Fsa
) -> Fsa:
    lens = _checked_lens(encoder_out, encoder_lens)
    return ctc_lattice(_ctc_log_probs(model, encoder_out, config), lens, graph, config)


def _file_graph(settings: K2SearchConfig, name: str, model: LabelModel, encoder_out: Tensor) -> Fsa:
    """LG.pt or HLG.pt of `graph_dir`, with its scale and an ending."""
    if not settings.graph_dir:
        raise ValueError(f"this search needs {name}; make it with {GRAPH_STAGE}, then say --graph-dir <its folder>.")
    is_ctc = name.startswith("H")
    vocab_size = _ctc_vocab_size(model) if is_ctc else _vocab_size(model)
    scale = settings.hlg_scale if is_ctc else settings.ngram_lm_scale
    return cached_graph(Path(settings.graph_dir) / name, vocab_size, scale, lattice_device(encoder_out.device))


def _lexicon(settings: K2SearchConfig, vocab_size: int) -> Lexicon:
    pieces = read_token_table(Path(settings.graph_dir) / "tokens.txt")
    if len(pieces) != vocab_size:
        raise ValueError(
            f"{settings.graph_dir}/tokens.txt has {len(pieces)} pieces, but the model has {vocab_size} units; make the "
            f"graphs with {GRAPH_STAGE} from the experiment's own bpe.model."
        )
    return read_lexicon(settings.graph_dir, pieces)


def _in_words(hypothesis: Hypothesis, lexicon: Lexicon, score: float) -> WordHypothesis:
    """Only whole words: where the search had to give up within a word, its pieces are left out."""
    groups = lexicon.groups(hypothesis.labels)
    kept = [i for group in groups for i in range(group.start, group.stop)]
    labels, frames = [hypothesis.labels[i] for i in kept], [hypothesis.timestamps[i] for i in kept]
    return WordHypothesis(labels, frames, score, words=tuple(group.word for group in groups))


def _best_paths(lattice: Fsa, vocab_size: int) -> List[Hypothesis]:
    best = backend.k2_module().shortest_path(lattice, use_double_scores=True)
    return hypotheses_of(best, path_scores(best, log_semiring=False), vocab_size)


def _one_each(found: Sequence[Hypothesis]) -> List[List[Hypothesis]]:
    return [[hypothesis] for hypothesis in found]


def _fast_beam_search(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: K2SearchConfig, scorer: Outside
) -> Lists:
    _refuse_scorer(scorer)
    lattice = _transducer_lattice(model, encoder_out, encoder_lens, config, None)
    return _one_each(_best_paths(lattice, _vocab_size(model)))


def _fast_beam_search_nbest(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: K2SearchConfig, scorer: Outside
) -> Lists:
    _refuse_scorer(scorer)
    return [several[: _kept(config)] for several in n_best(model, encoder_out, encoder_lens, config)]


def _fast_beam_search_nbest_oracle(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: K2SearchConfig, scorer: Outside
) -> Lists:
    if not isinstance(scorer, References) or len(scorer.words) != encoder_out.size(0):
        raise ValueError("fast_beam_search_nbest_oracle needs the References of the batch's utterances.")

    def errors(reference: Sequence[str], hypothesis: Hypothesis) -> int:
        return count_errors(reference, words_in(scorer.decode(hypothesis.labels))).errors

    lists = n_best(model, encoder_out, encoder_lens, config)
    return _one_each([min(several, key=lambda h: errors(words, h)) for words, several in zip(scorer.words, lists)])


def _fast_beam_search_nbest_lg(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: K2SearchConfig, scorer: Outside
) -> Lists:
    _refuse_scorer(scorer)
    graph = _file_graph(config, "LG.pt", model, encoder_out)
    lexicon = _lexicon(config, _vocab_size(model))
    lists = n_best(model, encoder_out, encoder_lens, config, graph)
    return [[_in_words(h, lexicon, h.score) for h in several[: _kept(config)]] for several in lists]


def _ctc_decoding(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: K2SearchConfig, scorer: Outside
) -> Lists:
    _refuse_scorer(scorer)
    vocab_size = _ctc_vocab_size(model)
    graph = search_graph(ctc_graph(vocab_size), vocab_size, 1.0, False, lattice_device(encoder_out.device))
    return _one_each(_best_paths(_ctc_lattice(model, encoder_out, encoder_lens, config, graph), vocab_size))


def _one_best(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: K2SearchConfig, scorer: Outside
) -> Lists:
    _refuse_scorer(scorer)
    graph = _file_graph(config, "HLG.pt", model, encoder_out)
    vocab_size = _ctc_vocab_size(model)
    lexicon = _lexicon(config, vocab_size)
    found = _best_paths(_ctc_lattice(model, encoder_out, encoder_lens, config, graph), vocab_size)
    return _one_each([_in_words(hypothesis, lexicon, hypothesis.score) for hypothesis in found])


def _nbest_rescoring(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: K2SearchConfig, scorer: Outside
) -> Lists:
    _refuse_scorer(scorer)
    scale = config.rescoring_lm_scale
    return _one_each(rescore(model, encoder_out, encoder_lens, config, [scale])[scale])


def _attention_no_ngram(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: K2SearchConfig, scorer: Outside
) -> Lists:
    _refuse_scorer(scorer)
    scales = (0.0, config.attention_scale)
    return rescore_with_attention(model, encoder_out, encoder_lens, config, False, [scales])[scales]


def _attention_with_ngram(
    model: LabelModel, encoder_out: Tensor, encoder_lens: Tensor, config: K2SearchConfig, scorer: Outside
) -> Lists:
    _refuse_scorer(scorer)
    scales = (config.rescoring_lm_scale, config.attention_scale)
    return rescore_with_attention(model, encoder_out, encoder_lens, config, True, [scales])[scales]


def _kept(config: K2SearchConfig) -> int:
    """How many hypotheses of an utterance are asked for."""
    return config.nbest if isinstance(config, DecodeConfig) else 1


def _refuse_scorer(scorer: Outside) -> None:
    if scorer is not None:
        raise ValueError("k2 searches take no scorer; use modified_beam_search, or a graph with a grammar.")


K2_METHODS: Dict[str, Callable[[LabelModel, Tensor, Tensor, K2SearchConfig, Outside], Lists]] = {
    "fast_beam_search": _fast_beam_search,
    "fast_beam_search_nbest": _fast_beam_search_nbest,
    "fast_beam_search_nbest_oracle": _fast_beam_search_nbest_oracle,
    "fast_beam_search_nbest_LG": _fast_beam_search_nbest_lg,
    "ctc_decoding": _ctc_decoding,
    "1best": _one_best,
    "nbest-rescoring": _nbest_rescoring,
    "attention-decoder-rescoring-no-ngram": _attention_no_ngram,
    "attention-decoder-rescoring-with-ngram": _attention_with_ngram,
}
