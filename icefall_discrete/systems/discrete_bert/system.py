"""Discrete BERT as the training loop sees it."""

from typing import Dict, Iterable, List, NamedTuple

import torch
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import batch_key
from icefall_discrete.systems.acoustic import AcousticSystem
from icefall_discrete.systems.discrete_bert.masks import MaskConfig, what_is_shown
from icefall_discrete.systems.discrete_bert.network import DiscreteBert, Found
from icefall_discrete.systems.hidden_frames import errors_in, own_seeds, seeds_of
from icefall_discrete.systems.hidden_spans import LEAST, hidden_frames
from icefall_discrete.training.system import Batch, Losses


class CodeBatch(NamedTuple):
    """Codes (N, T, K) with lens (N,), on the device; names of the utterances."""

    codes: Tensor
    lens: Tensor
    names: List[str]


def find_hidden(network: DiscreteBert, batch: CodeBatch, config: MaskConfig, seeds: List[int]) -> Found:
    """Hide frames of each utterance as its seed says, and look for their codes.

    Raises:
      ValueError: if no utterance has frames enough to hide two and show two; one is named.
    """
    codes, sizes = batch.codes.cpu(), torch.tensor(network.codebook_sizes)
    shown, (hidden, masked) = codes.clone(), torch.zeros(2, *codes.shape[:2], dtype=torch.bool)
    for row, (length, seed) in enumerate(zip(batch.lens.tolist(), seeds)):
        generator = torch.Generator().manual_seed(seed)
        hidden[row, :length] = hidden_frames(length, config, generator)
        said = what_is_shown(codes[row, :length], hidden[row, :length], sizes, config, generator)
        shown[row, :length], masked[row, :length] = said
    if not bool(hidden.any()):
        raise ValueError(
            f"cut {batch.names[0]}: {int(batch.lens[0])} frames, of which fewer than {LEAST} can be hidden while as "
            "many are seen, and no other of its batch has more; raise --min-utterance-sec."
        )
    device = batch.codes.device
    return network.find(batch.codes, batch.lens, shown.to(device), hidden.to(device), masked.to(device))


class DiscreteBertSystem(AcousticSystem[CodeBatch]):
    """The network and its loss: nats for each code of a hidden frame.

    Training hides other frames at every step; validation and figures always the same of an utterance.

    Args:
      network: the network. config: what is hidden. spec: of the codes.
    """

    network: DiscreteBert

    def __init__(self, network: DiscreteBert, config: MaskConfig, spec: FeatureSpec) -> None:
        super().__init__(network, spec)
        self.config = config

    def prepare(self, batch: Batch, device: torch.device) -> CodeBatch:
        """Tensors on `device` of a batch of the loader (data/dataset.py)."""
        frames, lens = (batch[name].to(device, non_blocking=True) for name in (batch_key(self.spec), "frame_lens"))
        return CodeBatch(frames, lens, list(batch["cut_ids"]))

    def losses(self, prepared: CodeBatch, step: int) -> Losses:
        """Nats a hidden frame; the part `masked_acc` is the share of codes that are found."""
        seeds = seeds_of(prepared.names, self.training)
        found = find_hidden(self.network, prepared, self.config, seeds)
        count = found.hidden.sum().clamp(min=1)
        parts = {"masked_acc": found.correct.sum()}
        return Losses(found.nats.sum(), parts, count, found.nats.isfinite(), found.nats.sum() / count)

    def figures(self, batches: Iterable[Batch]) -> Dict[str, float]:
        """Codes that are not found, in percent: {"dev_masked_errors"}."""

        def find(prepared: CodeBatch) -> Found:
            return find_hidden(self.network, prepared, self.config, own_seeds(prepared.names))

        return errors_in("dev_masked_errors", self, batches, find)
