"""The vocoder as the training loop sees it: its waveform against that of the utterance, by their spectra.

With these alone what it says can be understood, but phases and pitch that codes do not tell are a mean; from an epoch
on, discriminators may hear it too. A front end learns the prosody of recordings, and at first their mel spectra.
"""

from typing import Dict, List, NamedTuple, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import batch_key
from icefall_discrete.data.prompts import PROMPT, PROMPT_LENS
from icefall_discrete.data.prosody import PROSODY
from icefall_discrete.data.speech import AUDIO, DURATIONS, expanded
from icefall_discrete.data.targets.voices import ANY_VOICE, VoiceTargets
from icefall_discrete.losses.reconstruction import ReconstructionLoss
from icefall_discrete.nn.durations import duration_loss
from icefall_discrete.systems.adversary import Adversary
from icefall_discrete.systems.vocoder.network import Vocoder
from icefall_discrete.systems.vocoder.settings import TrainSettings
from icefall_discrete.training.system import Batch, Losses, System

FRONT_MEL = "front_mel"


class Units(NamedTuple):
    """Codes without repetitions (N, U, K), with lens (N,), and the frames that each lasts (N, U)."""

    codes: Tensor
    lens: Tensor
    durations: Tensor


class Heard(NamedTuple):
    """What a front end is given: prompts (N, S), with lens (N,) in samples, and prosody (N, T, 3), if it is known."""

    prompts: Tensor
    lens: Tensor
    prosody: Optional[Tensor]


class Spoken(NamedTuple):
    """Frames (N, T, K or D) with lens (N,), audio (N, T F), voices (N,); units where durations are learnt, and what is
    heard where there is a front end."""

    frames: Tensor
    lens: Tensor
    audio: Tensor
    voices: Tensor
    units: Optional[Units]
    heard: Optional[Heard] = None


def run_lengths(codes: Tensor) -> Tuple[Tensor, Tensor]:
    """Codes (T, K) without those that repeat the one before, (U, K), and how often each stood, (U,)."""
    return torch.unique_consecutive(codes, dim=0, return_counts=True)


def _padded(rows: List[Tensor], fill: Tensor) -> Tensor:
    """Rows (T_n, K) as (N, T, K), with `fill` (K,) behind their ends."""
    padded = fill.repeat(len(rows), max(map(len, rows)), 1)
    for target, row in zip(padded, rows):
        target[: len(row)] = row
    return padded


def _distance(expected: Tensor, true: Tensor, padding: Tensor) -> Tensor:
    """Mean of |expected - true|, both (N, T, D), over the frames that are none of padding (N, T)."""
    differences = F.l1_loss(expected.float(), true.float(), reduction="none").mean(dim=2)
    return differences.masked_fill(padding, 0.0).sum() / (~padding).sum()


