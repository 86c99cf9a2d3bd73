"""The attention decoder beside CTC, through the trainer: it learns, its head is the only thing that is new."""

import dataclasses

import torch
from synthetic_codes import BY_HEART, make_trainer

from icefall_discrete.decoding.search import search
from icefall_discrete.decoding.settings import DecodeConfig

SHAPE = {
    "model__attention_decoder_dim": 32,
    "model__attention_decoder_num_layers": 1,
    "model__attention_decoder_num_heads": 2,
    "model__attention_decoder_feedforward_dim": 48,
    "model__attention_decoder_dropout": 0.0,
}
BESIDE_CTC = {
    "loss__transducer_loss_scale": 0.0,
    "loss__ctc_loss_scale": 0.3,
    "loss__inner_ctc_loss_scale": 0.0,
    "loss__attention_decoder_loss_scale": 0.7,
}


def test_ctc_and_attention_decoder_learn_three_utterances_by_heart(corpus_dir, tmp_path):
    trainer, data = make_trainer(corpus_dir, tmp_path, **BY_HEART, **SHAPE, **BESIDE_CTC)
    three = {key: value[:3] for key, value in next(iter(data.valid_batches())).items()}
    steps = dataclasses.replace(data, train_batches=lambda epoch, start: [three] * 150, valid_batches=lambda: [three])
    (record,) = trainer.fit(steps)["epochs"]
    assert set(record["train"]) == {"loss", "ctc", "attention_decoder"}
    model, batch = trainer.model.eval(), trainer.system.prepare(three, trainer.device)
    with torch.no_grad():
        encoded = model.encode(batch.frames, batch.frame_lens)
        scores = model.attention_decoder.score(encoded.encoder_out, encoded.lens, batch.labels, batch.label_lens)
    assert float(scores[scores < 0].exp().mean()) > 0.8
    found = search(
        "ctc-prefix-beam-search-attention-decoder-rescoring", model, encoded.encoder_out, encoded.lens, DecodeConfig()
    )
    expected = [row[:size].tolist() for row, size in zip(batch.labels, batch.label_lens)]
    assert [hypothesis.labels for hypothesis in found] == expected


def test_first_weights_of_the_other_parts_are_the_same_without_it(corpus_dir, tmp_path):
    both = {"loss__cr_loss_scale": 0.02, "augment__augment_start_epoch": 1}
    without, _ = make_trainer(corpus_dir, tmp_path / "without", **both)
    trainer, data = make_trainer(
        corpus_dir, tmp_path / "with", loss__attention_decoder_loss_scale=0.9, train__accum_grad=2, **both, **SHAPE
    )
    with_it = trainer.model.state_dict()
    before = without.model.state_dict()
    assert all(torch.equal(with_it[name], value) for name, value in before.items())
    assert {name.split(".")[0] for name in set(with_it) - set(before)} == {"attention_decoder"}
    first = next(iter(data.train_batches(1, 0)))
    found = trainer.system.losses(trainer.system.prepare(first, trainer.device), 100)
    found.total.backward()
    assert {"simple", "pruned", "ctc", "cr", "attention_decoder"} <= set(found.parts)
    assert found.finite.shape == (len(first["cut_ids"]),) and found.finite.all()
    assert all(parameter.grad is not None for parameter in trainer.model.attention_decoder.parameters())


def test_the_attention_decoder_alone_has_dev_figures_of_its_own(corpus_dir, tmp_path):
    alone = {"loss__ctc_loss_scale": 0.0, "loss__inner_ctc_loss_scale": 0.0, "loss__attention_decoder_loss_scale": 1.0}
    decoded = {"train__num_epochs": 1, "train__decode_interval": 1, "train__decode_utterances": 2}
    trainer, data = make_trainer(
        corpus_dir, tmp_path, loss__transducer_loss_scale=0.0, train__accum_grad=2, **alone, **decoded, **SHAPE
    )
    batches = list(data.train_batches(1, 0))[:2]
    (record,) = trainer.fit(dataclasses.replace(data, train_batches=lambda epoch, start: batches))["epochs"]
    assert record["dev_wer"] > 0 and set(record["train"]) == {"loss", "attention_decoder"}
