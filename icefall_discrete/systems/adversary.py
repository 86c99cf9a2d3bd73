"""Discriminators against a system that makes audio: what it says is to be heard as a recording.

HiFi-GAN, https://arxiv.org/abs/2010.05646. Both sides take a step at once, each against the other as it was before.
N utterances, S samples.
"""

import dataclasses
from typing import Dict, Optional, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.losses.adversarial import deception_loss, discriminator_loss, feature_loss
from icefall_discrete.nn.discriminators import FULL_WIDTH, Discriminators
from icefall_discrete.training.opponents import Opponents

BETAS = (0.8, 0.99)
DECEPTION, FEATURES, DISCRIMINATORS = "deception", "features", "discriminators"
ADVERSARIAL_PARTS = (DECEPTION, FEATURES, DISCRIMINATORS)


@dataclasses.dataclass(frozen=True)
class DiscriminatorConfig:
    """Discriminators, and the weight of what they say."""

    deception_weight: float = setting(
        0.02, "weight of being heard as a recording: a 45th of that of mel spectra, as HiFi-GAN has it", minimum=0
    )
    feature_weight: float = setting(
        0.04, "weight of the distance of what discriminators hear in it and in the recording", minimum=0
    )
    discriminator_lr: float = setting(0.0002, "learning rate of the discriminators (AdamW)", above=0)
    discriminator_periods: Tuple[int, ...] = setting(
        (2, 3, 5, 7, 11), "periods in samples, a discriminator each", minimum=1, distinct=True
    )
    discriminator_scales: int = setting(
        1, "discriminators of the audio at its rate, at half of it ...; HiFi-GAN has 3", minimum=0
    )
    discriminator_width: int = setting(
        64, f"channels of their widest layers; HiFi-GAN has {FULL_WIDTH}, which takes a GPU", minimum=1
    )
    heard_sec: float = setting(0.5, "piece of each utterance that they hear in a step, in seconds; 0: all", minimum=0)

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.discriminator_periods and not self.discriminator_scales:
            raise ValueError(
                "discriminator_periods is empty and discriminator_scales is 0, so that there is no discriminator; set "
                "one of them."
            )


@dataclasses.dataclass(frozen=True)
class AdversaryConfig(DiscriminatorConfig):
    """The adversarial phase of a training in epochs; there is none by default."""

    adversary_from_epoch: int = setting(0, "first epoch in which discriminators hear what is said; 0: none", minimum=0)

    def is_on(self, epoch: int) -> bool:
        """Whether discriminators hear in an epoch."""
        return 0 < self.adversary_from_epoch <= epoch


class Adversary(nn.Module):
    """The discriminators and what they say of audio.

    Args:
      sample_rate_hz: of the audio. device: where they are.
    """

    def __init__(self, config: DiscriminatorConfig, sample_rate_hz: int, device: torch.device) -> None:
        super().__init__()
        self.config = config
        self.heard_samples = round(config.heard_sec * sample_rate_hz)
        sizes = (config.discriminator_periods, config.discriminator_scales, config.discriminator_width)
        with torch.random.fork_rng(devices=[]):  # what is drawn for the system itself stays as it is without them
            self.discriminators = Discriminators(*sizes).to(device)

    def opponents(self) -> Opponents:
        """The discriminators with a fresh optimiser."""
        optimizer = torch.optim.AdamW(self.discriminators.parameters(), self.config.discriminator_lr, BETAS)
        return Opponents(self.discriminators, optimizer)

    def pieces(
        self, said: Tensor, recorded: Tensor, lens: Tensor, generator: Optional[torch.Generator] = None
    ) -> Tuple[Tensor, Tensor]:
        """A random piece of each utterance, of both; all of it where there is not more.

        Args:
          lens: (N,) samples. generator: on the CPU, to draw from instead of torch's own on the device.
        """
        size = self.heard_samples or said.shape[1]
        if size >= said.shape[1]:
            return said, recorded
        room = (lens - size).clamp(min=0) + 1
        drawn_on = said.device if generator is None else generator.device
        starts = (torch.rand(len(lens), device=drawn_on, generator=generator).to(said.device) * room).long()
        places = starts.unsqueeze(1) + torch.arange(size, device=said.device)
        return said.gather(1, places), recorded.gather(1, places)

    def losses(
        self, said: Tensor, recorded: Tensor, lens: Tensor, generator: Optional[torch.Generator] = None
    ) -> Dict[str, Tensor]:
        """Losses of said (N, S) against recorded (N, S), silent behind lens (N,), by name, before weights.

        `generator` is that of `pieces`.
        `deception` and `features` have gradients into `said` alone, `discriminators` into those alone.
        """
        said, recorded = self.pieces(said, recorded, lens, generator)
        of_recorded = self.discriminators(recorded)
        of_others = self.discriminators(said.detach())
        self.discriminators.requires_grad_(False)
        of_said = self.discriminators(said)
        self.discriminators.requires_grad_(True)
        originals = [[layer.detach() for layer in one.layers] for one in of_recorded]
        return {
            DECEPTION: deception_loss([one.scores for one in of_said]),
            FEATURES: feature_loss(originals, [one.layers for one in of_said]),
            DISCRIMINATORS: discriminator_loss([o.scores for o in of_recorded], [o.scores for o in of_others]),
        }

    def objective(self, parts: Dict[str, Tensor]) -> Tensor:
        """What is added to a system's own losses."""
        weighted = self.config.deception_weight * parts[DECEPTION] + self.config.feature_weight * parts[FEATURES]
        return weighted + parts[DISCRIMINATORS]
