"""Masked prediction: masks and loss against their definitions, learning, iterations, and going on after a kill."""

import dataclasses
import logging
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from icefall_discrete.data.dataset import derived_seed
from icefall_discrete.nn.spans import span_masks
from icefall_discrete.systems.masked_prediction.config import MaskedPredictionConfig
from icefall_discrete.systems.masked_prediction.corpus import make_batch, plan_batches, write_corpus
from icefall_discrete.systems.masked_prediction.iteration import Iteration, learning_rate, split_corpus
from icefall_discrete.systems.masked_prediction.loss import UnitScores, masked_loss
from icefall_discrete.systems.masked_prediction.system import MaskedSystem
from icefall_discrete.systems.masked_prediction.trained_hubert import TrainedHubertTokenizer
from icefall_discrete.systems.masked_prediction.training import MaskedTraining
from icefall_discrete.systems.masked_prediction.units import write_units
from icefall_discrete.tokenizers.networks.mel_encoder import MelEncoder, load_encoder

CONFIG = MaskedPredictionConfig(
    num_layers=2, layer=1, dim=16, num_heads=2, ffn_dim=32, position_kernel=5, position_groups=4, fit_memory_mib=1,
    teacher_clusters=(5, 6), steps=(4, 4), warmup_steps=2, batch_sec=3.0, checkpoint_steps=2, device="cpu",
)  # fmt: skip
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def utterances():
    """Ids, stacked log-mel and MFCC of eight stretches, 0.6 to 1.1 s, of a real prompt."""
    samples, _ = soundfile.read(Path(__file__).resolve().parents[1] / "assets" / "speech.flac", dtype="float32")
    pieces = [(torch.from_numpy(samples[2500 * i : 4000 * i + 9000]), f"cut-{i}") for i in range(8)]
    return list(TrainedHubertTokenizer("toy", CONFIG)._utterances(pieces))


@pytest.fixture
def corpus(tmp_path, utterances):
    return write_corpus(tmp_path / "corpus", iter(utterances))


def train(folder, utterances, config=CONFIG, seed=1):
    training = MaskedTraining("toy", config, write_corpus(folder, iter(utterances)), folder, seed)
    return training.run()


def states_of(encoder, corpus):
    return [encoder.states(corpus.mel_of(index)).numpy() for index in range(len(corpus.lens))]


# Masks


def test_masks_cover_each_frame_as_often_as_their_definition_says():
    num_frames, span, prob, draws = 55, 10, 0.08, 1500
    masked = span_masks(torch.full((draws,), num_frames), prob, span, torch.Generator().manual_seed(0))
    places = num_frames - span + 1
    expected = torch.zeros(num_frames)
    for count, weight in ((4, 0.6), (5, 0.4)):  # 0.08 x 55 = 4.4 starts
        for frame in range(num_frames):
            covering = min(frame, places - 1) - max(0, frame - span + 1) + 1
            hit = 1 - math.comb(places - covering, count) / math.comb(places, count)
            expected[frame] += weight * hit
    torch.testing.assert_close(masked.float().mean(dim=0), expected, atol=0.06, rtol=0)
    assert abs(float(masked.float().mean() - expected.mean())) < 0.01


def test_every_span_is_whole_and_nothing_behind_an_end_is_masked():
    lens = torch.tensor([100, 20, 19, 7, 2, 1])
    for seed in range(50):
        masked = span_masks(lens, 0.08, 10, torch.Generator().manual_seed(seed))
        for row, (length, span) in enumerate(zip(lens.tolist(), (10, 10, 9, 3, 1, 1))):
            edges = torch.nn.functional.pad(masked[row].int(), (1, 1)).diff()
            runs = edges.eq(-1).nonzero() - edges.eq(1).nonzero()
            assert len(runs) and int(runs.min()) >= span
            assert not masked[row, length:].any()
            assert length in (1, 20, 100) or int(masked[row].sum()) < length


# Loss


