"""The codec as the training loop sees it: segments of audio, coded and decoded, against themselves.

All that a step draws by chance comes from a generator that its batch brings along, so that it depends on the seed and
the number of the batch only.
"""

import hashlib
import math
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

import torch
from torch import Tensor, nn

from icefall_discrete.base.settings import from_dict
from icefall_discrete.losses.reconstruction import ReconstructionLoss
from icefall_discrete.systems.adversary import ADVERSARIAL_PARTS, Adversary
from icefall_discrete.systems.codec.config import CodecConfig
from icefall_discrete.systems.codec.guidance import (
    DISTILLATION,
    NO_LESSONS,
    TRANSCRIPT,
    Spoken,
    Taught,
    make_guidance,
)
from icefall_discrete.systems.codec.lessons import LessonSizes
from icefall_discrete.systems.codec.networks import fresh_decoder, fresh_encoder, published_names
from icefall_discrete.systems.codec.quantizers import make_quantizer, perplexity
from icefall_discrete.systems.codec.segments import AudioPool
from icefall_discrete.training.fit_folder import SYSTEM, read_system
from icefall_discrete.training.system import Batch, Losses, System

PARTS = ("waveform", "mel", "stft", "quantizer")
# In system.json, beside the settings: how large the heads are that the lessons need.
LESSON_SIZES = "lesson_sizes"
# What the running losses keep of themselves at each step.
SMOOTHING = 0.98


