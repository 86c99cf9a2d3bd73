import dataclasses
import json

import pytest
import torch
from ddp_worker import NO_NOISE
from quiet_forward import without_noise
from synthetic_codes import Killed, killed_after, make_trainer

from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.training.averages import average_epochs, epoch_path
from icefall_discrete.training.scaled_adam import ScaledAdam


def losses_of(summary):
    return [(record["train"], record["valid"], record["lr"], record["step"]) for record in summary["epochs"]]


def test_batches_in_turn_give_the_gradients_of_the_batches_together(corpus_dir, tmp_path, monkeypatch):
    without_noise(monkeypatch.setattr)
    trainer, data = make_trainer(corpus_dir, tmp_path, **NO_NOISE)
    system = trainer.system.train()
    whole = max(data.train_batches(1, 0), key=lambda batch: len(batch["cut_ids"]))
    # As long as the longest, by frames of code 0 in place of padding: strided layers see where padding begins.
    is_padding = torch.arange(whole["codes"].shape[1]) >= whole["frame_lens"].unsqueeze(1)
    whole["codes"].masked_fill_(is_padding.unsqueeze(2), 0)
    whole["frame_lens"].fill_(whole["codes"].shape[1])
    half = len(whole["cut_ids"]) // 2
    parts = [
        {name: None if value is None else value[rows] for name, value in whole.items()}
        for rows in (slice(half), slice(half, None))
    ]
    found = []
    for batches in (parts, [whole]):
        for batch in batches:
            output = system(system.prepare(batch, trainer.device), 100)
            output.objective(num_batches=len(batches)).backward()
        gradients = [value.grad.flatten() for value in system.parameters() if value.grad is not None]
        found.append(torch.cat(gradients))
        system.zero_grad()
    assert half > 0 and float((found[0] - found[1]).norm()) < 1e-5 * float(found[1].norm())


@pytest.fixture(scope="module")
def uninterrupted(corpus_dir, tmp_path_factory):
    exp_dir = tmp_path_factory.mktemp("whole")
    trainer, data = make_trainer(corpus_dir, exp_dir)
    return exp_dir, trainer.fit(data)


@pytest.mark.parametrize("kill_after, save_every", [(1, 100), (3, 2), (6, 3)])
def test_a_killed_run_goes_on_as_if_it_had_not_been(corpus_dir, tmp_path, uninterrupted, kill_after, save_every):
    whole_dir, whole = uninterrupted
    assert whole["num_steps"] > kill_after
    trainer, data = make_trainer(corpus_dir, tmp_path, train__save_every_n=save_every)
    with pytest.raises(Killed):
        trainer.fit(killed_after(data, kill_after))
    assert not (tmp_path / "epoch-2.pt").exists()

    trainer, data = make_trainer(corpus_dir, tmp_path, train__save_every_n=save_every)
    summary = trainer.fit(data)
    assert losses_of(summary) == losses_of(whole)
    for name in ("epoch-1.pt", "epoch-2.pt"):
        resumed, expected = load_checkpoint(tmp_path / name), load_checkpoint(whole_dir / name)
        assert resumed["model"].keys() == expected["model"].keys()
        for key, value in expected["model"].items():
            assert torch.equal(resumed["model"][key], value), key
            assert torch.equal(resumed["model_avg"]["weights"][key], expected["model_avg"]["weights"][key]), key
        assert resumed["step"] == expected["step"]


def test_in_bf16_it_learns_what_it_learns_in_fp32(corpus_dir, tmp_path, uninterrupted):
    trainer, data = make_trainer(corpus_dir, tmp_path, train__precision="bf16")
    figures = losses_of(trainer.fit(data))
    assert all(
        value.dtype == torch.float32 for value in trainer.model.state_dict().values() if value.is_floating_point()
    )
    for found, expected in zip(figures, losses_of(uninterrupted[1])):
        assert found != expected
        assert [found[part]["loss"] for part in (0, 1)] == pytest.approx(
            [expected[part]["loss"] for part in (0, 1)], 0.05
        )


