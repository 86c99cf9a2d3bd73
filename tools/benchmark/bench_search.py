#!/usr/bin/env python3
"""Speed of the searches: modified beam search against Python hypothesis objects, greedy search in batch against alone.

All run in one process on the same random model, whose blank is made as likely as in speech, on one batch, and must find
the same labels. The plain modified beam search is that of the tests, once with the network called once a frame for the
whole batch, and once for one utterance after the other. With --icefall and k2, icefall's own is asked with the same
network. Times are of the processor, so that other processes count less.
"""

import dataclasses
import importlib
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "test" / "toys"))

from plain_search import plain_modified_beam_search

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.settings import setting
from icefall_discrete.decoding.hypothesis import Hypothesis
from icefall_discrete.decoding.search import search
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.nn.heads.joiner import Joiner
from icefall_discrete.nn.heads.predictor import StatelessPredictor


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """Sizes of the batch and the model."""

    batch: int = setting(32, "utterances N")
    frames: int = setting(150, "encoder frames T' of the longest utterance; the shortest has nine tenths of them")
    vocab_size: int = setting(500, "output units V")
    encoder_dim: int = setting(256, "dimension of the encoder output")
    joiner_dim: int = setting(512, "dimension of predictor and joiner")
    beam_size: int = setting(4, "prefixes kept for each utterance")
    blank_share: float = setting(0.75, "share of the frames on which greedy search finds blank")
    threads: int = setting(1, "CPU threads; their times are added up")
    repeats: int = setting(5, "timed runs of each, in turn; the least, the lower quartile and the median are reported")
    plain: bool = setting(True, "whether the plain search is measured too")
    icefall: str = setting("", "checkout of icefall, to measure its search; needs k2, pypinyin, kaldialign")


def build(config: BenchConfig) -> Any:
    """A transducer without encoder."""
    torch.manual_seed(0)
    model = nn.Module()
    model.blank_id = 0
    model.predictor = StatelessPredictor(config.vocab_size, config.joiner_dim, 0, 2)
    model.joiner = Joiner(config.encoder_dim, config.joiner_dim, config.joiner_dim, config.vocab_size)
    with torch.no_grad():
        model.joiner.encoder_proj.weight.mul_(8.0)
        model.joiner.output_linear.weight.mul_(8.0)
    return model.eval()


@torch.no_grad()
def set_blank_share(model: Any, encoder_out: Tensor, share: float) -> None:
    """Move the bias of blank until it wins on this share of the frames (with the predictor's first output)."""
    context = torch.tensor([[-1, 0]])
    lm = model.predictor(context, need_pad=False).squeeze(1)
    logits = model.joiner(encoder_out.flatten(0, 1), lm)
    lead = logits[:, 1:].max(dim=1).values - logits[:, 0]
    model.joiner.output_linear.bias[0] += lead.quantile(share)


def seconds_in_turn(runs: Dict[str, Callable[[], Any]], repeats: int) -> Dict[str, List[float]]:
    """Processor times of `runs`, which have run before, one after the other, so that all meet the same other work."""
    times: Dict[str, List[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    return {name: sorted(several) for name, several in times.items()}


def three_of(times: List[float]) -> List[float]:
    """The least, the lower quartile and the median of sorted times."""
    return [times[0], times[(len(times) - 1) // 4], statistics.median(times)]


def fastest_of(name: str) -> str:
    """The search that a row of the table is compared with."""
    return "greedy_search" if name.startswith("greedy") else "modified_beam_search"


def icefall_search(checkout: str, model: Any) -> Callable[[Tensor, Tensor, int], List[Hypothesis]]:
    """icefall's modified_beam_search with the network of `model`; times of labels are left out."""
    sys.path[:0] = [checkout, f"{checkout}/egs/librispeech/ASR/zipformer"]
    modified_beam_search = importlib.import_module("beam_search").modified_beam_search
    model.decoder = model.predictor  # the name that it has there

    def run(encoder_out: Tensor, lens: Tensor, beam_size: int) -> List[Hypothesis]:
        with torch.no_grad():
            found = modified_beam_search(model, encoder_out, lens, beam=beam_size)
        return [Hypothesis(labels, [], 0.0) for labels in found]

    return run


def main() -> None:
    """Measure and print the table."""
    config = config_from_flags(BenchConfig, __doc__)
    torch.set_num_threads(config.threads)
    model = build(config)
    encoder_out = torch.randn(config.batch, config.frames, config.encoder_dim)
    lens = torch.linspace(config.frames, 9 * config.frames // 10, config.batch).long()
    set_blank_share(model, encoder_out, config.blank_share)
    settings = DecodeConfig(beam_size=config.beam_size)

    def alone(method: str) -> List[Any]:
        one = [(encoder_out[n : n + 1, : lens[n]], lens[n : n + 1]) for n in range(config.batch)]
        return [search(method, model, out, length, settings)[0] for out, length in one]

    def plain_alone() -> List[Any]:
        one = [(encoder_out[n : n + 1, : lens[n]], lens[n : n + 1]) for n in range(config.batch)]
        return [plain_modified_beam_search(model, out, length, config.beam_size)[0][0] for out, length in one]

    def plain_together() -> List[Any]:
        return [found[0] for found in plain_modified_beam_search(model, encoder_out, lens, config.beam_size)]

    peers: Dict[str, Callable[[], List[Any]]] = {}
    if config.plain:
        peers = {"plain modified beam, one by one": plain_alone, "plain modified beam, in batch": plain_together}
    if config.icefall:
        theirs = icefall_search(config.icefall, model)
        peers["icefall's modified_beam_search"] = lambda: theirs(encoder_out, lens, config.beam_size)
    runs = {
        **peers,
        "modified_beam_search": lambda: search("modified_beam_search", model, encoder_out, lens, settings),
        "greedy_search, one by one": lambda: alone("greedy_search"),
        "greedy_search": lambda: search("greedy_search", model, encoder_out, lens, settings),
    }
    found = {name: [h.labels for h in run()] for name, run in runs.items()}
    for name, labels in found.items():
        if labels != found[fastest_of(name)]:
            raise RuntimeError(f"{name} finds other labels than the search in batch; a ratio of times means nothing.")
    seconds = seconds_in_turn(runs, config.repeats)
    share = sum(map(len, found["modified_beam_search"])) / int(lens.sum())
    print(
        f"N={config.batch} T'={config.frames} V={config.vocab_size} joiner {config.joiner_dim} beam "
        f"{config.beam_size}, {share:.2f} labels a frame, {config.threads} threads, torch {torch.__version__}"
    )
    print("| search | s a batch: least, quartile, median | times those of the search in batch |")
    print("|---|---|---|")
    for name, times in seconds.items():
        own, fastest = three_of(times), three_of(seconds[fastest_of(name)])
        ratios = ", ".join(f"{value / least:.2f}" for value, least in zip(own, fastest))
        print(f"| {name} | {', '.join(f'{value:.4f}' for value in own)} | {ratios} |")


if __name__ == "__main__":
    main()