@pytest.mark.parametrize("prediction", ["cosine", "linear"])
def test_loss_is_the_cross_entropy_of_masked_frames_only(prediction):
    torch.manual_seed(0)
    scores, states = UnitScores(8, 5, prediction), torch.randn(3, 7, 8)
    units, masked = torch.randint(5, (3, 7)), torch.rand(3, 7) < 0.4
    found = masked_loss(scores, states, units, masked)
    by_hand, correct = [], 0
    for row, frame in masked.nonzero().tolist():
        x = scores.project(torch.nn.functional.layer_norm(states[row, frame], (8,)))
        if prediction == "cosine":
            x = torch.stack([x @ unit / (x.norm() * unit.norm()) / 0.1 for unit in scores.units])
        by_hand.append(-x.log_softmax(0)[units[row, frame]])
        correct += int(x.argmax() == units[row, frame])
    torch.testing.assert_close(found.mean, torch.stack(by_hand).mean())
    assert (found.correct, found.count) == (correct, len(by_hand))
    elsewhere = torch.where(masked, units, (units + 1) % 5)
    assert torch.equal(masked_loss(scores, states, elsewhere, masked).mean, found.mean)
    row, frame = masked.nonzero()[0].tolist()
    units[row, frame] = (units[row, frame] + 1) % 5
    assert not torch.equal(masked_loss(scores, states, units, masked).mean, found.mean)


def test_masked_input_is_not_seen_and_the_rest_is():
    torch.manual_seed(0)
    encoder, frames = MelEncoder(CONFIG).eval(), torch.randn(1, 30, 80)
    masked = torch.zeros(1, 30, dtype=torch.bool)
    masked[0, 10:20] = True
    before = encoder(frames, None, masked, 2)
    hidden, seen = frames.clone(), frames.clone()
    hidden[0, 12], seen[0, 5] = 9.0, 9.0
    assert torch.equal(encoder(hidden, None, masked, 2), before)
    assert (encoder(seen, None, masked, 2)[0, 10:20] - before[0, 10:20]).abs().max() > 1e-3


def test_an_utterance_in_a_padded_batch_has_the_states_it_has_alone():
    torch.manual_seed(0)
    encoder, lens = MelEncoder(CONFIG), torch.tensor([30, 17, 1])
    frames = torch.randn(3, 30, 80)
    padding = torch.arange(30) >= lens.unsqueeze(1)
    together = encoder.train()(frames, padding, None, CONFIG.layer)
    for row, length in enumerate(lens.tolist()):
        alone = encoder.states(frames[row, :length])  # in evaluation mode, where torch has another implementation
        torch.testing.assert_close(together[row, :length], alone, atol=2e-5, rtol=1e-4)


def test_gradients_are_those_of_double_precision():
    # torch 1.13 gave wrong ones, other in each run, for a gelu between two transpositions.
    torch.manual_seed(0)
    encoder, frames, masked = MelEncoder(CONFIG), torch.randn(3, 30, 80), torch.rand(3, 30) < 0.3
    padding = torch.arange(30) >= torch.tensor([[30], [17], [9]])
    found = []
    for number in (torch.float32, torch.float64):
        encoder.to(number).zero_grad()
        encoder(frames.to(number), padding, masked, 2)[masked & ~padding].square().sum().backward()
        found.append({name: weight.grad.double() for name, weight in encoder.named_parameters()})
    for name, expected in found[1].items():
        assert float((found[0][name] - expected).norm()) < 1e-4 * float(expected.norm()) + 1e-5, name


# Corpus and units


