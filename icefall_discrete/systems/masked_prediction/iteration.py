"""One iteration of masked prediction: encoder, scores of units and optimiser, a step, and how well units are predicted.

All random numbers of a step follow from the seed, the iteration and the step, so that training can go on anywhere.
"""

import math
from typing import Any, Dict, Mapping, NamedTuple, Optional

import numpy as np
import torch
from torch import Tensor, nn

from icefall_discrete.data.dataset import derived_seed
from icefall_discrete.metrics.code_usage import CodeUsage
from icefall_discrete.systems.masked_prediction.config import MaskedPredictionConfig
from icefall_discrete.systems.masked_prediction.corpus import Batch, Corpus, make_batch, plan_batches
from icefall_discrete.systems.masked_prediction.loss import MaskedLoss, UnitScores, masked_loss
from icefall_discrete.systems.masked_prediction.spans import span_masks
from icefall_discrete.tokenizers.frames.mel_encoder import FRAME_RATE_HZ, MelEncoder

# HuBERT's; the rest of the optimiser is settings.
_BETAS, _EPSILON, _WEIGHT_DECAY, _MAX_GRAD_NORM = (0.9, 0.98), 1e-6, 0.01, 10.0
# Utterances held out of the training to measure on, and the most batches of them.
HELD_OUT_SHARE = 0.02
MEASURED_BATCHES = 50
_COUNTED_AT_ONCE = 2**20


class Split(NamedTuple):
    """Utterances to train on and to measure on, (N,) int64; the latter are trained on only if a corpus is tiny."""

    train: np.ndarray
    measured: np.ndarray
    is_held_out: bool


def split_corpus(num_utterances: int, seed: int) -> Split:
    """Hold out some utterances at random; none of fewer than 50."""
    order = np.random.default_rng(seed).permutation(num_utterances)
    held_out = int(HELD_OUT_SHARE * num_utterances)
    if held_out == 0:
        return Split(np.sort(order), np.sort(order), False)
    return Split(np.sort(order[held_out:]), np.sort(order[:held_out]), True)


def learning_rate(step: int, num_steps: int, config: MaskedPredictionConfig) -> float:
    """Rate of step 0, 1, ...: a linear rise over the warm-up, and a linear fall to 0 at the end."""
    rise = (step + 1) / config.warmup_steps
    fall = (num_steps - step) / max(1, num_steps - config.warmup_steps)
    return config.learning_rate * min(1.0, rise, fall)


class Iteration:
    """Trains an encoder to predict units.

    Args:
      number: of the iteration, from 1. units: (total,) those of all frames of `corpus`, below `num_units`.
      start: the encoder to begin with; None: random weights.
    """

    def __init__(
        self,
        number: int,
        config: MaskedPredictionConfig,
        corpus: Corpus,
        units: np.ndarray,
        seed: int,
        device: torch.device,
        start: Optional[MelEncoder] = None,
    ) -> None:
        self.number, self.config, self.corpus, self.units, self.device = number, config, corpus, units, device
        self.num_units = config.teacher_clusters[number - 1]
        self.num_steps = config.steps[number - 1]
        self._seed = derived_seed(seed, number)
        torch.manual_seed(self._seed)
        self.encoder = MelEncoder(config, config.dropout)
        self.encoder.mel_mean.copy_(corpus.mean)
        self.encoder.mel_scale.copy_(corpus.std)
        self.scores = UnitScores(config.dim, self.num_units, config.prediction)
        if start is not None:
            self.encoder.load_state_dict(start.state_dict())
        self._model = nn.ModuleDict({"encoder": self.encoder, "scores": self.scores}).to(device)
        self._optimizer = torch.optim.AdamW(
            self._model.parameters(), config.learning_rate, _BETAS, _EPSILON, _WEIGHT_DECAY
        )

    def state_dict(self) -> Dict[str, Any]:
        """Plain values for a checkpoint."""
        return {"model": self._model.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])

    def step(self, utterances: np.ndarray, step: int) -> MaskedLoss:
        """Learn from some utterances.

        Raises:
          FloatingPointError: if the loss is not finite; nothing was learnt from the batch then.
        """
        self._model.train()
        found = self._loss(utterances, derived_seed(self._seed, step))
        if not math.isfinite(float(found.mean.detach())):
            raise FloatingPointError(
                f"the loss of iteration {self.number} is {float(found.mean.detach())} at step {step + 1} of "
                f"{self.num_steps} with learning_rate {self.config.learning_rate:g}"
            )
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(step, self.num_steps, self.config)
        self._optimizer.zero_grad()
        found.mean.backward()
        nn.utils.clip_grad_norm_(self._model.parameters(), _MAX_GRAD_NORM)
        self._optimizer.step()
        return found

    def _loss(self, utterances: np.ndarray, seed: int) -> MaskedLoss:
        torch.manual_seed(seed)  # of the dropout
        generator = torch.Generator().manual_seed(seed)
        batch = make_batch(self.corpus, self.units, utterances, self.config.max_frames, generator)
        masked = span_masks(batch.lens, self.config.mask_prob, self.config.mask_length, generator)
        return self._predict(batch, masked)

    def _predict(self, batch: Batch, masked: Tensor) -> MaskedLoss:
        padding = batch.padding.to(self.device) if int(batch.lens.min()) < batch.mel.shape[1] else None
        masked = masked.to(self.device)
        states = self.encoder(batch.mel.to(self.device), padding, masked, self.config.num_layers)
        return masked_loss(self.scores, states, batch.units.to(self.device), masked)

    @torch.no_grad()
    def measure(self, split: Split) -> Dict[str, Any]:
        """How well the units of masked frames are predicted without dropout, and how evenly units are used."""
        self._model.eval()
        generator = np.random.default_rng(self._seed)
        lens = np.minimum(self.corpus.lens[split.measured], self.config.max_frames)
        batches = plan_batches(lens, int(self.config.batch_sec * FRAME_RATE_HZ), generator)[:MEASURED_BATCHES]
        found = [
            self._loss(split.measured[batch], derived_seed(self._seed, -1, index))
            for index, batch in enumerate(batches)
        ]
        usage = CodeUsage([self.num_units])
        for start in range(0, len(self.units), _COUNTED_AT_ONCE):
            usage.add(np.asarray(self.units[start : start + _COUNTED_AT_ONCE])[:, None])
        use, frames = usage.codebooks()[0], sum(one.count for one in found)
        return {
            "iteration": self.number,
            "units": self.num_units,
            "units_used": round(use.fraction_used * self.num_units),
            "unit_perplexity": round(use.perplexity, 2),
            "most_frequent_unit": round(float(usage.counts()[0].max() / usage.num_frames), 4),
            "masked_accuracy": round(sum(one.correct for one in found) / frames, 4),
            "masked_loss": round(sum(float(one.mean) * one.count for one in found) / frames, 4),
            "measured_on": "held-out utterances" if split.is_held_out else "the training utterances",
            "measured_frames": frames,
        }
