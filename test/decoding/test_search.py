import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import torch
from plain_search import plain_ctc_prefix_beam_search, plain_modified_beam_search
from torch import nn
from toy_transducer import random_model, random_output

from icefall_discrete.base import backend
from icefall_discrete.decoding import ctc_prefix_beam, greedy, modified_beam, prediction
from icefall_discrete.decoding.methods import METHODS, k2_methods, known_methods
from icefall_discrete.decoding.search import check_method, search, search_nbest
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.nn.heads.joiner import Joiner
from icefall_discrete.nn.heads.predictor import StatelessPredictor


@pytest.fixture(scope="module")
def golden():
    with numpy.load(Path(__file__).parents[1] / "assets" / "transducer_head_golden.npz") as arrays:
        return {key: torch.from_numpy(numpy.asarray(arrays[key])) for key in arrays}


@pytest.mark.parametrize("method, name", [("greedy_search", "greedy"), ("modified_beam_search", "modified_beam4")])
def test_golden(golden, method, name):
    predictor, joiner = StatelessPredictor(37, 40, 0, 2).eval(), Joiner(64, 40, 48, 37).eval()
    weights = {key[len("param/") :]: value for key, value in golden.items() if key.startswith("param/")}
    for prefix, module in (("decoder.", predictor), ("joiner.", joiner)):
        own = {key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)}
        module.load_state_dict(own, strict=False)
    model = SimpleNamespace(blank_id=0, predictor=predictor, joiner=joiner)
    found = search(method, model, golden["search/encoder_out"], golden["search/encoder_lens"], DecodeConfig())
    for n, hypothesis in enumerate(found):
        assert hypothesis.labels == golden[f"search/{name}/{n}"].tolist()
        assert len(hypothesis.timestamps) == len(hypothesis.labels)
        assert all(a < b for a, b in zip(hypothesis.timestamps, hypothesis.timestamps[1:]))


@pytest.mark.parametrize("context_size", [1, 2, 3])
@pytest.mark.parametrize("method", known_methods())
def test_an_utterance_in_a_batch_gets_what_it_gets_alone(method, context_size):
    model = random_model(context_size=context_size)
    out, lens = random_output()
    config = DecodeConfig(max_sym_per_frame=3, blank_penalty=0.3, temperature=1.3)
    together = search(method, model, out, lens, config)
    assert sum(len(hypothesis.labels) for hypothesis in together) > 5
    for n, hypothesis in enumerate(together):
        alone = search(method, model, out[n : n + 1, : lens[n]], lens[n : n + 1], config)[0]
        assert (alone.labels, alone.timestamps) == (hypothesis.labels, hypothesis.timestamps)
        assert alone.score == pytest.approx(hypothesis.score, abs=1e-4)


@pytest.mark.parametrize("context_size", [1, 2, 3])
def test_prefixes_that_share_their_next_units_find_what_they_find_apart(context_size, monkeypatch):
    model = random_model(context_size=context_size)
    out, lens = random_output(num_frames=30)
    config, found = DecodeConfig(blank_penalty=0.3, beam_size=6, nbest=6), []
    for devices in (("cpu",), ()):
        monkeypatch.setattr(prediction, "ANSWERS_AT_ONCE", devices)
        found.append(search_nbest("modified_beam_search", model, out, lens, config))
    assert sum(len(hypotheses) for hypotheses in found[0]) > 12
    for shared, apart in zip(*found):
        assert [hypothesis.labels for hypothesis in shared] == [hypothesis.labels for hypothesis in apart]
        assert [hypothesis.score for hypothesis in shared] == pytest.approx([h.score for h in apart], abs=1e-4)


