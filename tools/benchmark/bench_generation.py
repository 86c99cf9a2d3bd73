#!/usr/bin/env python3
"""Speed of going on by a decoder: keys and values kept, all computed again at each step, and transformers' generate.

All run in one process on the weights of one LLaMA of transformers, drawn at random, greedily from the same prompts, and
must give the same ids. Times are of the processor, so that other processes count less; the ratio that matters is how
they grow with length.
"""

import dataclasses
import statistics
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.settings import setting
from icefall_discrete.nn.decoder.network import Cache, Decoder
from icefall_discrete.nn.decoder.transformers_names import HEAD, TOKENS, decoder_of, decoder_weights

Way = Callable[[Tensor, int], Tensor]


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """Sizes of the model and of what it says."""

    batch: int = setting(1, "sequences N that go on together", minimum=1)
    prompt: int = setting(50, "ids of a prompt", minimum=1)
    lengths: str = setting("50,100,200,400", "ids that are said, a line of the table each")
    vocab_size: int = setting(1000, "ids V", minimum=2)
    dim: int = setting(192, "dimension of the layers", minimum=2)
    num_layers: int = setting(4, "layers", minimum=1)
    num_heads: int = setting(4, "attention heads", minimum=1)
    threads: int = setting(1, "CPU threads; their times are added up", minimum=1)
    repeats: int = setting(3, "timed runs; the median is reported", minimum=1)


class Rivals:
    """One model's weights, three ways to go on from ids (N, T)."""

    def __init__(self, config: BenchConfig, longest: int) -> None:
        import transformers

        torch.manual_seed(0)
        shape = transformers.LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.dim,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            intermediate_size=4 * config.dim,
            max_position_embeddings=config.prompt + longest,
        )
        self.theirs = transformers.LlamaForCausalLM(shape).eval()
        for value in self.theirs.parameters():  # as they begin, one id would be said again and again
            torch.nn.init.normal_(value, std=0.1)
        weights = decoder_weights(shape.to_dict(), self.theirs.state_dict(), "the model")
        self.tokens, self.head = weights.pop(TOKENS), weights.pop(HEAD)
        self.decoder = Decoder(decoder_of(shape.to_dict(), "the model")).eval()
        self.decoder.load_state_dict(weights)

    def _said(self, ids: Tensor, number: int, cache: Optional[Cache]) -> Tensor:
        new = ids
        for _ in range(number):
            given = ids if cache is None else new
            last = self.decoder(F.embedding(given, self.tokens), cache)[:, -1:]
            new = F.linear(last, self.head).argmax(dim=2)
            ids = torch.cat([ids, new], dim=1)
        return ids

    def kept(self, ids: Tensor, number: int) -> Tensor:
        """Keys and values of what was seen are kept."""
        return self._said(ids, number, Cache())

    def recomputed(self, ids: Tensor, number: int) -> Tensor:
        """All is computed again for each id."""
        return self._said(ids, number, None)

    def generate(self, ids: Tensor, number: int) -> Tensor:
        """transformers' own loop, with its cache."""
        return self.theirs.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=number, min_new_tokens=number, do_sample=False,
            pad_token_id=0, eos_token_id=None,
        )  # fmt: skip


def median_sec(way: Way, ids: Tensor, number: int, repeats: int) -> float:
    """Median processor time of going on from ids (N, T) by so many."""
    times: List[float] = []
    for _ in range(repeats):
        start = time.process_time()
        way(ids, number)
        times.append(time.process_time() - start)
    return statistics.median(times)


@torch.no_grad()
def main() -> None:
    """Print the table."""
    config = config_from_flags(BenchConfig, __doc__)
    torch.set_num_threads(config.threads)
    lengths = [int(word) for word in config.lengths.split(",")]
    rivals = Rivals(config, max(lengths))
    ids = torch.randint(1, config.vocab_size, (config.batch, config.prompt), generator=torch.Generator().manual_seed(1))
    print("| ids said | kept, s | computed again, times that | transformers' generate, times that |\n|---|---|---|---|")
    for number in lengths:
        ways: Dict[str, Way] = {
            "kept": rivals.kept, "recomputed": rivals.recomputed, "generate": rivals.generate
        }  # fmt: skip
        said = {name: way(ids, number) for name, way in ways.items()}
        if not all(torch.equal(said["kept"], one) for one in said.values()):
            raise RuntimeError(f"the ways do not say the same {number} ids.")
        sec = {name: median_sec(way, ids, number, config.repeats) for name, way in ways.items()}
        ratios = " | ".join(f"{sec[name] / sec['kept']:.2f}" for name in ("recomputed", "generate"))
        print(f"| {number} | {sec['kept']:.2f} | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