def seeded(seed: int, purpose: str, step: int) -> torch.Generator:
    """A generator of its own for each purpose and step."""
    digest = hashlib.sha256(f"{seed} {purpose} {step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def segments_of(config: CodecConfig) -> int:
    """Segments of a batch (N)."""
    return max(1, round(config.batch_sec / config.segment_sec))


def samples_of(config: CodecConfig) -> int:
    """Samples of a segment, whole frames of it."""
    frames = max(1, round(config.segment_sec * config.codec_rate_hz / config.frame_samples))
    return frames * config.frame_samples


class CodecNetwork(nn.Module):
    """Encoder, quantizer and decoder, and heads of what is taught; `recent` are running means of the losses `parts`."""

    recent: Tensor

    def __init__(self, config: CodecConfig, seed: int, sizes: LessonSizes = NO_LESSONS) -> None:
        """Fresh weights, which depend on the seed only; `sizes` of what the first codebook is taught."""
        super().__init__()
        fresh = seeded(seed, "weights", 0)
        self.encoder = fresh_encoder(config, fresh)
        self.quantizer = make_quantizer(config, config, fresh)
        self.decoder = fresh_decoder(config, fresh)
        self.guidance = make_guidance(config, sizes, seeded(seed, "guidance", 0))
        self.parts = (*PARTS, *self.guidance.weights, *(ADVERSARIAL_PARTS if config.adversary_from_step else ()))
        # A part of the state: a training that was interrupted tells the same as one that was not.
        self.register_buffer("recent", torch.full((len(self.parts),), math.nan, dtype=torch.float64))

    @torch.no_grad()
    def note(self, losses: Tensor) -> None:
        """Move the running means to the losses of a step, in the order of `parts`; NaN: not yet."""
        before = torch.where(self.recent.isnan(), losses, self.recent)
        self.recent.copy_(SMOOTHING * before + (1 - SMOOTHING) * losses)

    def perplexities(self) -> List[float]:
        """Of each codebook, the number of entries that equally frequent use would make."""
        return [round(perplexity(counts), 3) for counts in self.quantizer.usage()]

    def recent_losses(self) -> Dict[str, float]:
        """The running means by name, of those that there were."""
        found = zip(self.parts, self.recent.tolist())
        return {name: round(value, 6) for name, value in found if not math.isnan(value)}

    def published_names(self) -> Dict[str, Tensor]:
        """The weights under the names that the modules of inference read, on the CPU."""
        parts = {
            "encoder": published_names(self.encoder),
            "quantizer": self.quantizer.published_names(),
            "decoder": published_names(self.decoder),
        }
        return {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}


class Segments(NamedTuple):
    """audio (N, S); generator: of what the step draws; what the first codebook is taught, if it is."""

    audio: Tensor
    generator: torch.Generator
    taught: Optional[Taught] = None
    spoken: Optional[Spoken] = None


class CodecSystem(System[Segments]):
    """Reconstruction through a quantizer, which takes part after `plain_steps`.

    Args:
      network: what is trained. config: the settings. seed: with the number of a batch, all that it draws depends on.
      pool: audio that the codebooks are started from; None where a step is only done again.
    """

    network: CodecNetwork

    def __init__(self, network: CodecNetwork, config: CodecConfig, seed: int, pool: Optional[AudioPool] = None) -> None:
        super().__init__(network)
        self._config, self._seed, self._pool = config, seed, pool
        self._reconstruction = ReconstructionLoss(config.codec_rate_hz, config.fft_sizes, config.max_mel_bins)
        self.if_not_finite = (
            f"lower learning_rate, which is {config.learning_rate}, move the folder of this training aside and fit anew"
        )
        self.if_too_large = "lower batch_sec"
        self._adversary: Optional[Adversary] = None
        if config.adversary_from_step:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seeded(seed, "adversary", 0).initial_seed())
                self._adversary = Adversary(config, config.codec_rate_hz, next(network.parameters()).device)
            self.opponents = self._adversary.opponents()

    def prepare(self, batch: Batch, device: torch.device) -> Segments:
        """Segments on `device`, and their generator as it was when they were drawn."""
        generator = torch.Generator()
        generator.set_state(batch["generator"])
        taught = Taught(*(one.to(device) for one in batch[DISTILLATION])) if DISTILLATION in batch else None
        spoken = Spoken(*(one.to(device) for one in batch[TRANSCRIPT])) if TRANSCRIPT in batch else None
        return Segments(batch["audio"].to(device), generator, taught, spoken)

    def losses(self, prepared: Segments, step: int) -> Losses:
        """Code and decode the segments; the objective is the weighted sum of means over the batch."""
        config, network, audio = self._config, self.network, prepared.audio
        frames = network.encoder(audio[:, None]).transpose(1, 2).flatten(0, 1)
        lessons = self._lessons(frames, prepared, step)  # before the codebooks move
        added = frames.new_zeros(())
        if step >= config.plain_steps:
            used = self._num_used(len(audio), len(frames), prepared.generator)
            done = network.quantizer(frames, used.to(frames.device), prepared.generator)
            frames, added = done.states, done.loss
        states = frames.unflatten(0, (len(audio), -1)).transpose(1, 2)
        said = network.decoder(states)[:, 0]
        losses = {**self._reconstruction(said, audio), "quantizer": added, **lessons}
        total = (
            config.waveform_weight * losses["waveform"]
            + config.mel_weight * losses["mel"]
            + config.stft_weight * losses["stft"]
            + added
        )
        for name, value in lessons.items():
            total = total + network.guidance.weights[name] * value
        if self.training and self._adversary is not None and config.is_on(step):
            ends = torch.full((len(audio),), audio.shape[1], device=audio.device)
            heard = self._adversary.losses(said, audio, ends, prepared.generator)
            total = total + self._adversary.objective(heard)
            losses.update(heard)
        parts = {name: losses[name].detach() for name in network.parts if name in losses}
        if self.training:
            missing = total.new_full((), math.nan)
            network.note(torch.stack([parts.get(name, missing) for name in network.parts]).double())
        size = len(audio)
        summed = {name: value * size for name, value in parts.items()}
        return Losses(total.detach() * size, summed, torch.tensor(size), total.isfinite().expand(size), total)

    def _lessons(self, frames: Tensor, prepared: Segments, step: int) -> Dict[str, Tensor]:
        """Losses by name of what the first codebook is taught: on the states themselves while nothing is quantised."""
        network, found = self.network, {}

        def first(states: Tensor) -> Tensor:
            return network.quantizer.first(states) if step >= self._config.plain_steps else states

        if prepared.taught is not None:
            states = first(frames).unflatten(0, (len(prepared.audio), -1))
            found[DISTILLATION] = network.guidance.distillation(states, prepared.taught)
        if prepared.spoken is not None:
            states = network.encoder(prepared.spoken.audio[:, None]).transpose(1, 2)
            states = first(states.flatten(0, 1)).unflatten(0, (len(states), -1))
            found[TRANSCRIPT] = network.guidance.transcript(states, prepared.spoken)
        return found

    def _num_used(self, num_segments: int, num_frames: int, generator: torch.Generator) -> Tensor:
        """How many codebooks each frame (M,) uses: the same in a segment."""
        num_codebooks = self._config.num_codebooks
        fewer = torch.rand(num_segments, generator=generator) < self._config.quantizer_dropout
        drawn = torch.randint(1, num_codebooks + 1, (num_segments,), generator=generator)
        used = torch.where(fewer, drawn, torch.full_like(drawn, num_codebooks))
        return used.repeat_interleave(num_frames // num_segments)

    def before_step(self, step: int) -> None:
        """The codebooks are started before the first step that quantises."""
        if step == self._config.plain_steps:
            self.start_quantizer()

    @torch.no_grad()
    def start_quantizer(self) -> None:
        """Set the codebooks by k-means on the states of some batches.

        Raises:
          RuntimeError: if the states are not finite, because the encoder has gone astray.
        """
        config = self._config
        assert self._pool is not None, "a system without audio only does a step again"
        device, frames = next(self.network.parameters()).device, []
        for index in range(config.kmeans_batches):
            generator = seeded(self._seed, "k-means", index)
            audio = self._pool.segments(segments_of(config), samples_of(config), generator).to(device)
            frames.append(self.network.encoder(audio[:, None]).transpose(1, 2))
        states = torch.cat(frames).flatten(0, 1)
        if not bool(states.isfinite().all()):
            raise RuntimeError(f"states of the encoder are not finite when the codebooks start; {self.if_not_finite}.")
        self.network.quantizer.start(states, config.kmeans_batches, self._seed)


def from_folder(folder: Path) -> CodecSystem:
    """The system of a training, with fresh weights, to do a step of it again."""
    settings = read_system(folder).settings
    sizes = LessonSizes(*settings.pop(LESSON_SIZES, NO_LESSONS))
    config = from_dict(CodecConfig, settings, str(folder / SYSTEM))
    return CodecSystem(CodecNetwork(config, 0, sizes), config, 0)
