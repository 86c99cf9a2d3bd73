"""The trainer on a device, in every number format."""

import dataclasses

import pytest
import torch
from synthetic_codes import BY_HEART, Killed, killed_after, make_trainer

from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.decoding.greedy import greedy_search

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_three_utterances_are_learnt_by_heart(corpus_dir, tmp_path, precision):
    trainer, data = make_trainer(corpus_dir, tmp_path, device="cuda", train__precision=precision, **BY_HEART)
    three = {key: value[:3] for key, value in next(iter(data.valid_batches())).items()}
    trainer.fit(
        dataclasses.replace(data, train_batches=lambda epoch, start: [three] * 200, valid_batches=lambda: [three])
    )
    batch = trainer.system.prepare(three, trainer.device)
    expected = [row[:size].tolist() for row, size in zip(batch.labels, batch.label_lens)]
    model = trainer.model.eval()
    with torch.no_grad():
        encoded = model.encode(batch.frames, batch.frame_lens)
    found = greedy_search(model, encoded.encoder_out, encoded.lens, max_sym_per_frame=3)
    assert [hypothesis.labels for hypothesis in found] == expected


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_killed_run_goes_on(corpus_dir, tmp_path, precision):
    settings = {"train__precision": precision, "train__save_every_n": 2, "train__decode_interval": 1}
    whole, data = make_trainer(corpus_dir, tmp_path / "whole", device="cuda", **settings)
    expected = whole.fit(data)
    trainer, data = make_trainer(corpus_dir, tmp_path / "killed", device="cuda", **settings)
    with pytest.raises(Killed):
        trainer.fit(killed_after(data, 3))
    trainer, data = make_trainer(corpus_dir, tmp_path / "killed", device="cuda", **settings)
    found = trainer.fit(data)
    assert found["num_steps"] == expected["num_steps"]
    assert found["device"] == "cuda" and found["precision"] == precision
    # Not bit for bit as on a CPU: sums of a device depend on the order in which its threads arrive.
    assert all("dev_wer" in record for record in found["epochs"])
    for name in ("loss", "ctc"):
        assert found["epochs"][-1]["valid"][name] == pytest.approx(expected["epochs"][-1]["valid"][name], rel=0.05)
    states = [load_checkpoint(tmp_path / folder / "epoch-2.pt")["model"] for folder in ("whole", "killed")]
    assert all(value.device.type == "cpu" for state in states for value in state.values())


def test_a_batch_whose_loss_is_not_finite_is_left_out(corpus_dir, tmp_path):
    trainer, data = make_trainer(corpus_dir, tmp_path, device="cuda", train__num_epochs=1)
    bias = trainer.model.joiner.output_linear.bias

    prepare = trainer.system.prepare

    def prepared(batch, device):
        batch_on_device = prepare(batch, device)
        if trainer.progress.batch == 2:
            with torch.no_grad():
                bias[1] = float("nan")
        elif trainer.progress.batch == 3:
            with torch.no_grad():
                bias[1] = 0.0
        return batch_on_device

    trainer.system.prepare = prepared
    summary = trainer.fit(data)
    assert summary["bad_batches"] == 1
    assert list((tmp_path / "bad-batches").glob("epoch-1-batch-2-*.pt"))
    assert torch.isfinite(bias).all()
