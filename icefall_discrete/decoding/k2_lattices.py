"""Lattices of k2: every path has an arc for each frame, one that ends or gives up, and k2's final arc.

The position of an arc in its path is therefore the frame, and the label of an arc is the piece that the frame emits (0:
none). Scores are in nats and lack nothing: see `k2_searches.md` for what the usual way of calling k2 drops.
"""

from typing import Callable, List, NamedTuple, Sequence, Tuple

import torch
from torch import Tensor

from icefall_discrete.base import backend
from icefall_discrete.decoding.hypothesis import Hypothesis
from icefall_discrete.decoding.k2_graphs import GIVE_UP, Fsa
from icefall_discrete.decoding.k2_settings import K2SearchConfig
from icefall_discrete.nn.heads.contract import TransducerModel

_PATHS_AT_ONCE = 1000  # paths intersected with their lattices in one call; bounds the memory
_END_FRAMES = 2  # frames behind the last one: `end` or `give up`, then k2's final arc


class PathList(NamedTuple):
    """Distinct label sequences of lattices: `labels[i]`, read in lattice `utterances[i]`."""

    labels: List[Tuple[int, ...]]
    utterances: List[int]

    def at(self, indexes: Sequence[int]) -> "PathList":
        """Some of the paths."""
        return PathList([self.labels[i] for i in indexes], [self.utterances[i] for i in indexes])


def lattice_device(device: torch.device) -> torch.device:
    """Where k2 works: the device of the model, or the CPU if this k2 was built without CUDA."""
    return device if backend.k2_module().with_cuda else torch.device("cpu")


def initial_states(contexts: Tensor) -> Tensor:
    """Predictor inputs (M, context_size) from k2's contexts, in which nothing at all and blank are both 0.

    Training and the other searches start from (-1, ..., -1, blank): only the last 0 before the first label is a blank.
    """
    contexts = contexts.to(torch.int64)
    nothing = torch.zeros_like(contexts, dtype=torch.bool)
    nothing[:, :-1] = (contexts[:, :-1] == 0) & (contexts[:, 1:] == 0)
    return contexts.masked_fill(nothing, -1)


def transducer_lattice(
    model: TransducerModel,
    encoder_out: Tensor,
    lens: Sequence[int],
    graph: Fsa,
    search: K2SearchConfig,
    log_probs_of: Callable[[Tensor], Tensor],
) -> Fsa:
    """Search a graph with a transducer that emits at most one label a frame.

    Args:
      encoder_out: (N, T', D). lens: N lengths, 0 allowed. graph: with an ending.
      log_probs_of: from logits (M, V) to log-probabilities of units.
    """
    k2 = backend.k2_module()
    vocab_size, context_size = model.joiner.output_linear.out_features, model.predictor.context_size
    _check_state_numbers(vocab_size, context_size, graph.shape[0])
    config = k2.RnntDecodingConfig(
        vocab_size=vocab_size + 1,
        decoder_history_len=context_size,
        beam=search.beam,
        max_contexts=search.max_contexts,
        max_states=search.max_states,
    )
    streams = k2.RnntDecodingStreams([k2.RnntDecodingStream(graph) for _ in lens], config)
    am = model.joiner.encoder_proj(encoder_out)
    frames_left = torch.tensor(list(lens), device=am.device)
    for frame in range(max(lens) + _END_FRAMES):
        shape, contexts = streams.get_contexts()
        utterance = shape.row_ids(1).to(am.device, torch.int64)
        log_probs = _ending_log_probs(frames_left[utterance] - frame, vocab_size)
        live = (frames_left[utterance] > frame).nonzero().squeeze(1)
        if live.numel():
            predicted = model.predictor(initial_states(contexts.to(am.device)[live]), need_pad=False).squeeze(1)
            lm = model.joiner.decoder_proj(predicted)
            log_probs[live, :vocab_size] = log_probs_of(
                model.joiner(am[utterance[live], frame], lm, project_input=False)
            )
        streams.advance(log_probs.to(graph.device))
    streams.terminate_and_flush_to_streams()
    return streams.format_output([length + _END_FRAMES for length in lens], allow_partial=True)


def _ending_log_probs(frames_left: Tensor, vocab_size: int) -> Tensor:
    """(M, V + 1) for contexts with so many frames left: nothing yet; 0: `end`, or giving up by a blank; then blanks."""
    log_probs = torch.full((frames_left.numel(), vocab_size + 1), float("-inf"), device=frames_left.device)
    log_probs[frames_left == 0, 0] = -GIVE_UP
    log_probs[frames_left == 0, vocab_size] = 0.0
    log_probs[frames_left < 0, 0] = 0.0
    return log_probs


