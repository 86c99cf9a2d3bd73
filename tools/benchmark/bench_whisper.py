#!/usr/bin/env python3
"""Whisper's encoder in PyTorch, as codes are made, against CTranslate2 (float32): processor time for a second of audio.

Both run in turn in this process with one thread on the same spectrograms; of each the least time counts. Needs
ctranslate2, and the weights, which are fetched.
"""

import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, Tuple

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.settings import setting
from icefall_discrete.base.weights_fetch import weights_folder
from icefall_discrete.tokenizers.formats.ctranslate2_files import WEIGHTS_FILE, read_ctranslate2
from icefall_discrete.tokenizers.networks.whisper_encoder import read_whisper_encoder

FRAMES_PER_SEC = 100


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """What is measured."""

    weights: str = setting("whisper_base", "name of the weights")
    seconds: Tuple[int, ...] = setting((2, 4, 8), "durations of the utterances")
    repeats: int = setting(8, "times that each is run", minimum=1)


def library_encoder(folder: Path, place: Path) -> Callable[[Tensor], Tensor]:
    """The encoder of CTranslate2; what else it wants to find in a folder is made in `place`."""
    import ctranslate2

    embeddings = "decoder/embeddings/weight"
    vocabulary = len(read_ctranslate2(folder / WEIGHTS_FILE, lambda name: name == embeddings).tensors[embeddings])
    (place / WEIGHTS_FILE).symlink_to(folder / WEIGHTS_FILE)
    (place / "vocabulary.json").write_text(json.dumps([f"<{number}>" for number in range(vocabulary)]))
    (place / "config.json").write_text("{}")
    model = ctranslate2.models.Whisper(str(place), compute_type="float32", inter_threads=1, intra_threads=1)

    def encode(mel: Tensor) -> Tensor:
        view = ctranslate2.StorageView.from_array(mel[None].contiguous().numpy())
        return torch.from_numpy(np.array(model.encode(view, to_cpu=True)))[0]

    return encode


def main() -> None:
    """Print a line for each duration."""
    config = config_from_flags(BenchConfig, __doc__)
    torch.set_num_threads(1)
    folder = weights_folder(config.weights)
    ours = read_whisper_encoder(folder, [0])
    with tempfile.TemporaryDirectory() as place, torch.no_grad():
        encoders = {"ours": lambda mel: ours(mel, [0]), "CTranslate2": library_encoder(folder, Path(place).resolve())}
        print("| audio | ours, s a second | CTranslate2 | ours against it | largest difference of states |")
        print("|---|---|---|---|---|")
        for seconds in config.seconds:
            mel = torch.randn(ours.sizes.num_mel_bins, FRAMES_PER_SEC * seconds).clamp(-1, 1) / 2
            least: Dict[str, float] = dict.fromkeys(encoders, float("inf"))
            states: Dict[str, Tensor] = {}
            for _ in range(config.repeats):
                for name, encode in encoders.items():
                    began = time.process_time()
                    states[name] = encode(mel)
                    least[name] = min(least[name], (time.process_time() - began) / seconds)
            ratio = least["ours"] / least["CTranslate2"]
            largest = float((states["ours"] - states["CTranslate2"]).abs().max())
            print(f"| {seconds} s | {least['ours']:.4f} | {least['CTranslate2']:.4f} | {ratio:.2f} | {largest:.1e} |")


if __name__ == "__main__":
    main()
