"""One iteration of masked prediction: its batches, its training, and how well units are predicted in the end."""

import itertools
import logging
from pathlib import Path
from typing import Any, Dict, Iterator, NamedTuple, Optional

import numpy as np
import torch

from icefall_discrete.base.settings import to_dict
from icefall_discrete.data.dataset import derived_seed
from icefall_discrete.metrics.code_usage import CodeUsage
from icefall_discrete.nn.spans import span_masks
from icefall_discrete.systems.masked_prediction.config import MaskedPredictionConfig
from icefall_discrete.systems.masked_prediction.corpus import Corpus, endless_batches, make_batch, plan_batches
from icefall_discrete.systems.masked_prediction.system import MaskedNetwork, MaskedSystem
from icefall_discrete.tokenizers.networks.mel_encoder import FRAME_RATE_HZ, MelEncoder
from icefall_discrete.training.distributed import Group
from icefall_discrete.training.fit_folder import write_system
from icefall_discrete.training.optimization import RateSchedule
from icefall_discrete.training.system import Batch
from icefall_discrete.training.train_config import TrainConfig
from icefall_discrete.training.trainer import Trainer
from icefall_discrete.training.training_data import TrainingData

LOG = logging.getLogger(__name__)
SYSTEM_NAME = "masked_prediction"
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
      seed: of the whole training. start: the encoder to begin with; None: random weights.
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
        self.number, self.config, self.corpus, self.units = number, config, corpus, units
        self.num_units = config.teacher_clusters[number - 1]
        self.num_steps = config.steps[number - 1]
        self._seed = derived_seed(seed, number)
        torch.manual_seed(self._seed)
        network = MaskedNetwork(config, number)
        network.encoder.mel_mean.copy_(corpus.mean)
        network.encoder.mel_scale.copy_(corpus.std)
        if start is not None:
            network.encoder.load_state_dict(start.state_dict())
        self.system = MaskedSystem(network, config, number).to(device)

    def loop_settings(self) -> TrainConfig:
        """The settings of the loop: one epoch of as many batches as there are steps, and a share of the time."""
        share = self.num_steps / sum(self.config.steps)
        return TrainConfig(
            num_epochs=1,
            max_minutes=self.config.max_minutes * share,
            max_grad_norm=_MAX_GRAD_NORM,
            save_every_n=self.config.checkpoint_steps,
            keep_last_k=1,
            max_bad_batches=0,
            try_largest_batches=False,
            device=self.config.device,
        )

    def trainer(self, folder: Path, name: str) -> Trainer:
        """The loop in `folder`, for feature type `name`."""
        write_system(folder, SYSTEM_NAME, {"iteration": self.number, "config": to_dict(self.config)})
        parameters = self.system.network.parameters()
        optimizer = torch.optim.AdamW(parameters, self.config.learning_rate, _BETAS, _EPSILON, _WEIGHT_DECAY)
        schedule = RateSchedule(optimizer, lambda step: learning_rate(step - 1, self.num_steps, self.config))
        facts = {"system": SYSTEM_NAME, "feature_type": name, "iteration": self.number, "units": self.num_units}
        return Trainer(self.system, optimizer, schedule, self.loop_settings(), folder, Group(), facts)

    def data(self, split: Split) -> TrainingData:
        """Batches for the loop, those to measure on as validation."""
        lens = np.minimum(self.corpus.lens[split.train], self.config.max_frames)
        num_frames = sum(int(lens[batch].sum()) for batch in self._plan(lens, 0))

        def train_batches(epoch: int, start: int) -> Iterator[Batch]:
            for step, batch in enumerate(self._plan(lens, start), start=start):
                yield self._batch(split.train[batch], derived_seed(self._seed, step))

        return TrainingData(
            train_batches, num_frames / FRAME_RATE_HZ, valid_batches=lambda: self._measured_batches(split)
        )

    def _plan(self, lens: np.ndarray, start: int) -> Iterator[np.ndarray]:
        plan = endless_batches(lens, int(self.config.batch_sec * FRAME_RATE_HZ), self._seed)
        return itertools.islice(plan, start, self.num_steps)

    def _measured_batches(self, split: Split) -> Iterator[Batch]:
        generator = np.random.default_rng(self._seed)
        lens = np.minimum(self.corpus.lens[split.measured], self.config.max_frames)
        batches = plan_batches(lens, int(self.config.batch_sec * FRAME_RATE_HZ), generator)[:MEASURED_BATCHES]
        for index, batch in enumerate(batches):
            yield self._batch(split.measured[batch], derived_seed(self._seed, -1, index))

    def _batch(self, utterances: np.ndarray, seed: int) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        batch = make_batch(self.corpus, self.units, utterances, self.config.max_frames, generator)
        return {
            "cut_ids": [self.corpus.ids[utterance] for utterance in utterances.tolist()],
            "duration_sec": batch.lens / FRAME_RATE_HZ,
            "mel": batch.mel,
            "units": batch.units,
            "frame_lens": batch.lens,
            "padding": batch.padding,
            "masked": span_masks(batch.lens, self.config.mask_prob, self.config.mask_length, generator),
            "seed": seed,
        }

    def train(self, folder: Path, name: str, split: Split) -> Dict[str, Any]:
        """Train in `folder`, from its last checkpoint on if there is one.

        Returns:
          How well the units of masked frames are predicted without dropout, and how evenly units are used.
        Raises:
          RuntimeError: if a loss is not finite.
        """
        trainer = self.trainer(folder, name)
        (record,) = trainer.fit(self.data(split))["epochs"]
        what = f"{name}, iteration {self.number} of {self.config.num_iterations}"
        if record["step"] < self.num_steps:
            LOG.warning(
                f"{what}: ended by max_minutes after {record['step']} of {self.num_steps} steps; the result depends on "
                "the speed of this machine"
            )
        report = self._report(record, split)
        LOG.info(
            f"{what}: masked accuracy {report['masked_accuracy']:.3f} on {report['measured_on']} (the most frequent "
            f"unit: {report['most_frequent_unit']:.3f}), loss {report['masked_loss']:.3f}, {report['units_used']} of "
            f"{report['units']} units in use, perplexity {report['unit_perplexity']:.1f}, {report['steps']} steps in "
            f"{report['train_minutes']:.1f} minutes"
        )
        return report

    def _report(self, record: Dict[str, Any], split: Split) -> Dict[str, Any]:
        usage = CodeUsage([self.num_units])
        for start in range(0, len(self.units), _COUNTED_AT_ONCE):
            usage.add(np.asarray(self.units[start : start + _COUNTED_AT_ONCE])[:, None])
        use = usage.codebooks()[0]
        return {
            "iteration": self.number,
            "units": self.num_units,
            "units_used": round(use.fraction_used * self.num_units),
            "unit_perplexity": round(use.perplexity, 2),
            "most_frequent_unit": round(float(usage.counts()[0].max() / usage.num_frames), 4),
            "masked_accuracy": round(record["valid"]["masked_acc"], 4),
            "masked_loss": round(record["valid"]["loss"], 4),
            "measured_on": "held-out utterances" if split.is_held_out else "the training utterances",
            "measured_frames": sum(int(batch["masked"].sum()) for batch in self._measured_batches(split)),
            "steps": record["step"],
            "train_minutes": round(record["train_sec"] / 60, 1),
        }
