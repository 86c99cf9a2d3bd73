#!/usr/bin/env python3
"""Prints what the streaming search finds in the codes of a split: JSON, cut id -> text, labels, frames, score.

Usage: streaming_text.py EXP_DIR FEATURE_DIR SPLIT METHOD. There is no command for streaming yet, so this is the one
part of a recording that calls the library; where its modules move, this file follows.
"""

import json
import sys
from pathlib import Path

import torch

from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, load_weights, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.systems.asr.streaming_model import StreamingConfig
from icefall_discrete.systems.asr.streaming_recognizer import StreamingRecognizer

STREAMS = 7  # not a divisor of the utterances, so that the last batch is another one
PIECES = (7, 30, 16)  # frames that come at once, in turn
STREAMING = StreamingConfig(chunk_size=16, left_context_frames=64)


def recognizer_of(exp_dir: Path, method: str) -> StreamingRecognizer:
    """The experiment's averaged model."""
    experiment = Experiment(exp_dir)
    model = experiment.build_model()
    model.load_state_dict(load_weights(resolve_choice(CheckpointChoice(avg=1), exp_dir), exp_dir))
    decode = DecodeConfig(decoding_method=method, blank_penalty=1.0)
    return StreamingRecognizer(model.eval(), experiment.spec(), STREAMING, decode)


def main() -> None:
    """Feed the utterances in pieces, some at a time."""
    exp_dir, feature_dir, split, method = sys.argv[1:]
    recognizer = recognizer_of(Path(exp_dir), method)
    decode = Experiment(Path(exp_dir)).text_encoder().decode
    cuts = list(load_feature_cuts(Path(feature_dir) / f"{split}.jsonl.gz")[0])
    found = {}
    for start in range(0, len(cuts), STREAMS):
        some = cuts[start : start + STREAMS]
        streams = [recognizer.open() for _ in some]
        waiting = [torch.as_tensor(cut.load_codes()).long() for cut in some]
        for turn in range(10**6):
            for index, stream in enumerate(streams):
                size = PIECES[(turn + index) % len(PIECES)]
                if len(waiting[index]):
                    stream.push(waiting[index][:size])
                    waiting[index] = waiting[index][size:]
                    if not len(waiting[index]):
                        stream.finish()
            recognizer.step(streams)
            if all(stream.is_done for stream in streams):
                break
        for cut, stream in zip(some, streams):
            best = recognizer.hypothesis(stream)
            found[cut.id] = f"{decode(best.labels)} {best.labels} {best.timestamps} {best.score!r}"
    print(json.dumps(found, ensure_ascii=False))


if __name__ == "__main__":
    main()