class VocoderSystem(System[Spoken]):
    """A vocoder and its losses.

    Args:
      network: the vocoder. settings: of the run. spec: of the frames. targets: the voices.
    """

    network: Vocoder
    if_not_finite = "look at those cuts, or lower the learning rate and train anew"
    if_too_large = "lower --max-duration or --part-sec"

    def __init__(self, network: Vocoder, settings: TrainSettings, spec: FeatureSpec, targets: VoiceTargets) -> None:
        super().__init__(network)
        self.loss, self.voice_dropout = settings.loss, settings.target.voice_dropout
        self.spec, self.targets = spec, targets
        self.reconstruction = ReconstructionLoss(spec.sample_rate_hz, self.loss.fft_sizes, self.loss.max_mel_bins)
        self.adversary: Optional[Adversary] = None
        if self.loss.adversary.adversary_from_epoch:
            device = next(network.parameters()).device
            self.adversary = Adversary(self.loss.adversary, spec.sample_rate_hz, device)
            self.opponents = self.adversary.opponents()
        # Before the first epoch the largest batches are tried, with all that is to come.
        self.is_adversarial = self.adversary is not None

    def begin_epoch(self, epoch: int) -> None:
        """From an epoch on discriminators hear."""
        self.is_adversarial = self.loss.adversary.is_on(epoch)

    def prepare(self, batch: Batch, device: torch.device) -> Spoken:
        """Tensors on `device` of a batch with audio (data/speech.py); codes of a variable rate are repeated."""
        frames, lens, units = batch[batch_key(self.spec)], batch["frame_lens"], None
        if DURATIONS in batch:
            units = Units(frames, lens, batch[DURATIONS])
            rows = [self._named(one) for one in zip(batch["cut_ids"], frames, lens.tolist(), batch[DURATIONS])]
            lens = torch.tensor([len(row) for row in rows])
            frames = _padded(rows, torch.tensor(self.spec.pad_ids))
        elif self.network.durations is not None:
            units = self._units(frames, lens)
        if units is not None:
            units = Units(*(one.to(device, non_blocking=True) for one in units))
        audio, voices = batch[AUDIO], self.targets.collate(batch)
        frames, lens, audio, voices = (one.to(device, non_blocking=True) for one in (frames, lens, audio, voices))
        return Spoken(frames, lens, audio, voices, units, self._heard(batch, device))

    def _heard(self, batch: Batch, device: torch.device) -> Optional[Heard]:
        if not self.network.takes_prompt:
            return None
        prompts, lens = (batch[name].to(device, non_blocking=True) for name in (PROMPT, PROMPT_LENS))
        prosody: Optional[Tensor] = batch.get(PROSODY)
        return Heard(prompts, lens, None if prosody is None else prosody.to(device, non_blocking=True))

    def _named(self, one: Tuple[str, Tensor, int, Tensor]) -> Tensor:
        cut_id, codes, length, durations = one
        try:
            return expanded(codes[:length], durations[durations > 0])
        except ValueError as error:
            raise ValueError(f"cut {cut_id}: {error}") from None

    def _units(self, frames: Tensor, lens: Tensor) -> Units:
        runs = [run_lengths(row[:length]) for row, length in zip(frames, lens.tolist())]
        durations = _padded([counts[:, None] for _, counts in runs], torch.tensor([0]))[..., 0]
        codes = _padded([codes for codes, _ in runs], torch.tensor(self.spec.pad_ids))
        return Units(codes, torch.tensor([len(counts) for _, counts in runs]), durations)

    def _said(self, prepared: Spoken, voices: Tensor) -> Tuple[Tensor, Dict[str, Tensor]]:
        """Audio (N, T F), and losses of what a front end expects.

        In training it is told the prosody of the recording; else it follows what it expects, as when it speaks.
        """
        network, heard = self.network, prepared.heard
        if heard is None or network.log_mel is None:
            return network(prepared.frames, voices), {}
        told = heard.prosody if self.training else None
        prompt = network.prompt(heard.prompts, heard.lens)
        fronted = network.fronted(prepared.frames, voices, prepared.lens, prompt, told)
        padding = torch.arange(fronted.states.shape[1], device=voices.device) >= prepared.lens.unsqueeze(1)
        parts: Dict[str, Tensor] = {}
        if fronted.mel is not None:
            parts[FRONT_MEL] = _distance(fronted.mel, network.log_mel(prepared.audio), padding)
        if fronted.prosody is not None and heard.prosody is not None:
            parts[PROSODY] = _distance(fronted.prosody, heard.prosody, padding)
        return network.spoken(fronted.states), parts

    def _of_front(self, parts: Dict[str, Tensor], step: int) -> Union[Tensor, float]:
        """What is added to the objective, in training alone: validation compares what is said."""
        if not self.training or not parts:
            return 0.0
        mel_weight = self.loss.front_mel_weight if step < self.loss.front_mel_steps else 0.0
        weights = {FRONT_MEL: mel_weight, PROSODY: self.loss.prosody_weight}
        return sum(weights[name] * value for name, value in parts.items())

    def losses(self, prepared: Spoken, step: int) -> Losses:
        """Means over the batch; in training some utterances have no voice in particular. The log divides by frames."""
        voices = prepared.voices
        if self.training and self.voice_dropout > 0:
            dropped = torch.rand(len(voices), device=voices.device) < self.voice_dropout
            voices = voices.masked_fill(dropped, ANY_VOICE)
        said, parts = self._said(prepared, voices)
        ends = prepared.lens * self.network.frame_samples
        behind = torch.arange(said.shape[1], device=said.device) >= ends.unsqueeze(1)
        said = said.float().masked_fill(behind, 0.0)
        found = self.reconstruction(said, prepared.audio)
        mean = self.loss.mel_weight * found["mel"] + self.loss.stft_weight * found["stft"]
        mean = mean + self._of_front(parts, step)
        parts.update({name: found[name] for name in ("mel", "stft")})
        if self.network.durations is not None and prepared.units is not None:
            units = prepared.units
            predicted = self.network.log_durations(units.codes, units.lens)
            parts["duration"] = duration_loss(predicted, units.durations, units.lens)
            mean = mean + self.loss.duration_weight * parts["duration"]
        if self.training and self.is_adversarial and self.adversary is not None:
            heard = self.adversary.losses(said, prepared.audio, ends)
            mean = mean + self.adversary.objective(heard)
            parts.update(heard)
        frames = prepared.lens.sum().to(mean.dtype)
        summed = {name: value.detach() * frames for name, value in parts.items()}
        return Losses(mean.detach() * frames, summed, frames, mean.isfinite().expand(len(voices)), mean)
