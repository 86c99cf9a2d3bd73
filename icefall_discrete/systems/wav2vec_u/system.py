"""wav2vec-U as the training loop sees it: at odd steps the discriminator learns, at even ones the generator.

All random numbers of a step follow from the seed that its batch brings along, so that training can go on anywhere.
"""

from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from icefall_discrete.base.settings import from_dict
from icefall_discrete.systems.wav2vec_u.config import Wav2vecUConfig
from icefall_discrete.systems.wav2vec_u.judge import Judge
from icefall_discrete.systems.wav2vec_u.loss import (
    Rows,
    discriminator_losses,
    generator_losses,
    unit_errors,
)
from icefall_discrete.systems.wav2vec_u.network import (
    Discriminator,
    GanNetwork,
    Generator,
    Said,
    best_symbols,
    join_runs,
)
from icefall_discrete.training.fit_folder import SYSTEM, read_system
from icefall_discrete.training.system import Batch, Losses, System

PARTS = ("text_d", "speech_d", "gradient_penalty", "speech_g", "smoothness", "diversity", "units")


class Pairing(NamedTuple):
    """Segments (N, T, D) of utterances with lens (N,), and lines of text that are not of them.

    text: (N, U) symbols, -1 behind ends. units: (N, T), -1 behind ends, or None. seed: of the step.
    """

    segments: Tensor
    lens: Tensor
    text: Tensor
    units: Optional[Tensor]
    seed: int


class Wav2vecUSystem(System[Pairing]):
    """Both networks and their losses; figures tell how much like text it is what the generator says.

    Args:
      network: both. config: weights of losses. judge: what text is like; None where no figures are taken.
    """

    network: GanNetwork
    if_not_finite = "lower the learning rates, or take other seeds"
    if_too_large = "lower --batch-size"

    def __init__(self, network: GanNetwork, config: Wav2vecUConfig, judge: Optional[Judge] = None) -> None:
        super().__init__(network)
        self.config, self.judge = config, judge

    def prepare(self, batch: Batch, device: torch.device) -> Pairing:
        """Tensors on `device`."""
        units = batch.get("units")
        segments, lens, text = (batch[name].to(device) for name in ("segments", "lens", "text"))
        return Pairing(segments, lens, text, None if units is None else units.to(device), batch["seed"])

    def before_step(self, step: int) -> None:
        """Only one of the two networks learns in a step."""
        is_generators = step % 2 == 0
        self.network.generator.requires_grad_(is_generators)
        self.network.discriminator.requires_grad_(not is_generators)

    def losses(self, prepared: Pairing, step: int) -> Losses:
        """Nats an utterance. Parts of the network whose step it is not are 0."""
        torch.manual_seed(prepared.seed)
        network, config = self.network, self.config.loss
        if step % 2:
            with torch.no_grad():
                said = join_runs(network.generator(prepared.segments, prepared.lens), self.training)
            speech = Rows(said.logits.softmax(dim=2), said.lens)
            found = discriminator_losses(network.discriminator, self._rows(prepared.text), speech, config)
        else:
            heard = network.generator(prepared.segments, prepared.lens)
            found = generator_losses(network.discriminator, join_runs(heard, self.training), config)
            if config.units and prepared.units is not None and network.generator.units is not None:
                errors = unit_errors(network.generator.units(heard.hidden), prepared.units)
                found["units"] = config.units * len(prepared.lens) * errors
        total = torch.stack(list(found.values())).sum()
        count = total.new_tensor(float(len(prepared.lens)))
        parts = {name: found[name].detach() if name in found else total.new_zeros(()) for name in PARTS}
        return Losses(total.detach(), parts, count, total.isfinite().expand(len(prepared.lens)), total / count)

    def _rows(self, text: Tensor) -> Rows:
        """Each symbol of text (N, U) as a share of 1."""
        num_symbols = self.network.generator.conv.out_channels
        shares = F.one_hot(text.clamp(min=0), num_symbols).float()
        return Rows(shares.masked_fill((text < 0).unsqueeze(2), 0.0), (text >= 0).sum(dim=1))

    @torch.no_grad()
    def say(self, batch: Batch, device: torch.device) -> Said:
        """Scores of the runs of a batch's utterances, means of each, in evaluation mode."""
        segments, lens = (batch[name].to(device) for name in ("segments", "lens"))
        return join_runs(self.network.generator(segments, lens), False)

    def figures(self, batches: Iterable[Batch]) -> Dict[str, float]:
        """How much like text it is what is said (judge.py). No transcript has a part in it."""
        if self.judge is None:
            return {}
        device = next(self.network.parameters()).device
        said: List[List[int]] = [row for batch in batches for row in best_symbols(self.say(batch, device))]
        return self.judge.figures(said)


class Sizes(NamedTuple):
    """Dimensions D of segments, symbols V with silence, units that are predicted beside (0: none)."""

    dim: int
    num_symbols: int
    num_units: int = 0


def build_network(config: Wav2vecUConfig, sizes: Sizes) -> GanNetwork:
    """Both networks with fresh weights."""
    generator = Generator(config.generator, *sizes)
    return GanNetwork(generator, Discriminator(config.discriminator, sizes.num_symbols))


def from_folder(folder: Path) -> Wav2vecUSystem:
    """The system of a training, with fresh weights, to do a step of it again."""
    settings = read_system(folder).settings
    config = from_dict(Wav2vecUConfig, settings["config"], str(folder / SYSTEM))
    return Wav2vecUSystem(build_network(config, Sizes(*settings["sizes"])), config)


def optimizer_of(network: GanNetwork, config: Wav2vecUConfig) -> torch.optim.Optimizer:
    """Adam with two rates. The network whose step it is not has no gradients, so that nothing of it moves."""
    train = config.train
    groups: List[Dict[str, Any]] = [
        {"params": list(network.generator.parameters()), "lr": train.generator_lr, "weight_decay": 0.0},
        {
            "params": list(network.discriminator.parameters()),
            "lr": train.discriminator_lr,
            "weight_decay": train.discriminator_decay,
        },
    ]
    return torch.optim.AdamW(groups, betas=(0.5, 0.98), eps=1e-6)
