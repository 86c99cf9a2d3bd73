"""Texts to units as the training loop sees it: cross-entropy of codes at the places that alignments give, durations."""

from typing import Dict, Iterable, NamedTuple, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.targets.spoken_text import SpokenTextTargets
from icefall_discrete.data.targets.voices import ANY_VOICE
from icefall_discrete.nn.durations import duration_loss
from icefall_discrete.nn.length_regulator import places_of
from icefall_discrete.systems.acoustic import EncoderSystem
from icefall_discrete.systems.tts.batches import DURATIONS, SPOKEN_LANGUAGES, SYMBOL_LENS, SYMBOLS, VOICES
from icefall_discrete.systems.tts.network import TextToUnits, unit_loss
from icefall_discrete.systems.tts.settings import TrainSettings
from icefall_discrete.training.system import Batch, Losses


class Said(NamedTuple):
    """Symbols (N, U) with lens (N,) and durations (N, U) in frames, voices and languages (N,), codes (N, T, K)."""

    symbols: Tensor
    lens: Tensor
    durations: Tensor
    voices: Tensor
    languages: Tensor
    codes: Tensor


class TtsSystem(EncoderSystem[Said]):
    """The network and its losses.

    Args:
      network: from texts to units. settings: of the run. spec: of the codes. targets: the texts.
    """

    network: TextToUnits
    if_not_finite = "look at those cuts, or lower the learning rate and train anew"
    if_too_large = "lower --max-duration or --max-utterance-sec"

    def __init__(
        self, network: TextToUnits, settings: TrainSettings, spec: FeatureSpec, targets: SpokenTextTargets
    ) -> None:
        super().__init__(network)
        self.loss, self.voice_dropout = settings.loss, settings.target.voice_dropout
        self.spec, self.targets = spec, targets

    def prepare(self, batch: Batch, device: torch.device) -> Said:
        """Tensors on `device` of a batch with symbols (batches.py)."""
        names = (SYMBOLS, SYMBOL_LENS, DURATIONS, VOICES, SPOKEN_LANGUAGES, "codes")
        return Said(*(batch[name].to(device, non_blocking=True) for name in names))

    def losses(self, prepared: Said, step: int) -> Losses:
        """Means over frames and over symbols; in training some utterances have no voice in particular."""
        voices = prepared.voices
        if self.training and self.voice_dropout > 0:
            dropped = torch.rand(len(voices), device=voices.device) < self.voice_dropout
            prepared = prepared._replace(voices=voices.masked_fill(dropped, ANY_VOICE))
        encoded, predicted = self._durations(prepared)
        logits, codes = self._units(encoded, prepared)
        smoothing = self.loss.label_smoothing if self.training else 0.0
        units = unit_loss(logits, codes, smoothing).mean()
        durations = duration_loss(predicted.float(), prepared.durations, prepared.lens)
        mean = units + self.loss.duration_weight * durations
        frames = torch.tensor(float(len(codes)))
        summed = {"units": units.detach() * frames, "duration": durations.detach() * frames}
        return Losses(mean.detach() * frames, summed, frames, mean.isfinite().expand(len(voices)), mean)

    def _durations(self, prepared: Said) -> Tuple[Tensor, Tensor]:
        encoded = self.network.encode(prepared.symbols, prepared.lens, prepared.voices, prepared.languages)
        return encoded, self.network.log_durations(encoded, prepared.lens)

    def _units(self, encoded: Tensor, prepared: Said) -> Tuple[Tuple[Tensor, ...], Tensor]:
        """Logits of the M frames of the batch, K tensors (M, V_k), and their codes (M, K)."""
        places = places_of(prepared.durations)
        valid = torch.arange(places.symbols.shape[1], device=places.lens.device) < places.lens.unsqueeze(1)
        frames = self.network.frames(encoded, places)
        return self.network.unit_logits(frames[valid]), prepared.codes[:, : valid.shape[1]][valid]

    @torch.no_grad()
    def figures(self, batches: Iterable[Batch]) -> Dict[str, float]:
        """{"dev_unit_accuracy"}, percent of codes at the true places, and {"dev_duration_error"}, ms a symbol."""
        device = next(self.network.parameters()).device
        right = codes_told = symbols = 0
        off_frames = 0.0
        for batch in batches:
            prepared = self.prepare(batch, device)
            encoded, predicted = self._durations(prepared)
            logits, codes = self._units(encoded, prepared)
            right += int((torch.stack([one.argmax(dim=1) for one in logits], dim=1) == codes).sum())
            codes_told += codes.numel()
            known = torch.arange(predicted.shape[1], device=device) < prepared.lens.unsqueeze(1)
            off_frames += float(((predicted.exp() - 1) - prepared.durations)[known].abs().sum())
            symbols += int(known.sum())
        if not codes_told:
            return {}
        error_ms = 1000.0 * off_frames / symbols / self.spec.frame_rate_hz
        return {"dev_unit_accuracy": 100.0 * right / codes_told, "dev_duration_error": error_ms}