def test_frames_come_back_from_disk_with_their_units(corpus, utterances):
    mel = torch.cat([frames for _, frames, _ in utterances])
    assert corpus.lens.tolist() == [len(frames) for _, frames, _ in utterances]
    torch.testing.assert_close(corpus.mean, mel.mean(dim=0), atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(corpus.std, mel.std(dim=0, unbiased=False), atol=2e-3, rtol=1e-3)
    assert np.array_equal(corpus.teacher_of(3), utterances[3][2].numpy())
    units = np.arange(len(mel), dtype=np.int32)  # the unit of a frame tells which one it is
    batch = make_batch(corpus, units, np.array([4, 0, 7]), 40, torch.Generator().manual_seed(1))
    assert batch.lens.tolist() == [min(40, length) for length in corpus.lens[[4, 0, 7]]]
    for row, length in enumerate(batch.lens.tolist()):
        places = batch.units[row, :length]
        assert torch.equal(places.diff(), torch.ones(length - 1, dtype=torch.int64))
        torch.testing.assert_close(batch.mel[row, :length], mel[places], atol=0.01, rtol=0)
        assert not batch.mel[row, length:].any() and batch.padding[row].sum() == batch.mel.shape[1] - length


def test_the_corpus_hash_follows_audio_and_ids(tmp_path, corpus, utterances):
    name, mel, mfcc = utterances[0]
    same, renamed, louder = (
        write_corpus(tmp_path / "other", [first, *utterances[1:]]).sha256
        for first in (utterances[0], ("other", mel, mfcc), (name, mel + 1, mfcc))
    )
    assert same == corpus.sha256
    assert len({same, renamed, louder}) == 3
    with pytest.raises(ValueError, match="no utterance could be used"):
        write_corpus(tmp_path / "none", [])


def test_batches_hold_each_utterance_once_and_keep_to_their_size():
    lens = np.random.default_rng(0).integers(20, 400, 500)
    batches = plan_batches(lens, 1000, np.random.default_rng(1))
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    assert all(lens[batch].max() * len(batch) <= 1000 for batch in batches)
    padded = sum(lens[batch].max() * len(batch) for batch in batches)
    assert padded < 1.15 * lens.sum()
    assert [b.tolist() for b in plan_batches(lens, 1000, np.random.default_rng(1))] == [b.tolist() for b in batches]


def test_units_are_clusters_of_the_teacher_frame_by_frame(tmp_path):
    blobs = np.random.default_rng(0).integers(3, size=300)
    noise = 0.01 * np.random.default_rng(1).standard_normal((300, 2))
    frames = (blobs[:, None] * np.array([1.0, 1000.0]) + noise).astype(np.float32)
    units = write_units(
        tmp_path / "units-1.npy", lambda: iter(np.split(frames.copy(), [100, 130])), 300, 3, True, CONFIG, 0
    )
    assert len({(blob, unit) for blob, unit in zip(blobs.tolist(), units.tolist())}) == 3
    with pytest.raises(ValueError, match="300 frames, but 301 clusters"):
        write_units(tmp_path / "units-2.npy", lambda: iter([frames]), 300, 301, True, CONFIG, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["units-1.npy"]


# Learning


def test_learning_rate_rises_and_falls():
    config = dataclasses.replace(CONFIG, warmup_steps=10)
    rates = [learning_rate(step, 50, config) / config.learning_rate for step in range(50)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[10:] == pytest.approx([step / 40 for step in range(40, 0, -1)])


def test_it_learns_a_few_real_utterances_by_heart(tmp_path, utterances):
    config = dataclasses.replace(
        CONFIG, dim=32, ffn_dim=64, dropout=0.0, learning_rate=1e-2, steps=(200, 4), warmup_steps=20, mask_length=4,
        mask_prob=0.15, batch_sec=9.0,
    )  # fmt: skip
    corpus = write_corpus(tmp_path, utterances[::3])
    teacher = [corpus.teacher_of(index) for index in range(3)]
    units = write_units(tmp_path / "units-1.npy", lambda: iter(teacher), len(corpus.mel), 5, False, config, 0)
    iteration, split = Iteration(1, config, corpus, units, 1, CPU), split_corpus(3, 0)
    trainer = iteration.trainer(tmp_path / "loop", "toy")
    before = trainer.evaluation.losses(iteration.data(split).valid_batches()).per_frame()
    after = iteration.train(tmp_path / "loop", "toy", split)
    assert before["masked_acc"] < after["most_frequent_unit"] + 0.15
    assert after["masked_accuracy"] > max(0.7, after["most_frequent_unit"] + 0.3)  # chance is 0.2
    assert after["masked_loss"] < 0.5 * math.log(5)
    assert (after["units_used"], after["measured_on"]) == (5, "the training utterances")


def test_utterances_are_held_out_where_there_are_enough():
    split = split_corpus(200, seed=3)
    assert (len(split.train), len(split.measured), split.is_held_out) == (196, 4, True)
    assert not set(split.train.tolist()) & set(split.measured.tolist())
    assert not split_corpus(20, seed=3).is_held_out


# Iterations


def test_iteration_2_predicts_clusters_of_the_states_of_iteration_1(tmp_path, utterances, corpus):
    _, reports = train(tmp_path / "run", utterances)
    assert [(report["iteration"], report["units"], report["steps"]) for report in reports] == [(1, 5, 4), (2, 6, 4)]
    encoder = load_encoder(tmp_path / "run" / "encoder-1.safetensors", CONFIG)

    def clusters_of(frames):
        seed = derived_seed(1, 2) % 2**32
        return write_units(
            tmp_path / "units.npy", lambda: iter(frames), len(corpus.mel), 6, CONFIG.standardize, CONFIG, seed
        ).tolist()

    used = np.load(tmp_path / "run" / "units-2.npy").tolist()
    assert used == clusters_of(states_of(encoder, corpus))
    encoder.config = dataclasses.replace(CONFIG, layer=2)
    assert used != clusters_of(states_of(encoder, corpus))
    assert np.load(tmp_path / "run" / "units-1.npy").max() == 4


@pytest.mark.parametrize("warm_start", [False, True])
def test_a_warm_start_begins_where_iteration_1_ended(tmp_path, utterances, warm_start):
    # No step of iteration 2 learns anything: the rate of its only step is next to nothing.
    config = dataclasses.replace(CONFIG, warm_start=warm_start, learning_rate=1e-12, steps=(1, 1))
    last, _ = train(tmp_path, utterances, config)
    first = load_encoder(tmp_path / "encoder-1.safetensors", config).state_dict()
    same = torch.allclose(first["project.weight"], last.state_dict()["project.weight"], atol=1e-6)
    assert same == warm_start


class Killed(Exception):
    pass


def kill_at(monkeypatch, iteration, step):
    """Let the given step of an iteration raise."""

    def dying(system, now):
        if (system.number, now) == (iteration, step):
            raise Killed

    monkeypatch.setattr(MaskedSystem, "before_step", dying)


def test_a_killed_training_goes_on_bit_for_bit(tmp_path, utterances, caplog):
    train(tmp_path / "whole", utterances)
    for iteration, step in ((1, 3), (2, 1), (2, 2)):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            kill_at(patch, iteration, step)
            train(tmp_path / "killed", utterances)
    caplog.clear()  # where an earlier test left logging on, the parts before are there too
    state = torch.get_rng_state()
    with caplog.at_level(logging.INFO):
        train(tmp_path / "killed", utterances)
    assert "Resumed from checkpoint-2.pt: epoch 1, after batch 2." in caplog.text
    assert "toy, iteration 2 of 2: masked accuracy" in caplog.text and "iteration 1 of 2" not in caplog.text
    assert torch.equal(torch.get_rng_state(), state)
    for name in ("encoder-1.safetensors", "encoder-2.safetensors", "units-1.npy", "units-2.npy"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


def test_another_training_in_the_same_folder_is_refused(tmp_path, utterances):
    train(tmp_path, utterances)
    for config, seed, changed in (
        (CONFIG, 2, "seed"),
        (dataclasses.replace(CONFIG, mask_length=5), 1, "mask_length"),
    ):
        with pytest.raises(
            ValueError, match=f"unfinished training of 'toy' with other {changed} .*move that folder aside"
        ):
            train(tmp_path, utterances, config, seed)
    with pytest.raises(ValueError, match="with other audio "):
        train(tmp_path, utterances[1:])
    train(tmp_path, utterances, dataclasses.replace(CONFIG, checkpoint_steps=9, max_minutes=5.0))


def test_a_loss_that_is_not_finite_ends_in_one_sentence(tmp_path, utterances):
    config = dataclasses.replace(CONFIG, learning_rate=1e30)
    message = (
        r"1 batches were not finite, the last \(the loss is not finite \(cuts cut-\d.*lower learning_rate, which is"
    )
    with pytest.raises(RuntimeError, match=message):
        train(tmp_path, utterances, config)


def test_the_guard_ends_iterations_early_and_says_so(tmp_path, utterances, caplog):
    _, reports = train(tmp_path, utterances, dataclasses.replace(CONFIG, max_minutes=1e-6))
    assert [report["steps"] for report in reports] == [1, 1]
    assert "iteration 2 of 2: ended by max_minutes after 1 of 4 steps" in caplog.text


def test_what_is_over_leaves_logs_only(tmp_path, utterances):
    training = MaskedTraining("toy", CONFIG, write_corpus(tmp_path, iter(utterances)), tmp_path, 1)
    training.run()
    training.finish()
    assert {path.name for path in tmp_path.iterdir()} == {"log", "iteration-1", "iteration-2"}
    left = {path.name for path in (tmp_path / "iteration-2").iterdir()}
    assert left == {"tensorboard", "train.json", "system.json"}
    train(tmp_path, utterances, dataclasses.replace(CONFIG, learning_rate=1e-3))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"steps": (4,)}, "expected one of each an iteration"),
        ({"teacher_clusters": (5, 0)}, r"teacher_clusters\[1\] is 0"),
        ({"mask_prob": 0.0}, "mask_prob is 0.0, expected more than 0"),
        ({"layer": 3}, "layer is 3, expected 1 to num_layers, 2"),
        ({"num_heads": 3}, "expected a multiple of num_heads, 3"),
        ({"position_kernel": 4}, "position_kernel is 4, expected an odd number"),
        ({"prediction": "mse"}, "prediction is 'mse', expected one of cosine, linear"),
        ({"kmeans_path": "km.bin"}, "this tokenizer fits its own k-means"),
        ({"num_clusters": 0}, "num_clusters is 0"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **change)
