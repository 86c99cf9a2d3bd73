import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import torch
from torch import nn

from icefall_discrete.decoding import DecodeConfig, known_methods, search
from icefall_discrete.models.joiner import Joiner
from icefall_discrete.models.predictor import StatelessPredictor


def random_model(vocab_size=11, context_size=2, seed=0):
    torch.manual_seed(seed)
    model = nn.Module()
    model.predictor = StatelessPredictor(vocab_size, 8, 0, context_size)
    model.joiner = Joiner(12, 8, 10, vocab_size)
    model.ctc_output = nn.Linear(12, vocab_size)
    with torch.no_grad():
        for param in model.joiner.parameters():
            param.mul_(6.0)
        model.ctc_output.weight.mul_(4.0)
    return model.eval()


def random_output(num=4, num_frames=15, seed=1):
    torch.manual_seed(seed)
    return torch.randn(num, num_frames, 12), torch.tensor([num_frames, 6, 9, 1][:num])


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
    model = SimpleNamespace(predictor=predictor, joiner=joiner)
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


def test_scorer_sees_prefixes_and_changes_the_outcome():
    model = random_model()
    out, lens = random_output()
    seen = set()

    def only_rising(prefixes, prefix_lens):
        scores = torch.zeros(prefixes.size(0), 11)
        for row, (prefix, length) in enumerate(zip(prefixes.tolist(), prefix_lens.tolist())):
            seen.add(tuple(prefix[:length]))
            scores[row, : prefix[length - 1] + 1 if length else 0] = -1000.0
        return scores

    plain = search("modified_beam_search", model, out, lens, DecodeConfig())
    found = search("modified_beam_search", model, out, lens, DecodeConfig(), only_rising)
    assert any(h.labels != sorted(set(h.labels)) for h in plain)
    assert all(h.labels == sorted(set(h.labels)) for h in found)
    assert all(tuple(h.labels[:-1]) in seen for h in found)
    with pytest.raises(ValueError, match="greedy_search takes no scorer"):
        search("greedy_search", model, out, lens, DecodeConfig(), only_rising)


def test_ctc_joins_repeats_and_drops_blanks():
    units = torch.tensor([[0, 3, 3, 0, 3, 5, 5, 0], [2, 2, 0, 0, 4, 4, 4, 4]])
    logits = torch.nn.functional.one_hot(units, 6).float() * 20.0
    model = SimpleNamespace(predictor=SimpleNamespace(blank_id=0), ctc_output=nn.Identity())
    first, second = search("ctc_greedy_search", model, logits, torch.tensor([8, 4]), DecodeConfig())
    assert (first.labels, first.timestamps) == ([3, 3, 5], [1, 4, 5])
    assert (second.labels, second.timestamps) == ([2], [0])


@pytest.mark.parametrize("method", known_methods())
def test_a_penalty_on_blank_gives_more_labels(method):
    model = random_model()
    out, lens = random_output()
    counts = [
        sum(len(h.labels) for h in search(method, model, out, lens, DecodeConfig(blank_penalty=penalty)))
        for penalty in (-100.0, -2.0, 100.0)
    ]
    assert counts[0] == 0 < counts[1] < counts[2]


def test_mistakes_are_explained():
    model = random_model()
    out, lens = random_output()
    with pytest.raises(
        ValueError, match="unknown decoding method 'fast'; known: greedy_search, modified_beam_search, ctc"
    ):
        search("fast", model, out, lens, DecodeConfig())
    with pytest.raises(ValueError, match="do not fit encoder_out with 15 frames"):
        search("greedy_search", model, out, lens + 1, DecodeConfig())
    with pytest.raises(ValueError, match="max_sym_per_frame is 0"):
        search("greedy_search", model, out, lens, DecodeConfig(max_sym_per_frame=0))