def test_more_epochs_go_on_where_fewer_ended(corpus_dir, tmp_path, uninterrupted):
    _, whole = uninterrupted
    trainer, data = make_trainer(corpus_dir, tmp_path, train__num_epochs=1)
    assert trainer.fit(data)["num_epochs"] == 1
    trainer, data = make_trainer(corpus_dir, tmp_path)
    assert losses_of(trainer.fit(data)) == losses_of(whole)


def test_what_a_finished_run_leaves(uninterrupted):
    exp_dir, summary = uninterrupted
    assert json.loads((exp_dir / "train.json").read_text()) == summary
    assert summary["finished"] and summary["stopped_by"] == "num_epochs"
    assert summary["num_params"] == sum(v.numel() for v in load_checkpoint(exp_dir / "epoch-2.pt")["model"].values())
    assert summary["train_sec_per_epoch"] > 0 and summary["epochs"][0]["audio_sec_per_sec"] > 0
    best = min(summary["epochs"], key=lambda record: record["valid"]["loss"])["epoch"]
    assert summary["best_valid_epoch"] == best and load_checkpoint(epoch_path(exp_dir, best))["epoch"] == best
    assert len(list(exp_dir.glob("checkpoint-*.pt"))) <= 2


def with_broken_batch(data, trainer, broken):
    """The same data; for the training batches numbered in `broken`, from 1, the encoder gives NaN."""
    counter = [0]

    def train_batches(epoch, start):
        for batch in data.train_batches(epoch, start):
            counter[0] += 1
            yield {**batch, "broken": counter[0] in broken}

    prepare = trainer.system.prepare

    def prepared(batch, device):
        trainer.model.broken = batch.get("broken", False)
        return prepare(batch, device)

    encode = trainer.model.encode

    def broken_encode(frames, lens):
        out = encode(frames, lens)
        return out._replace(encoder_out=out.encoder_out * float("nan")) if trainer.model.broken else out

    trainer.model.encode = broken_encode
    trainer.system.prepare = prepared
    return dataclasses.replace(data, train_batches=train_batches)


def test_a_batch_that_is_not_finite_is_left_out_and_named(corpus_dir, tmp_path):
    trainer, data = make_trainer(corpus_dir, tmp_path, train__num_epochs=1)
    summary = trainer.fit(with_broken_batch(data, trainer, {2}))
    assert summary["bad_batches"] == 1
    records = [json.loads(line) for line in (tmp_path / "bad-batches.jsonl").read_text().splitlines()]
    assert len(records) == 1 and records[0]["batch"] == 2
    assert (tmp_path / records[0]["saved"]).is_file()
    assert "the loss is not finite" in records[0]["reason"]
    assert set(records[0]["cut_ids"]) <= {f"train-{n}" for n in range(24)} and records[0]["cut_ids"]
    assert records[0]["cut_ids"][0] in records[0]["reason"]
    assert all(value.isfinite().all() for value in trainer.model.state_dict().values())
    assert summary["epochs"][0]["train"]["loss"] < 100


def test_a_dev_loss_that_is_not_finite_is_an_error_at_that_epoch_which_names_the_cuts(corpus_dir, tmp_path):
    trainer, data = make_trainer(corpus_dir, tmp_path, train__num_epochs=3)
    data = with_broken_batch(data, trainer, set())

    def valid_batches():
        for number, batch in enumerate(data.valid_batches()):
            yield {**batch, "broken": number == 0 and trainer.progress.epoch == 2}

    name = next(iter(data.valid_batches()))["cut_ids"][0]
    with pytest.raises(
        RuntimeError, match=rf"^epoch 2: the validation \(dev\) loss is not finite: .*{name}.*; look at"
    ):
        trainer.fit(dataclasses.replace(data, valid_batches=valid_batches))
    assert (tmp_path / "epoch-1.pt").is_file() and not (tmp_path / "epoch-2.pt").exists()


def test_too_many_such_batches_stop_training(corpus_dir, tmp_path):
    trainer, data = make_trainer(corpus_dir, tmp_path, train__max_bad_batches=1)
    with pytest.raises(RuntimeError, match=r"2 batches were not finite.*allows 1.*bad-batches\.jsonl"):
        trainer.fit(with_broken_batch(data, trainer, {1, 2, 3}))