def test_contexts_are_forgotten_when_they_are_too_many(monkeypatch):
    model = random_model()
    out, lens = random_output(num_frames=30)
    config = DecodeConfig(blank_penalty=0.3)
    expected = search("modified_beam_search", model, out, lens, config)
    monkeypatch.setattr(prediction, "_MOST_KEPT", 20)
    assert search("modified_beam_search", model, out, lens, config) == expected
    contexts = numpy.arange(42).reshape(21, 2) % 11
    with torch.no_grad():
        expected = prediction.Predictions(model).of(torch.from_numpy(contexts)).numpy()
        monkeypatch.setattr(prediction, "_FIRST_ROOM", 2)
        kept = prediction.KeptPredictions(model)
        kept.places(range(9), contexts[:9])
        rows = kept.places(range(21), contexts)
        numpy.testing.assert_allclose(kept.rows[rows], expected, rtol=1e-4, atol=1e-6)
        # What stands under a known key is not computed again.
        for context in (contexts[:1], contexts[1:2]):
            numpy.testing.assert_allclose(kept.rows[kept.places([5], context)], expected[:1], rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(torch.__version__ < "2", reason="many operations of torch 1.13 do not know the device meta")
@pytest.mark.parametrize(
    "method, end",
    [
        ("greedy_search", (greedy, "_collect")),
        ("modified_beam_search", (modified_beam.Traces, "best")),
        ("ctc_prefix_beam_search", (ctc_prefix_beam.Traces, "best")),
    ],
)
def test_an_accelerator_is_not_waited_for_between_the_first_and_the_last_frame(method, end, monkeypatch):
    # Tensors of this device have no values: whoever asks for one fails.
    monkeypatch.setattr(*end, lambda *args: [["reached"]])
    model, (out, lens) = random_model().to("meta"), random_output()
    assert search_nbest(method, model, out.to("meta"), lens, DecodeConfig())[0] in (["reached"], [["reached"]])


def step_log_probs(model, prefix, frame_out):
    context_size = model.predictor.context_size
    context = ([-1] * (context_size - 1) + [0] + list(prefix))[-context_size:]
    lm = model.predictor(torch.tensor([context]), need_pad=False)[:, 0]
    return model.joiner(frame_out[None], lm)[0].log_softmax(dim=0).tolist()


@torch.no_grad()
@pytest.mark.parametrize("max_sym_per_frame", [1, 2, 4])
def test_greedy_equals_one_step_at_a_time(max_sym_per_frame):
    model = random_model()
    out, lens = random_output()
    config = DecodeConfig(max_sym_per_frame=max_sym_per_frame)
    for n, hypothesis in enumerate(search("greedy_search", model, out, lens, config)):
        labels, frames, score = [], [], 0.0
        for frame in range(int(lens[n])):
            for _ in range(max_sym_per_frame):
                log_probs = step_log_probs(model, labels, out[n, frame])
                best = max(range(11), key=lambda unit: log_probs[unit])
                score += log_probs[best]
                if best == 0:
                    break
                labels.append(best)
                frames.append(frame)
        assert (hypothesis.labels, hypothesis.timestamps) == (labels, frames)
        assert hypothesis.score == pytest.approx(score, abs=1e-4)
        counts = [frames.count(frame) for frame in set(frames)]
        assert max_sym_per_frame == 1 or n > 0 or max(counts) > 1


@torch.no_grad()
def test_wide_beam_finds_the_best_sum_over_alignments():
    model = random_model(vocab_size=3)
    out = random_output(num=1, num_frames=4)[0]
    totals = {}
    for units in itertools.product(range(3), repeat=4):
        labels, score = [], 0.0
        for frame, unit in enumerate(units):
            score += step_log_probs(model, labels, out[0, frame])[unit]
            labels += [unit] if unit else []
        totals[tuple(labels)] = numpy.logaddexp(totals.get(tuple(labels), -numpy.inf), score)
    best = max(totals, key=lambda labels: totals[labels] / (len(labels) + model.predictor.context_size))
    found = search("modified_beam_search", model, out, torch.tensor([4]), DecodeConfig(beam_size=100))[0]
    assert tuple(found.labels) == best
    assert found.score == pytest.approx(totals[best], abs=1e-4)


def test_beam_of_one_is_greedy():
    model = random_model()
    out, lens = random_output()
    greedy = search("greedy_search", model, out, lens, DecodeConfig())
    beam = search("modified_beam_search", model, out, lens, DecodeConfig(beam_size=1))
    assert [h.labels for h in beam] == [h.labels for h in greedy]
    assert [h.timestamps for h in beam] == [h.timestamps for h in greedy]


class OnlyRising:
    """Labels must rise; the state is the last label."""

    def __init__(self):
        self.asked = 0

    def start(self, utterances):
        return (torch.zeros_like(utterances),), torch.zeros(len(utterances), 11)

    def advance(self, state, units):
        self.asked += len(units)
        falls = torch.arange(11) <= units.unsqueeze(1)
        assert (units > 0).all(), "a scorer sees no blank"
        return (units,), falls * -1000.0

    def final(self, state):
        return torch.where(state[0] == 10, 0.5, 0.0)


@pytest.mark.parametrize("method", ["modified_beam_search", "ctc_prefix_beam_search", "joint_beam_search"])
def test_scorer_changes_the_outcome_and_is_asked_only_where_a_label_was_added(method):
    model, scorer = random_model(), OnlyRising()
    out, lens = random_output()
    plain = search(method, model, out, lens, DecodeConfig())
    found = search(method, model, out, lens, DecodeConfig(), scorer)
    assert any(h.labels != sorted(set(h.labels)) for h in plain)
    assert all(h.labels == sorted(set(h.labels)) for h in found)
    assert 0 < scorer.asked < int(lens.sum()) * 4
    with pytest.raises(ValueError, match="greedy_search takes no scorer"):
        search("greedy_search", model, out, lens, DecodeConfig(), scorer)


@pytest.mark.parametrize("with_scorer", [False, True])
@pytest.mark.parametrize("beam_size", [1, 2, 4, 7])
def test_modified_beam_equals_plain_hypothesis_objects(beam_size, with_scorer):
    model = random_model()
    out, lens = random_output()
    config = DecodeConfig(beam_size=beam_size, nbest=beam_size)
    bonus = {
        "bonus": lambda n, prefix, unit: -1000.0 if prefix and unit <= prefix[-1] else 0.0,
        "final": lambda n, prefix: 0.5 if prefix and prefix[-1] == 10 else 0.0,
    }
    expected = plain_modified_beam_search(model, out, lens, beam_size, **(bonus if with_scorer else {}))
    found = search_nbest("modified_beam_search", model, out, lens, config, OnlyRising() if with_scorer else None)
    for ours, theirs in zip(found, expected):
        assert [(h.labels, h.timestamps) for h in ours] == [(h.labels, h.timestamps) for h in theirs]
        assert [h.score for h in ours] == pytest.approx([h.score for h in theirs], abs=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("beam_size", [1, 3, 8])
def test_ctc_prefix_beam_equals_the_plain_one(beam_size):
    model = random_model()
    out, lens = random_output()
    found = search_nbest("ctc_prefix_beam_search", model, out, lens, DecodeConfig(beam_size=beam_size, nbest=beam_size))
    for n, ours in enumerate(found):
        log_probs = model.ctc_output(out[n, : lens[n]]).log_softmax(dim=1)
        theirs = plain_ctc_prefix_beam_search(log_probs, beam_size)
        assert [tuple(h.labels) for h in ours] == [prefix for prefix, _ in theirs]
        assert [h.score for h in ours] == pytest.approx([score for _, score in theirs], abs=1e-3)


class Silent(OnlyRising):
    """Adds nothing; with it a search looks at all units."""

    def start(self, utterances):
        return (utterances,), torch.zeros(len(utterances), 40)

    def advance(self, state, units):
        return state, torch.zeros(len(units), 40)

    def final(self, state):
        return torch.zeros(len(state[0]))


@pytest.mark.parametrize("beam_size", [2, 5])
def test_the_likely_labels_of_a_frame_are_all_that_ctc_prefixes_need(beam_size):
    # Labels that stay for some frames, so that prefixes often hold what others would become.
    torch.manual_seed(3)
    logits = torch.randn(6, 20, 40).repeat_interleave(2, dim=1) * 2.0 + torch.randn(6, 40, 40)
    model = SimpleNamespace(blank_id=0, ctc_output=nn.Identity())
    config, lens = DecodeConfig(beam_size=beam_size, nbest=beam_size), torch.tensor([40, 39, 30, 20, 10, 1])
    few, every = (search_nbest("ctc_prefix_beam_search", model, logits, lens, config, one) for one in (None, Silent()))
    for ours, theirs in zip(few, every):
        assert [(h.labels, h.timestamps) for h in ours] == [(h.labels, h.timestamps) for h in theirs]
        assert [h.score for h in ours] == pytest.approx([h.score for h in theirs], abs=1e-4)


@torch.no_grad()
def test_wide_ctc_beam_sums_over_all_alignments():
    model = random_model(vocab_size=4)
    out = random_output(num=1, num_frames=5)[0]
    log_probs = model.ctc_output(out[0]).log_softmax(dim=1)
    totals = {}
    for units in itertools.product(range(4), repeat=5):
        labels = tuple(unit for unit, _ in itertools.groupby(units) if unit)
        score = sum(log_probs[frame, unit].item() for frame, unit in enumerate(units))
        totals[labels] = numpy.logaddexp(totals.get(labels, -numpy.inf), score)
    config = DecodeConfig(beam_size=400, nbest=400)
    found = search_nbest("ctc_prefix_beam_search", model, out, torch.tensor([5]), config)[0]
    assert {tuple(h.labels): h.score for h in found} == pytest.approx(totals, abs=1e-4)
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    assert torch.tensor([h.score for h in found]).logsumexp(dim=0).item() == pytest.approx(0.0, abs=1e-4)


def test_nbest_begins_with_the_best_and_has_no_doubles():
    model = random_model()
    out, lens = random_output()
    for method in known_methods():
        best = search(method, model, out, lens, DecodeConfig())
        several = search_nbest(method, model, out, lens, DecodeConfig(nbest=4))
        assert [found[0] for found in several] == best
        for found in several:
            assert len({tuple(h.labels) for h in found}) == len(found)
        assert (len(several[0]) == 4) == ("beam" in method)
    with pytest.raises(ValueError, match="nbest is 5, but beam_size keeps 4"):
        search_nbest("modified_beam_search", model, out, lens, DecodeConfig(nbest=5))


@pytest.mark.parametrize("method", known_methods())
def test_utterances_without_frames_and_empty_batches(method):
    model = random_model()
    out, _ = random_output(num=2)
    first, second = search(method, model, out, torch.tensor([0, 15]), DecodeConfig())
    assert (first.labels, first.timestamps, first.score) == ([], [], 0.0)
    assert second.labels == search(method, model, out[1:], torch.tensor([15]), DecodeConfig())[0].labels
    assert search(method, model, out[:0], torch.zeros(0, dtype=torch.int64), DecodeConfig()) == []


def test_without_k2_its_methods_say_how_to_get_it(monkeypatch):
    monkeypatch.setattr(backend, "_import_k2", lambda: (None, "ImportError: no k2"))
    for method in k2_methods():
        with pytest.raises(
            RuntimeError, match=rf"{method} needs k2.*tools/setup_env\.sh --env k2, or use .*beam.search"
        ):
            check_method(method)


def test_ctc_joins_repeats_and_drops_blanks():
    units = torch.tensor([[0, 3, 3, 0, 3, 5, 5, 0], [2, 2, 0, 0, 4, 4, 4, 4]])
    logits = torch.nn.functional.one_hot(units, 6).float() * 20.0
    model = SimpleNamespace(blank_id=0, ctc_output=nn.Identity())
    first, second = search("ctc_greedy_search", model, logits, torch.tensor([8, 4]), DecodeConfig())
    assert (first.labels, first.timestamps) == ([3, 3, 5], [1, 4, 5])
    assert (second.labels, second.timestamps) == ([2], [0])


@pytest.mark.parametrize("method", [name for name in known_methods() if "blank_penalty" in METHODS[name].settings])
def test_a_penalty_on_blank_gives_more_labels(method):
    model = random_model()
    out, lens = random_output()
    counts = [
        sum(len(h.labels) for h in search(method, model, out, lens, DecodeConfig(blank_penalty=penalty)))
        for penalty in (-100.0, -5.0, 100.0)
    ]
    assert counts[0] == 0 < counts[1] < counts[2]


def test_heads_that_nothing_trained_are_missed_only_where_they_count():
    model = random_model()
    out, lens = random_output()
    model.attention_decoder = None
    assert search("joint_beam_search", model, out, lens, DecodeConfig(ctc_weight=1.0))[0].labels
    for method in ("joint_beam_search", "attention_beam_search"):
        with pytest.raises(ValueError, match=f"{method} needs a model that was trained with an attention decoder"):
            search(method, model, out, lens, DecodeConfig())
    model = random_model()
    both = search("joint_beam_search", model, out, lens, DecodeConfig(ctc_weight=0.0))
    timed = search("attention_beam_search", model, out, lens, DecodeConfig())
    assert both == timed
    model.ctc_output = None
    alone = search("attention_beam_search", model, out, lens, DecodeConfig())
    assert [h.labels for h in alone] == [h.labels for h in timed]
    assert [h.labels for h in search("joint_beam_search", model, out, lens, DecodeConfig(ctc_weight=0.0))] == [
        h.labels for h in timed
    ]
    with pytest.raises(ValueError, match=r"joint_beam_search with ctc_weight 0\.3 needs .* Use attention_beam"):
        search("joint_beam_search", model, out, lens, DecodeConfig())


def test_mistakes_are_explained():
    model = random_model()
    out, lens = random_output()
    unknown = r"unknown decoding method 'fast'; did you mean fast_beam_search\? known: greedy_search, modified_beam_s"
    with pytest.raises(ValueError, match=unknown):
        search("fast", model, out, lens, DecodeConfig())
    with pytest.raises(ValueError, match="do not fit encoder_out with 15 frames"):
        search("greedy_search", model, out, lens + 1, DecodeConfig())
    with pytest.raises(ValueError, match="max_sym_per_frame is 0"):
        search("greedy_search", model, out, lens, DecodeConfig(max_sym_per_frame=0))
