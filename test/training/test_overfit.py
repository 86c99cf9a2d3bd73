import dataclasses

import torch
from synthetic_codes import BY_HEART, make_trainer

from icefall_discrete.decoding.ctc_greedy import ctc_greedy_search
from icefall_discrete.decoding.greedy import greedy_search


def test_three_utterances_are_learnt_by_heart(corpus_dir, tmp_path):
    trainer, data = make_trainer(corpus_dir, tmp_path, **BY_HEART)
    batch = next(iter(data.valid_batches()))
    three = {key: value[:3] for key, value in batch.items()}
    steps = dataclasses.replace(data, train_batches=lambda epoch, start: [three] * 150, valid_batches=lambda: [three])
    trainer.fit(steps)
    model = trainer.model.eval()
    model_batch = trainer.system.prepare(three, trainer.device)
    expected = [row[:size].tolist() for row, size in zip(model_batch.labels, model_batch.label_lens)]
    with torch.no_grad():
        encoded = model.encode(model_batch.frames, model_batch.frame_lens)
    # A frame may learn to emit more than one label.
    transducer = greedy_search(model, encoded.encoder_out, encoded.lens, max_sym_per_frame=3)
    assert [found.labels for found in transducer] == expected
    assert [found.labels for found in ctc_greedy_search(model, encoded.encoder_out, encoded.lens)] == expected