def test_the_time_budget_ends_training_within_an_epoch_and_its_part_can_be_used(corpus_dir, tmp_path, uninterrupted):
    whole_dir, whole = uninterrupted
    trainer, data = make_trainer(corpus_dir, tmp_path, train__max_minutes=1e-6)
    summary = trainer.fit(data)
    assert (summary["num_epochs"], summary["num_steps"], summary["stopped_by"]) == (1, 1, "max_minutes")
    assert 0 < summary["epochs"][0]["part"] < 1
    assert average_epochs(tmp_path, 1, 1, use_averaged_model=True).keys() == trainer.model.state_dict().keys()

    trainer, data = make_trainer(corpus_dir, tmp_path)  # more time: the epoch goes on as if it had not been cut short
    summary = trainer.fit(data)
    assert summary["stopped_by"] == "num_epochs" and losses_of(summary) == losses_of(whole)
    assert [record["part"] for record in summary["epochs"]] == [1.0, 1.0]
    for epoch in (1, 2):
        resumed, expected = (load_checkpoint(folder / f"epoch-{epoch}.pt") for folder in (tmp_path, whole_dir))
        for key, value in expected["model"].items():
            assert torch.equal(resumed["model"][key], value), key
            assert torch.equal(resumed["model_avg"]["weights"][key], expected["model_avg"]["weights"][key]), key


def test_fractional_epochs_lower_the_learning_rate_at_every_step(corpus_dir, tmp_path):
    changes = {"train__lr_epochs": 0.5, "train__lr_warmup_batches": 0.0, "train__num_epochs": 1}
    rates = {}
    for fractional in (False, True):
        trainer, data = make_trainer(
            corpus_dir, tmp_path / str(fractional), train__fractional_epochs=fractional, **changes
        )
        seen = rates[fractional] = []
        step = trainer.precision.step
        trainer.precision.step = lambda optimizer, seen=seen, step=step, trainer=trainer: (
            seen.append((trainer.scheduler.epoch, trainer.scheduler.get_last_lr()[0])),
            step(optimizer),
        )
        trainer.fit(data)
    assert {epoch for epoch, _ in rates[False]} == {0}
    epochs = [epoch for epoch, _ in rates[True]]
    assert epochs[0] == 0 and epochs == sorted(epochs) and 0 < epochs[-1] < 1
    for (_, rate), (epoch, fallen) in zip(rates[False], rates[True]):
        assert fallen == pytest.approx(rate * (1 + (epoch / 0.5) ** 2) ** -0.25)


def test_accumulated_gradients_make_fewer_steps(corpus_dir, tmp_path, uninterrupted):
    trainer, data = make_trainer(corpus_dir, tmp_path, train__num_epochs=1, train__accum_grad=2)
    steps = uninterrupted[1]["epochs"][0]["step"]
    assert trainer.fit(data)["num_steps"] == (steps + 1) // 2


def test_bf16_trains_on_a_cpu_nearly_as_fp32(corpus_dir, tmp_path, uninterrupted):
    trainer, data = make_trainer(corpus_dir, tmp_path, train__precision="bf16", train__num_epochs=1)
    record = trainer.fit(data)["epochs"][0]
    expected = uninterrupted[1]["epochs"][0]
    assert record["train"]["loss"] == pytest.approx(expected["train"]["loss"], rel=0.03)
    assert record["train"]["loss"] != expected["train"]["loss"]


@pytest.mark.skipif(not hasattr(torch.amp, "GradScaler"), reason="this torch scales losses on CUDA only")
def test_fp16_trains_nearly_as_fp32_and_resumes_with_its_scale(corpus_dir, tmp_path, uninterrupted):
    changes = {"train__precision": "fp16", "train__num_epochs": 1}
    trainer, data = make_trainer(corpus_dir, tmp_path, **changes)
    record = trainer.fit(data)["epochs"][0]
    assert record["train"]["loss"] == pytest.approx(uninterrupted[1]["epochs"][0]["train"]["loss"], rel=0.02)
    assert all(value.isfinite().all() for value in trainer.model.state_dict().values())
    resumed, _ = make_trainer(corpus_dir, tmp_path, **changes)
    resumed.resume_points.load_newest()
    assert resumed.precision.state_dict() == trainer.precision.state_dict() and resumed.precision.scale > 0.1


