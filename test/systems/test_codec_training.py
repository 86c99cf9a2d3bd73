"""Training of codecs: quantizers against plain sums and inference, losses against numpy, and exact resumption."""

import dataclasses
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.base.provenance import Provenance
from icefall_discrete.losses.reconstruction import FLOOR, ReconstructionLoss
from icefall_discrete.systems.codec.config import CodecAdversary, CodecConfig, deciding_settings
from icefall_discrete.systems.codec.networks import fresh_decoder, fresh_encoder, published_names
from icefall_discrete.systems.codec.quantizers import EmaCodebook, make_quantizer, perplexity
from icefall_discrete.systems.codec.segments import AudioPool, read_pool
from icefall_discrete.systems.codec.system import CodecSystem
from icefall_discrete.systems.codec.trained_codec import QUANTIZERS
from icefall_discrete.systems.codec.training import train_codec
from icefall_discrete.tokenizers.contract import AudioRejected
from icefall_discrete.tokenizers.formats.pretrained import Weights
from icefall_discrete.tokenizers.networks.seanet import seanet_from
from icefall_discrete.training.fit_folder import FitFolder

SPEECH = Path(__file__).resolve().parents[1] / "assets" / "speech.flac"
KINDS = ("rvq", "factorised", "group")
SMALL = CodecConfig(
    strides=(8, 5, 4),
    channels=(4, 8, 8, 12),
    state_dim=8,
    num_codebooks=4,
    codebook_size=8,
    codebook_dim=3,
    max_steps=7,
    batch_sec=0.3,
    segment_sec=0.1,
    plain_steps=2,
    kmeans_batches=2,
    checkpoint_steps=3,
    fft_sizes=(256, 512),
    fit_device="cpu",
)
HEARD = {"discriminator_width": 16, "discriminator_periods": (3,), "heard_sec": 0.05}


@pytest.fixture(scope="module")
def pool():
    samples, _ = soundfile.read(SPEECH, dtype="int16")
    return AudioPool([torch.from_numpy(samples)])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def started_quantizer(config, frames):
    quantizer = make_quantizer(config, config, seeded())
    with torch.no_grad():
        quantizer.start(frames, 1, 0)
    return quantizer


def inference_of(quantizer, config):
    return QUANTIZERS[config.quantizer](Weights(quantizer.published_names(), "quantizer"))


