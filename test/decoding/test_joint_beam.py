"""The search from label to label against exhaustive search, other searches, and itself."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from toy_attention import BigramScorer
from toy_transducer import random_model, random_output

from icefall_discrete.decoding.ctc_alignment import ctc_frames
from icefall_discrete.decoding.ctc_prefix_beam import ctc_prefix_beam_search
from icefall_discrete.decoding.hotwords import Phrase, hotword_scorer
from icefall_discrete.decoding.joint_beam import label_beam_search
from icefall_discrete.decoding.joint_settings import LabelSearchConfig, label_search_settings
from icefall_discrete.decoding.modified_beam import BeamConfig
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.systems.asr.decoding_files import decoding_suffix
from icefall_discrete.systems.asr.prediction import AsrPrediction, Search
from icefall_discrete.systems.asr.recognition import WHOLE

CPU = torch.device("cpu")


def search(model, out, lens, attention, beam=None, scorer=None, **settings):
    return label_beam_search(model, out, lens, attention, beam or BeamConfig(), LabelSearchConfig(**settings), scorer)


def small_model(vocab_size=5, seed=0):
    """A CTC head that never finds label 1, which is the end of a sentence."""
    model = random_model(vocab_size=vocab_size, seed=seed)
    with torch.no_grad():
        model.ctc_output.bias[1] -= 1e4
    return model


def ctc_totals(log_probs):
    """Nats of each label sequence of one utterance (T', V)."""
    totals = {}
    for units in itertools.product([unit for unit in range(log_probs.size(1)) if unit != 1], repeat=len(log_probs)):
        labels = tuple(unit for unit, _ in itertools.groupby(units) if unit)
        path = math.exp(sum(log_probs[frame, unit].item() for frame, unit in enumerate(units)))
        totals[labels] = totals.get(labels, 0.0) + path
    return {labels: math.log(total) for labels, total in totals.items()}


@torch.no_grad()
@pytest.mark.parametrize("weight", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("bonus", [0.0, 0.7])
def test_a_beam_as_wide_as_everything_finds_the_best_of_all(weight, bonus):
    model, (out, _) = small_model(), random_output(num=3, num_frames=5)
    lens, attention = torch.tensor([5, 3, 4]), BigramScorer(3, 5)
    settings = {"ctc_weight": weight, "length_bonus": bonus, "maxlenratio": 1.0}
    found = search(model, out, lens, attention, BeamConfig(beam_size=400, nbest=400), **settings)
    for n, length in enumerate(lens.tolist()):
        ctc = ctc_totals(model.ctc_output(out[n, :length]).log_softmax(dim=1))
        every = [labels for size in range(length + 1) for labels in itertools.product((2, 3, 4), repeat=size)]
        totals = {}
        for labels in every:
            if weight == 0.0 or labels in ctc:
                heard = weight * ctc[labels] if weight else 0.0
                totals[labels] = heard + (1 - weight) * attention.total(n, labels) + bonus * len(labels)
        ranked = sorted(totals, key=lambda labels: -totals[labels])
        assert [tuple(h.labels) for h in found[n][:5]] == ranked[:5]
        assert {tuple(h.labels): h.score for h in found[n]} == pytest.approx(totals, abs=1e-4)


@pytest.mark.parametrize("attention", [None, BigramScorer(4, 5)])
def test_the_ctc_head_alone_gives_what_its_frame_by_frame_search_gives(attention):
    model, (out, _) = small_model(), random_output(num_frames=5)
    lens, beam = torch.tensor([5, 4, 2, 1]), BeamConfig(beam_size=400, nbest=20)
    expected = ctc_prefix_beam_search(model, out, lens, beam)
    found = search(model, out, lens, attention, beam, ctc_weight=1.0)
    for ours, theirs in zip(found, expected):
        theirs = {tuple(h.labels): h.score for h in theirs if 1 not in h.labels}
        assert ours[0].labels == list(next(iter(theirs)))
        assert {tuple(h.labels): h.score for h in ours} == pytest.approx(theirs, abs=1e-4)


def test_the_attention_decoder_alone_with_a_beam_of_one_is_greedy():
    out, lens = random_output()
    attention = BigramScorer()
    model = SimpleNamespace(blank_id=0)
    found = search(model, out, lens, attention, BeamConfig(beam_size=1), ctc_weight=0.0)
    for n, (hypothesis,) in enumerate(found):
        labels = []
        while len(labels) < lens[n]:
            best = int(attention.table[n, labels[-1] if labels else 1].argmax())
            if best == 1:
                break
            labels.append(best)
        assert hypothesis.labels == labels
        assert hypothesis.score == pytest.approx(attention.total(n, labels), abs=1e-4)
        assert all(0 <= frame < lens[n] for frame in hypothesis.timestamps)
        assert hypothesis.timestamps == sorted(hypothesis.timestamps)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("beam_size", [1, 4])
def test_an_utterance_in_a_batch_gets_what_it_gets_alone(weight, beam_size):
    model, (out, lens) = random_model(), random_output()
    attention = BigramScorer()
    phrases = hotword_scorer([[Phrase((3, 7), 2.5)], [Phrase((5,), 1.0)]], 11, CPU, [0, 1, 1, 0])
    beam = BeamConfig(beam_size=beam_size, nbest=beam_size)
    together = search(model, out, lens, attention, beam, phrases, ctc_weight=weight)
    assert sum(len(several[0].labels) for several in together) > 5
    for n, several in enumerate(together):
        own = hotword_scorer([[Phrase((3, 7), 2.5)], [Phrase((5,), 1.0)]], 11, CPU, [[0, 1, 1, 0][n]])
        mine = BigramScorer()
        mine.table = mine.table[n : n + 1]
        alone = search(model, out[n : n + 1, : lens[n]], lens[n : n + 1], mine, beam, own, ctc_weight=weight)[0]
        assert [(h.labels, h.timestamps) for h in alone] == [(h.labels, h.timestamps) for h in several]
        assert [h.score for h in alone] == pytest.approx([h.score for h in several], abs=1e-4)


def test_what_ends_is_found_once_and_never_holds_blank_or_the_end():
    model, (out, lens) = random_model(), random_output()
    model.unk_id = 2
    for settings in ({"maxlenratio": 0.3}, {"maxlenratio": 1.0}, {"maxlenratio": 0.2, "ctc_weight": 0.0}, {}):
        for several in search(model, out, lens, BigramScorer(), BeamConfig(6, nbest=6), **settings):
            assert len({tuple(h.labels) for h in several}) == len(several) > 0
            assert all(not {0, 1, 2} & set(h.labels) for h in several)
            assert [h.score for h in several] == sorted((h.score for h in several), reverse=True)


def test_lengths_are_kept_to():
    model, (out, lens) = random_model(), random_output()
    ends_soon = BigramScorer()
    ends_soon.table[..., 1] += 20.0
    free = search(model, out, lens, ends_soon, ctc_weight=0.1)
    assert all(len(several[0].labels) < 3 for several in free)
    long = search(model, out, lens, ends_soon, minlenratio=0.4, ctc_weight=0.1)
    assert [len(several[0].labels) for several in long] == [6, 2, 3, 0]
    capped = search(model, out, lens, BigramScorer(), maxlenratio=0.2, ctc_weight=0.1, length_bonus=20.0)
    assert [len(several[0].labels) for several in capped] == [3, 1, 1, 1]
    # More labels than any alignment has are not waited for.
    repeats = BigramScorer()
    repeats.table += torch.eye(11).mul(1e4)
    out[0] = out[0, :1]
    assert search(model, out, lens, repeats, BeamConfig(1), minlenratio=1.0, ctc_weight=0.1)[0][0].labels


def test_the_search_ends_where_longer_hypotheses_are_hopeless_and_finds_the_same():
    class Counting(BigramScorer):
        steps = 0

        def advance(self, state, units):
            self.steps += 1
            return super().advance(state, units)

    model, (out, lens) = random_model(), random_output(num_frames=60)
    lens[0] = 60
    with torch.no_grad():
        model.ctc_output.bias[0] += 12.0
    nothing = hotword_scorer([[Phrase((3,), 0.0)]], 11, CPU)
    steps, found = [], []
    for scorer, ratio in ((None, 1.0), (nothing, 0.0), (nothing, 1.0)):
        attention = Counting()
        found.append(search(model, out, lens, attention, BeamConfig(4, nbest=2), scorer, maxlenratio=ratio))
        steps.append(attention.steps)
    assert found[0] == found[1] == found[2]
    assert steps[0] <= steps[1] < steps[2] / 2


def test_phrases_and_weights_change_what_is_found():
    model, (out, lens) = random_model(), random_output()
    plain = search(model, out, lens, BigramScorer())
    phrases = hotword_scorer([[Phrase((9, 4), 30.0)]], 11, CPU)
    liked = search(model, out, lens, BigramScorer(), scorer=phrases)
    for before, (hypothesis, *_), length in zip(plain, liked, lens.tolist()):
        said = list(zip(hypothesis.labels, hypothesis.labels[1:]))
        assert ((9, 4) in said) == (length > 1)
        assert (9, 4) not in list(zip(before[0].labels, before[0].labels[1:]))
    other = search(model, out, lens, BigramScorer(), ctc_weight=0.9)
    assert [several[0].labels for several in other] != [several[0].labels for several in plain]


def test_utterances_without_frames_have_an_empty_hypothesis():
    model, (out, _) = random_model(), random_output(num=2)
    for weight in (0.0, 0.5, 1.0):
        first, second = search(model, out, torch.tensor([0, 15]), BigramScorer(2), ctc_weight=weight)
        assert (first[0].labels, first[0].timestamps, first[0].score) == ([], [], 0.0)
        whole = search(model, out, torch.tensor([15, 15]), BigramScorer(2), ctc_weight=weight)
        assert second[0].labels == whole[1][0].labels
        assert search(model, out[:0], torch.zeros(0, dtype=torch.int64), BigramScorer(2), ctc_weight=weight) == []


def test_times_are_those_of_the_best_of_all_alignments():
    torch.manual_seed(2)
    log_probs, lens = (2.0 * torch.randn(2, 6, 4)).log_softmax(dim=2), [6, 4]
    cases = [(0, [3]), (1, [2, 2]), (0, [1, 1, 3]), (1, []), (1, [1, 2, 3, 1]), (1, [1, 1, 1]), (0, [2, 3, 2, 1])]
    found = ctc_frames(log_probs, torch.tensor(lens), [n for n, _ in cases], [labels for _, labels in cases], 0)
    for (n, labels), frames in zip(cases, found):
        best, firsts = -math.inf, None
        for units in itertools.product(range(4), repeat=lens[n]):
            runs = [(unit, len(list(run))) for unit, run in itertools.groupby(units)]
            if [unit for unit, _ in runs if unit] != labels:
                continue
            score = sum(log_probs[n, frame, unit].item() for frame, unit in enumerate(units))
            if score > best:
                starts = itertools.accumulate((size for _, size in runs), initial=0)
                best, firsts = score, [start for start, (unit, _) in zip(starts, runs) if unit]
        assert frames == firsts
    assert found[5] is None
    assert ctc_frames(log_probs[:, :0], torch.tensor([0, 0]), [0, 1], [[], [1]], 0) == [[], None]
    assert ctc_frames(log_probs, torch.tensor(lens), [], [], 0) == []


def test_impossible_lengths_are_refused():
    with pytest.raises(
        ValueError, match=r"minlenratio is 0.9 and maxlenratio 0.5; expected minlenratio <= maxlenratio"
    ):
        LabelSearchConfig(minlenratio=0.9, maxlenratio=0.5)
    with pytest.raises(ValueError, match=r"ctc_weight is 1\.5, expected"):
        LabelSearchConfig(ctc_weight=1.5)


def test_files_are_named_after_what_changes_the_result():
    names = [
        decoding_suffix("epoch-9_avg-2", False, DecodeConfig(temperature=2.0, blank_penalty=1.0, **settings), 2)
        for settings in (
            {"decoding_method": "joint_beam_search"},
            {"decoding_method": "joint_beam_search", "ctc_weight": 0.5, "length_bonus": 0.2, "minlenratio": 0.1},
            {"decoding_method": "attention_beam_search", "ctc_weight": 0.5, "maxlenratio": 1.0, "beam_size": 10},
        )
    ]
    assert names == [
        "epoch-9_avg-2__joint_beam_search__beam-size-4_ctc-weight-0.3_blank-penalty-1.0",
        "epoch-9_avg-2__joint_beam_search__beam-size-4_ctc-weight-0.5_length-bonus-0.2_minlenratio-0.1_blank-penalty-1.0",
        "epoch-9_avg-2__attention_beam_search__beam-size-10_maxlenratio-1.0",
    ]


def test_records_hold_the_settings_only_where_they_count():
    prediction = AsrPrediction()
    before = prediction.noted(Search(DecodeConfig(), WHOLE))
    assert not set(label_search_settings()) & set(before) and "beam_size" in before
    joint = prediction.noted(Search(DecodeConfig(decoding_method="joint_beam_search"), WHOLE))
    assert joint["ctc_weight"] == 0.3