def _check_state_numbers(vocab_size: int, context_size: int, num_states: int) -> None:
    if (vocab_size + 1) ** context_size * num_states >= 2**63:
        raise ValueError(
            f"context_size {context_size} with {vocab_size} units and a graph of {num_states} states: k2 cannot number "
            "the states of this search in 64 bits; use --decoding-method modified_beam_search."
        )


def ctc_lattice(log_probs: Tensor, lens: Sequence[int], graph: Fsa, search: K2SearchConfig) -> Fsa:
    """Search a graph of frames' units (H or HLG, with an ending) with log-probs (N, T', V) of a CTC head."""
    k2 = backend.k2_module()
    num, num_frames, vocab_size = log_probs.shape
    ended = log_probs.new_full((num, num_frames + 1, vocab_size + 2), float("-inf"), dtype=torch.float32)
    ended[:, :num_frames, :vocab_size] = log_probs
    rows, last = torch.arange(num), torch.tensor(list(lens))
    ended[rows, last] = float("-inf")
    ended[rows, last, vocab_size] = 0.0
    ended[rows, last, vocab_size + 1] = -GIVE_UP
    segments = torch.stack([rows, torch.zeros_like(rows), last + 1], dim=1).to(torch.int32)
    lattice = k2.intersect_dense_pruned(
        graph,
        k2.DenseFsaVec(ended.to(graph.device), segments),
        search_beam=search.search_beam,
        output_beam=search.output_beam,
        min_active_states=search.min_active_states,
        max_active_states=search.max_active_states,
    )
    tokens = lattice.tokens.clone()
    tokens[lattice.labels == -1] = -1
    lattice.labels = tokens
    return lattice


def sampled_paths(lattice: Fsa, search: K2SearchConfig) -> PathList:
    """The distinct label sequences of `num_paths` paths of each lattice, and always that of its best path.

    k2 takes the paths at even steps of the lattice's probability, so that nothing is left to chance.
    """
    k2 = backend.k2_module()
    flattened = k2.Fsa(lattice.arcs.clone())  # setting scores writes into the arcs
    flattened.scores = lattice.scores * search.nbest_scale
    paths = k2.random_paths(flattened, use_double_scores=True, num_paths=search.num_paths)
    sampled = k2.ragged.index(lattice.labels.contiguous(), paths).remove_values_leq(0).tolist()
    best = path_labels(k2.shortest_path(lattice, use_double_scores=True))
    found = PathList([], [])
    for utterance, (sequences, first) in enumerate(zip(sampled, best)):
        distinct = dict.fromkeys([tuple(label for label in first if label > 0), *map(tuple, sequences)])
        found.labels.extend(distinct)
        found.utterances.extend([utterance] * len(distinct))
    return found


def alignments(lattice: Fsa, paths: PathList) -> List[Fsa]:
    """For each slice of `paths`, the parts of the lattices that read them; attributes are those of the lattice."""
    k2 = backend.k2_module()
    lattice = k2.arc_sort(lattice)
    found = []
    for begin in range(0, len(paths.labels), _PATHS_AT_ONCE):
        labels = [list(sequence) for sequence in paths.labels[begin : begin + _PATHS_AT_ONCE]]
        of = torch.tensor(paths.utterances[begin : begin + _PATHS_AT_ONCE], dtype=torch.int32, device=lattice.device)
        linear = k2.add_epsilon_self_loops(k2.linear_fsa(labels, device=lattice.device))
        both = k2.intersect_device(lattice, linear, b_to_a_map=of, sorted_match_a=True)
        found.append(k2.top_sort(k2.connect(both)))
    return found


def path_labels(paths: Fsa) -> List[List[int]]:
    """Labels of the arcs of linear FSAs, in order."""
    return backend.k2_module().RaggedTensor(paths.arcs.shape().remove_axis(1), paths.labels.contiguous()).tolist()


def hypotheses_of(paths: Fsa, scores: Sequence[float], vocab_size: int) -> List[Hypothesis]:
    """Hypotheses from the best paths of lattices; a path that gave up gets the nats back that it was charged."""
    found = []
    for labels, score in zip(path_labels(paths), scores):
        emitted = [(label, frame) for frame, label in enumerate(labels) if 0 < label < vocab_size]
        gave_up = vocab_size not in labels
        found.append(Hypothesis([a for a, _ in emitted], [b for _, b in emitted], score + GIVE_UP * gave_up))
    return found


def path_scores(lattice: Fsa, log_semiring: bool) -> List[float]:
    """Score in nats of each lattice: of its best path, or of all its paths together.

    Raises ValueError if a lattice has no path.
    """
    scores = lattice.get_tot_scores(use_double_scores=True, log_semiring=log_semiring).tolist()
    without = [number for number, score in enumerate(scores) if not score > float("-inf")]
    if without:
        raise ValueError(f"k2 found no path in lattice {without[0]} of the batch; widen the beams of the search.")
    return scores
