#!/usr/bin/env python3
"""Real-time factor of each search by batch size: seconds for a second of audio, the encoder not counted.

The heads have random weights; blank is made as likely as in speech, and searches from label to label are held to as
many labels. On the CPU times are of the processor; on an accelerator by the clock, and it is waited for at the end.
Searches that need k2 are measured where it is.
"""

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any, List

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from bench_search import BenchConfig, build, set_blank_share

from icefall_discrete.base.backend import resolve
from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.settings import setting
from icefall_discrete.decoding.search import search
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.nn.heads.attention_decoder import AttentionDecoder, AttentionDecoderConfig

SEARCHES = ("greedy_search", "modified_beam_search", "ctc_greedy_search", "ctc_prefix_beam_search", "joint_beam_search")
WITH_K2 = ("fast_beam_search",)


@dataclasses.dataclass(frozen=True)
class RtfConfig:
    """Sizes of the batches and the heads."""

    batches: str = setting("1,4,16,64", "utterances of a batch, one column each")
    frames: int = setting(100, "encoder frames T' of each utterance")
    frame_sec: float = setting(0.04, "seconds of a frame")
    vocab_size: int = setting(500, "output units V")
    encoder_dim: int = setting(256, "dimension of the encoder output")
    joiner_dim: int = setting(512, "dimension of predictor and joiner")
    decoder_dim: int = setting(256, "dimension of the attention decoder, of six layers")
    beam_size: int = setting(4, "prefixes kept for each utterance")
    label_share: float = setting(0.25, "labels for each frame")
    device: str = setting("cpu", "device of the heads")
    repeats: int = setting(3, "timed runs of a batch; the least is reported")


def heads(config: RtfConfig) -> Any:
    """A recogniser without encoder: transducer, CTC head and attention decoder."""
    sizes = BenchConfig(vocab_size=config.vocab_size, encoder_dim=config.encoder_dim, joiner_dim=config.joiner_dim)
    model = build(sizes)
    sample = torch.randn(1, 200, config.encoder_dim)
    set_blank_share(model, sample, 1 - config.label_share)
    model.ctc_output = nn.Linear(config.encoder_dim, config.vocab_size)
    shape = AttentionDecoderConfig(config.decoder_dim, 6, 4, 8 * config.decoder_dim)
    model.attention_decoder = AttentionDecoder(shape, config.encoder_dim, config.vocab_size, 1)
    with torch.no_grad():
        model.ctc_output.weight.mul_(8.0)
        logits = model.ctc_output(sample[0])
        lead = logits[:, 1:].max(dim=1).values - logits[:, 0]
        model.ctc_output.bias[0] += lead.quantile(1 - config.label_share)
    return model.eval().requires_grad_(False).to(config.device)


def seconds(config: RtfConfig, model: Any, method: str, num: int) -> float:
    """Least seconds of a search of `num` utterances."""
    torch.manual_seed(num)
    encoder_out = torch.randn(num, config.frames, config.encoder_dim).to(config.device)
    lens = torch.full((num,), config.frames)
    settings = DecodeConfig(beam_size=config.beam_size, maxlenratio=config.label_share)
    times: List[float] = []
    for _ in range(config.repeats):
        start = now(config.device)
        search(method, model, encoder_out, lens, settings)
        times.append(now(config.device) - start)
    return min(times)


def now(device: str) -> float:
    """Seconds, of which differences mean something."""
    if torch.device(device).type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def main() -> None:
    """Measure and print the table."""
    config = config_from_flags(RtfConfig, __doc__)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, batches = heads(config), [int(num) for num in config.batches.split(",")]
    print(
        f"T'={config.frames} of {config.frame_sec:g} s, V={config.vocab_size}, joiner {config.joiner_dim}, beam "
        f"{config.beam_size}, {config.device}, torch {torch.__version__}"
    )
    print("| search | " + " | ".join(f"N = {num}" for num in batches) + " |")
    print("|---" * (len(batches) + 1) + "|")
    for method in SEARCHES + (WITH_K2 if resolve("auto") == "k2" else ()):
        seconds(dataclasses.replace(config, frames=8, repeats=1), model, method, 1)
        factors = [seconds(config, model, method, num) / (num * config.frames * config.frame_sec) for num in batches]
        print(f"| `{method}` | " + " | ".join(f"{factor:.5f}" for factor in factors) + " |", flush=True)


if __name__ == "__main__":
    main()