def test_the_largest_batches_are_tried_first_and_change_nothing(corpus_dir, tmp_path, uninterrupted):
    trainer, data = make_trainer(corpus_dir, tmp_path, train__try_largest_batches=False)
    assert losses_of(trainer.fit(data)) == losses_of(uninterrupted[1])
    trainer, data = make_trainer(corpus_dir, tmp_path / "too-large")
    batches = dict(data.largest_batches())
    padded = [len(batch["cut_ids"]) * int(batch["frame_lens"].max()) for batch in batches.values()]
    every = [batch for epoch in (1, 2) for batch in data.train_batches(epoch, 0)]
    assert max(padded) == max(len(batch["cut_ids"]) * int(batch["frame_lens"].max()) for batch in every)

    def out_of_memory(batch, device):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")

    trainer.system.prepare = out_of_memory
    with pytest.raises(RuntimeError, match=r"most padded audio.*utterances padded to \d+ frames.*lower --max-duration"):
        trainer.fit(data)


def test_an_error_in_a_step_saves_its_batch_and_names_it(corpus_dir, tmp_path):
    trainer, data = make_trainer(corpus_dir, tmp_path, train__try_largest_batches=False)
    made, prepare = [], trainer.system.prepare

    def fails_later(batch, device):
        made.append(batch)
        if len(made) == 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return prepare(batch, device)

    with pytest.raises(
        RuntimeError, match=r"epoch 1, batch 2 \(cuts train-.*out of memory.*epoch-1-batch-2-rank-0\.pt"
    ):
        trainer.system.prepare = fails_later
        trainer.fit(data)
    saved = load_checkpoint(tmp_path / "bad-batches" / "epoch-1-batch-2-rank-0.pt")
    assert saved["batches"][0]["cut_ids"] == made[1]["cut_ids"] and saved["place"]["batch"] == 2


def test_greedy_decoding_of_dev_is_reported(corpus_dir, tmp_path):
    trainer, data = make_trainer(corpus_dir, tmp_path, train__decode_interval=2, train__decode_utterances=3)
    records = trainer.fit(data)["epochs"]
    assert "dev_wer" not in records[0] and records[1]["dev_wer"] > 0 and records[1]["dev_cer"] > 0


def test_dev_is_decoded_with_the_mean_of_the_epoch_and_training_goes_on_with_its_own_weights(corpus_dir, tmp_path):
    seen = []

    def figures(batches):
        seen.append({name: value.clone() for name, value in trainer.model.state_dict().items()})
        return {"dev_wer": 100.0, "dev_cer": 100.0}

    trainer, data = make_trainer(corpus_dir, tmp_path, train__decode_interval=1, train__average_period=1)
    trainer.system.figures = figures
    trainer.fit(data)
    for epoch, weights in enumerate(seen, start=1):
        expected = average_epochs(tmp_path, epoch, 1, use_averaged_model=True)
        last = load_checkpoint(tmp_path / f"epoch-{epoch}.pt")["model"]
        assert all(torch.equal(weights[name], value) for name, value in expected.items())
        assert any(not torch.equal(weights[name], value) for name, value in last.items())
    assert len(seen) == 2
    final = load_checkpoint(tmp_path / "epoch-2.pt")["model"]
    assert all(torch.equal(trainer.model.state_dict()[name], value) for name, value in final.items())


def test_a_checkpoint_of_other_groups_of_parameters_is_refused_in_a_sentence(corpus_dir, tmp_path):
    trainer, _ = make_trainer(corpus_dir, tmp_path)
    trainer.resume_points.save()
    again, _ = make_trainer(corpus_dir, tmp_path)
    again.resume_points.load_newest()
    first, *others = again.model.parameters()
    again.resume_points.parts["optimizer"] = ScaledAdam([{"params": [first]}, {"params": others}])
    with pytest.raises(ValueError, match=r"checkpoint-0\.pt: its optimizer has groups of \[\d+\] param.*anew"):
        again.resume_points.load_newest()
