"""CR-CTC through the trainer: two views from the first augmented epoch on, one elsewhere."""

import torch
from synthetic_codes import make_trainer

from icefall_discrete.data.dataset import OTHER_VIEW
from icefall_discrete.systems.asr.system import ModelBatch

AUGMENTED = {"augment__augment_prob": 1.0, "augment__augment_start_epoch": 2, "augment__time_warp_sec": 0.1}


def test_an_utterance_counts_once_and_labels_are_not_repeated(corpus_dir, tmp_path):
    trainer, data = make_trainer(corpus_dir, tmp_path, loss__cr_loss_scale=0.2, **AUGMENTED)
    batch = next(iter(data.train_batches(2, 0)))
    given = trainer.system.prepare(batch, trainer.device)
    num = len(batch["cut_ids"])
    assert given.frames.shape[0] == given.frame_lens.shape[0] == 2 * num and given.labels.shape[0] == num
    assert torch.equal(given.frames, torch.cat((batch["codes"], batch[OTHER_VIEW])))
    system = trainer.system.eval()
    first = ModelBatch(given.frames[:num], given.frame_lens[:num], given.labels, given.label_lens)
    with torch.no_grad():
        outputs = [system.losses(one, 100) for one in (given, first)]
    assert float(outputs[0].frames) == float(outputs[1].frames)
    assert outputs[0].finite.shape == (num,)
    assert float(outputs[0].parts["cr"]) > 0.0 and "cr" not in outputs[1].parts


def test_training_meets_both_views(corpus_dir, tmp_path):
    trainer, data = make_trainer(corpus_dir, tmp_path, loss__cr_loss_scale=0.2, **AUGMENTED)
    for _, batch in data.largest_batches():
        assert OTHER_VIEW in batch
    summary = trainer.fit(data)
    early, late = summary["epochs"]
    assert "cr" not in early["train"] and "cr" not in early["valid"] and "cr" not in late["valid"]
    assert 0.0 < late["train"]["cr"] < float("inf")
    assert summary["bad_batches"] == 0