def test_ema_codebook_is_the_mean_of_its_frames_faded_by_age():
    size, dim, decay = 5, 3, 0.9
    frames = [torch.randn(40, dim, generator=seeded(step)) for step in range(4)]
    book = EmaCodebook(size, dim, decay, dead_code_share=0.0)
    book.start(frames[0], 1, 0)
    counts, sums = book.counts.double().numpy().copy(), book.sums.double().numpy().copy()
    entries = book.entries.double().numpy().copy()
    for batch in frames:
        ids = [int(np.argmin([np.sum((row - entry) ** 2) for entry in entries])) for row in batch.double().numpy()]
        book.update(batch, torch.tensor(ids), seeded())
        for entry in range(size):
            mine = [row for row, chosen in zip(batch.double().numpy(), ids) if chosen == entry]
            counts[entry] = decay * counts[entry] + (1 - decay) * len(mine)
            sums[entry] = decay * sums[entry] + (1 - decay) * np.sum(mine, axis=0)
        entries = sums / counts[:, None]
        np.testing.assert_allclose(book.entries.numpy(), entries, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(book.counts.numpy(), counts, rtol=1e-5)


@pytest.mark.parametrize("share", [0.1, 0.0])
def test_an_entry_that_is_never_used_is_restarted_at_a_frame(share):
    book = EmaCodebook(4, 2, decay=0.5, dead_code_share=share)
    frames = torch.randn(60, 2, generator=seeded())
    book.start(frames, 1, 0)
    book.entries[2], book.sums[2] = torch.tensor([1e3, 1e3]), torch.tensor([1e3, 1e3])
    book.counts[2] = 1.0
    for step in range(8):
        ids = torch.cdist(frames, book.entries).argmin(dim=1)
        book.update(frames, ids, seeded(step))
    used = torch.cdist(frames, book.entries).argmin(dim=1).unique().tolist()
    assert used == ([0, 1, 2, 3] if share else [0, 1, 3])


def test_perplexity_counts_equally_used_entries():
    assert perplexity(torch.tensor([3.0, 3.0, 0.0, 3.0, 3.0])) == pytest.approx(4.0)
    assert perplexity(torch.tensor([0.0, 7.0])) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_published_names_give_the_same_codes_and_states_at_inference(kind):
    config = dataclasses.replace(SMALL, quantizer=kind)
    frames = torch.randn(50, config.state_dim, generator=seeded(1))
    quantizer = started_quantizer(config, frames)
    for step in range(3):
        quantizer(torch.randn(50, config.state_dim, generator=seeded(step)), torch.full((50,), 4), seeded(step))
    loaded = inference_of(quantizer, config)
    for num_codebooks in (1, 2, 3, 4):
        with torch.no_grad():
            done = quantizer.eval()(frames, torch.full((50,), num_codebooks), seeded())
        codes = loaded.encode(frames, num_codebooks)
        assert torch.equal(codes, done.codes[:, :num_codebooks])
        torch.testing.assert_close(loaded.decode(codes), done.states, atol=1e-5, rtol=1e-4)
    assert [len(book) for book in loaded.codebooks()] == [config.codebook_size] * 4
    assert min(perplexity(counts) for counts in quantizer.usage()) > 2


@pytest.mark.parametrize("kind", KINDS)
def test_more_codebooks_leave_less_over(kind):
    config = dataclasses.replace(SMALL, quantizer=kind, codebook_dim=8)
    frames = torch.randn(400, config.state_dim, generator=seeded(1))
    loaded = inference_of(started_quantizer(config, frames), config)
    left = [float((frames - loaded.decode(loaded.encode(frames, num))).square().mean()) for num in (1, 2, 3, 4)]
    assert left[0] > left[1] > left[2] > left[3] and left[3] < 0.6 * float(frames.square().mean())


@pytest.mark.parametrize("kind", ["rvq", "group"])
def test_gradients_go_straight_through_and_the_commitment_pulls(kind):
    config = dataclasses.replace(SMALL, quantizer=kind)
    frames = torch.randn(30, config.state_dim, generator=seeded(1)).requires_grad_()
    quantizer = started_quantizer(config, frames.detach()).eval()
    done = quantizer(frames, torch.full((30,), 4), seeded())
    (gradient,) = torch.autograd.grad((done.states * torch.arange(8.0)).sum(), frames, retain_graph=True)
    torch.testing.assert_close(gradient, torch.arange(8.0).expand(30, 8))
    (pull,) = torch.autograd.grad(done.loss, frames)
    with torch.no_grad():
        moved = quantizer(frames - 0.05 * pull / pull.norm(), torch.full((30,), 4), seeded())
    assert float(moved.loss) < float(done.loss.detach())


def test_factorised_codebooks_learn_by_gradient():
    config = dataclasses.replace(SMALL, quantizer="factorised")
    frames = torch.randn(60, config.state_dim, generator=seeded(1))
    quantizer = started_quantizer(config, frames)
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.01)
    losses = []
    for _ in range(40):
        done = quantizer(frames, torch.full((60,), 4), seeded())
        optimizer.zero_grad()
        (done.loss + (done.states - frames).square().mean()).backward()
        optimizer.step()
        losses.append(float((done.states - frames).square().mean().detach()))
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("kind", KINDS)
def test_dropped_codebooks_learn_nothing(kind):
    config = dataclasses.replace(SMALL, quantizer=kind)
    frames = torch.randn(30, config.state_dim, generator=seeded(1))
    quantizer = started_quantizer(config, frames)
    before = [counts.clone() for counts in quantizer.usage()]
    entries = inference_of(quantizer, config).codebooks()
    quantizer(torch.randn(30, config.state_dim, generator=seeded(2)), torch.full((30,), 1), seeded())
    changed = [not torch.equal(old, new) for old, new in zip(before, quantizer.usage())]
    assert changed == [True, False, False, False]
    changed = [not torch.equal(old, new) for old, new in zip(entries, inference_of(quantizer, config).codebooks())]
    if kind == "factorised":  # by gradient only
        changed[0] = True
    assert changed == [True, False, False, False]


@pytest.mark.parametrize("causal", [False, True])
def test_networks_are_those_of_inference(causal):
    config = dataclasses.replace(SMALL, causal=causal, residual_blocks=2)
    encoder, decoder = fresh_encoder(config, seeded()), fresh_decoder(config, seeded(1))
    loaded = [seanet_from(Weights(published_names(network), "network"), causal) for network in (encoder, decoder)]
    audio = torch.randn(3, 1, 10 * config.frame_samples, generator=seeded(2))
    with torch.no_grad():
        states = encoder(audio)
        assert states.shape == (3, config.state_dim, 10)
        torch.testing.assert_close(loaded[0](audio[1]), states[1], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(loaded[1](states[1]), decoder(states)[1], atol=1e-5, rtol=1e-4)
        assert decoder(states).shape == audio.shape
    assert all(value.requires_grad for network in (encoder, decoder) for value in network.parameters())
    assert not list(encoder.buffers())


def test_losses_are_those_of_numpy():
    size, bins = 256, 16
    generator = np.random.RandomState(0)
    output, target = generator.randn(2, 2, 1000).astype(np.float32) * 0.1
    loss = ReconstructionLoss(16000, (size,), 80)
    found = loss(torch.from_numpy(output), torch.from_numpy(target))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)

    def magnitudes(audio):
        padded = np.pad(audio, ((0, 0), (size // 2, size // 2)))
        pieces = [padded[:, start : start + size] for start in range(0, padded.shape[1] - size + 1, size // 4)]
        return np.sqrt(np.abs(np.fft.rfft(np.stack(pieces, axis=1) * window)) ** 2 + FLOOR**2)

    ours, theirs = magnitudes(output), magnitudes(target)
    filters = loss.filters256.numpy()
    assert filters.shape == (129, bins)
    np.testing.assert_allclose(filters.sum(axis=0), 1, rtol=1e-5)
    assert float(found["mel"]) == pytest.approx(np.abs(np.log(ours @ filters) - np.log(theirs @ filters)).mean(), 1e-4)
    stft = np.linalg.norm(theirs - ours) / np.linalg.norm(theirs) + np.abs(np.log(ours) - np.log(theirs)).mean()
    assert float(found["stft"]) == pytest.approx(stft, 1e-4)
    assert float(found["waveform"]) == pytest.approx(np.abs(output - target).mean() / np.abs(target).mean(), 1e-4)
    same = loss(torch.from_numpy(target), torch.from_numpy(target))
    assert all(float(value) == 0 for value in same.values())


def test_segments_lie_within_an_utterance_and_reach_all_of_it():
    utterances = [torch.arange(1, 6, dtype=torch.int16), torch.arange(101, 121, dtype=torch.int16)]
    batch = AudioPool(utterances).segments(600, 8, seeded())
    rows = {tuple((row * 32767).round().int().tolist()) for row in batch}
    assert rows == {(1, 2, 3, 4, 5, 0, 0, 0)} | {tuple(range(start, start + 8)) for start in range(101, 114)}
    short = sum(row[0] < 50 / 32767 for row in batch) / 600
    assert 0.15 < short < 0.25, "a fifth of the audio is the first utterance"
    assert torch.equal(batch, AudioPool(utterances).segments(600, 8, seeded()))


def test_audio_is_bounded_and_what_cannot_be_used_is_left_out(caplog):
    def check(samples, who):
        if len(samples) == 0:
            raise AudioRejected("empty", 0, f"{who}: the audio is empty.")

    audio = [(torch.zeros(0), "a"), (torch.full((400_000,), 0.5), "b"), (torch.full((200_000,), -1.0), "c")]
    pool = read_pool(audio, 1, check, "toy")
    assert pool.lens.tolist() == [400_000] and "cut a: the audio is empty" in caplog.text
    assert float(pool.segments(1, 10, seeded())[0, 0]) == pytest.approx(0.5, abs=1e-4)
    assert read_pool(audio[1:], 2, check, "toy").lens.tolist() == [400_000, 200_000]
    with pytest.raises(ValueError, match="toy: no utterance can be used"):
        read_pool(audio[:1], 1, check, "toy")


def trained(config, pool, folder):
    return train_codec("toy", config, pool, 5, FitFolder(folder, "toy"))


def killed_at(last, config, pool, folder, monkeypatch):
    """A training that is killed before step `last`, from 0."""
    before_step = CodecSystem.before_step

    def killed(system, step):
        if step == last:
            raise KeyboardInterrupt
        before_step(system, step)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CodecSystem, "before_step", killed)
        trained(config, pool, folder)


@pytest.mark.parametrize(
    "kind, plain_steps, heard",
    [("rvq", 2, {}), ("rvq", 4, {}), ("factorised", 2, {}), ("group", 4, {"adversary_from_step": 2, **HEARD})],
)
def test_killed_and_resumed_is_the_same_as_uninterrupted(kind, plain_steps, heard, pool, tmp_path, monkeypatch):
    config = dataclasses.replace(SMALL, quantizer=kind, plain_steps=plain_steps, quantizer_dropout=0.5, **heard)
    whole = trained(config, pool, tmp_path / "whole")
    killed_at(5, config, pool, tmp_path / "killed", monkeypatch)
    steps, before_step = [], CodecSystem.before_step

    def noted(system, step):
        steps.append(step)
        before_step(system, step)

    torch.manual_seed(77)  # what others draw must not matter
    noise = torch.get_rng_state()
    monkeypatch.setattr(CodecSystem, "before_step", noted)
    resumed = trained(config, pool, tmp_path / "killed")
    assert steps == [3, 4, 5, 6] and torch.equal(torch.get_rng_state(), noise)
    ours, theirs = resumed.tensors, whole.tensors
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs) and ours.keys() == theirs.keys()
    assert resumed.summary == whole.summary


def test_until_its_step_an_adversary_changes_nothing(pool, tmp_path, monkeypatch):
    """Nothing is drawn for it, and settings that mean nothing are no part of what a codec is known by."""
    heard = dataclasses.replace(SMALL, adversary_from_step=4, **HEARD)
    models = {}
    for name, config in {"without": SMALL, "later": heard}.items():
        for last in (3, 4):
            folder = tmp_path / f"{name}-{last}"
            killed_at(last, dataclasses.replace(config, checkpoint_steps=last), pool, folder, monkeypatch)
            models[name, last] = load_checkpoint(folder / f"checkpoint-{last}.pt")["model"]
    weights = [name for name in models["without", 3] if name != "recent"]
    for last, same in ((3, True), (4, False)):
        assert all(torch.equal(models["without", last][name], models["later", last][name]) for name in weights) is same
    assert not {*deciding_settings(SMALL)} & {*CodecAdversary.__dataclass_fields__}
    assert deciding_settings(heard)["heard_sec"] == 0.05
    summary = trained(heard, pool, tmp_path / "later-4").summary
    assert {"mel", "deception", "features", "discriminators"} <= summary["losses"].keys()


def test_the_loop_is_that_of_every_system(pool, tmp_path, caplog):
    """It leaves what the loop leaves: a summary, curves and a log with estimates."""
    with caplog.at_level(logging.INFO):
        trained(SMALL, pool, tmp_path)
    summary = json.loads((tmp_path / "train.json").read_text())
    (record,) = summary["epochs"]
    assert (summary["system"], summary["num_steps"], summary["best_valid_epoch"]) == ("codec", 7, None)
    assert set(record["train"]) == {"loss", "waveform", "mel", "stft", "quantizer"} and len(record["perplexities"]) == 4
    assert record["audio_sec"] == pytest.approx(7 * 0.3) and "Epoch 1 of 1: 2s of audio." in caplog.text
    assert "Epoch 1 of 1: 2s of audio." in next((tmp_path / "log").iterdir()).read_text()
    assert {"epoch-1.pt", "tensorboard", "checkpoint-7.pt"} <= {path.name for path in tmp_path.iterdir()}


def test_what_is_over_leaves_no_weights(pool, tmp_path):
    trained(SMALL, pool, tmp_path)
    FitFolder(tmp_path, "toy").finish()
    assert {path.name for path in tmp_path.iterdir()} == {"log", "tensorboard", "train.json", "system.json"}


def test_another_training_in_the_same_folder_is_refused(pool, tmp_path):
    trained(dataclasses.replace(SMALL, max_steps=3), pool, tmp_path)
    with pytest.raises(
        ValueError, match=r"unfinished training of 'toy' with other learning_rate, max_steps .*move that folder aside"
    ):
        trained(dataclasses.replace(SMALL, learning_rate=0.5), pool, tmp_path)
    other = AudioPool([pool.samples[:9000]])
    with pytest.raises(ValueError, match="with other audio "):
        trained(dataclasses.replace(SMALL, max_steps=3, max_minutes=9.0, checkpoint_steps=1), other, tmp_path)


def test_a_loss_that_is_not_finite_is_one_sentence(pool, tmp_path):
    with pytest.raises(
        RuntimeError,
        match=r"1 batches were not finite, the last \(the loss is not finite \(.*mel, stft: cuts number 0, .*"
        r"lower learning_rate, which is 1e\+30, move the folder of this training aside and fit anew",
    ):
        trained(dataclasses.replace(SMALL, learning_rate=1e30, warmup_steps=0), pool, tmp_path)


def test_states_that_are_not_finite_start_no_codebooks(pool, tmp_path):
    with pytest.raises(RuntimeError, match="not finite when the codebooks start; lower learning_rate"):
        trained(dataclasses.replace(SMALL, learning_rate=1e30, warmup_steps=0, plain_steps=1), pool, tmp_path)


def test_max_minutes_ends_a_training_whole(pool, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        short = trained(dataclasses.replace(SMALL, max_minutes=1e-6), pool, tmp_path)
    assert short.summary["steps"] == 1 and "are over after 1 of 7 steps" in caplog.text
    assert short.tensors["quantizer.vq.layers.0._codebook.embed"].abs().sum() > 0


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"channels": (4, 8)}, "channels has 2 values, expected 4"),
        ({"strides": (8, 1, 4)}, "expected at least 2 each"),
        ({"quantizer": "group", "num_codebooks": 3}, "choose an even number that fits"),
        ({"quantizer": "none"}, "quantizer is 'none', expected rvq"),
        ({"quantizer": "factorised", "codebook_dim": 9}, "codebook_dim is 9, expected at most state_dim, 8"),
        ({"plain_steps": 7}, "plain_steps is 7, expected 0 to 6"),
        ({"ema_decay": 1.5}, "ema_decay is 1.5, expected 0 to 1"),
        ({"segment_sec": 0.0}, "segment_sec is 0.0, expected more than 0"),
        ({"adversary_from_step": 8}, "adversary_from_step is 8, but there are 7 steps, max_steps; choose one of them"),
        ({"batch_sec": 0.05}, "batch_sec is 0.05, expected at least segment_sec"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **settings)


def test_too_few_frames_for_a_codebook_are_one_sentence(pool, tmp_path):
    with pytest.raises(ValueError, match="cannot start 512 entries of a codebook; set more kmeans_batches"):
        trained(dataclasses.replace(SMALL, codebook_size=512), pool, tmp_path)


def test_a_training_that_saved_nothing_holds_nobody_to_its_beginning(tmp_path):
    folder = FitFolder(tmp_path, "toy")
    folder.begin(Provenance({"audio": "a"}, {"rate": 9.0}))
    folder.begin(Provenance({"audio": "a"}, {"rate": 1.0}))
    (tmp_path / "checkpoint-1.pt").write_bytes(b"")
    with pytest.raises(ValueError, match="unfinished training of 'toy' with other rate"):
        folder.begin(Provenance({"audio": "a"}, {"rate": 9.0}))
