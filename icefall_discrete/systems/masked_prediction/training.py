"""The iterations of masked prediction, one after the other; a training that was killed goes on after its checkpoint.

Iteration 1 predicts k-means of the first teacher's frames (MFCC); each later one predicts k-means of a layer of the one
before. Everything on disk is in one folder: `inputs.json` (what the training depends on), the corpus, `units-I.npy`,
`encoder-I.safetensors` of each finished iteration, `checkpoint.pt`.
"""

import dataclasses
import functools
import itertools
import logging
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np
import torch
from tqdm import tqdm

from icefall_discrete.base.checkpoint import load_checkpoint, save_checkpoint
from icefall_discrete.base.device import resolve
from icefall_discrete.base.json_files import read_json, write_json
from icefall_discrete.base.settings import to_dict
from icefall_discrete.data.dataset import derived_seed
from icefall_discrete.systems.masked_prediction.config import RUNTIME_SETTINGS, MaskedPredictionConfig
from icefall_discrete.systems.masked_prediction.corpus import Corpus, endless_batches
from icefall_discrete.systems.masked_prediction.iteration import Iteration, split_corpus
from icefall_discrete.systems.masked_prediction.loss import MaskedLoss
from icefall_discrete.systems.masked_prediction.units import read_units, write_units
from icefall_discrete.tokenizers.frames.mel_encoder import FRAME_RATE_HZ, MelEncoder, load_encoder, save_encoder

LOG = logging.getLogger(__name__)
# Share of the newest step in the figures of the progress bar.
_NEWEST = 0.05


@dataclasses.dataclass
class Progress:
    """Where training stands: iteration from 1, steps done and seconds spent in it, reports of the finished ones."""

    iteration: int = 1
    step: int = 0
    seconds: float = 0.0
    reports: List[Dict[str, Any]] = dataclasses.field(default_factory=list)


class _Meter:
    """Running loss and masked accuracy, for the bar."""

    def __init__(self) -> None:
        self._loss = self._accuracy = self._weight = 0.0

    def add(self, found: MaskedLoss) -> Dict[str, str]:
        """Take a step's figures; returns what to show."""
        self._weight += _NEWEST * (1.0 - self._weight)
        self._loss += _NEWEST * (float(found.mean.detach()) - self._loss)
        self._accuracy += _NEWEST * (found.correct / found.count - self._accuracy)
        return {"loss": f"{self._loss / self._weight:.3f}", "masked_acc": f"{self._accuracy / self._weight:.3f}"}


class MaskedTraining:
    """Trains the encoder of feature type `name` on `corpus`.

    Args:
      folder: of this training alone. seed: with the corpus, the settings and the number of threads, all that decides
        about the weights (on a CPU, unless `max_minutes` ends an iteration).
    Raises:
      ValueError: if the folder holds a training of other audio, settings or seed.
    """

    def __init__(self, name: str, config: MaskedPredictionConfig, corpus: Corpus, folder: Path, seed: int) -> None:
        self._name, self._config, self._corpus, self._folder, self._seed = name, config, corpus, folder, seed
        self._device = resolve(config.device, "training")
        self._split = split_corpus(len(corpus.lens), derived_seed(seed, 0))
        self._require_same_inputs()

    def _require_same_inputs(self) -> None:
        settings = {key: value for key, value in to_dict(self._config).items() if key not in RUNTIME_SETTINGS}
        inputs = {"audio": self._corpus.sha256, "seed": self._seed, **settings}
        path = self._folder / "inputs.json"
        if not path.exists():
            write_json(path, inputs)
            return
        before = read_json(path)
        changed = sorted(key for key in {*before, *inputs} if before.get(key) != inputs.get(key))
        if changed:
            raise ValueError(
                f"{self._folder} holds an unfinished training of '{self._name}' with other {', '.join(changed)}; "
                "delete that folder to train anew, or rerun with what it was begun with."
            )

    def run(self) -> Tuple[MelEncoder, List[Dict[str, Any]]]:
        """Train all iterations, from the last checkpoint on.

        Returns:
          the last iteration's encoder, on the CPU; a report on each iteration (see Iteration.measure).
        """
        progress, state = self._load()
        with torch.random.fork_rng(devices=[]):
            while progress.iteration <= self._config.num_iterations:
                iteration = self._begin(progress.iteration)
                if state:
                    iteration.load_state_dict(state)
                    LOG.info(f"Going on after step {progress.step} of iteration {progress.iteration}")
                self._train(iteration, progress)
                self._finish(iteration, progress)
                state = None
            return self._finished(self._config.num_iterations), progress.reports

    def _begin(self, number: int) -> Iteration:
        units = self._units(number)
        start = self._finished(number - 1) if self._config.warm_start and number > 1 else None
        return Iteration(number, self._config, self._corpus, units, self._seed, self._device, start)

    def _units(self, number: int) -> np.ndarray:
        path = self._folder / f"units-{number}.npy"
        if path.exists():
            return read_units(path)
        teacher, standardize = self._mfcc, False  # as HuBERT takes its MFCC
        if number > 1:
            encoder = self._finished(number - 1).to(self._device)
            teacher, standardize = functools.partial(self._states, encoder), self._config.standardize
        num_clusters = self._config.teacher_clusters[number - 1]
        LOG.info(f"{self._name}: {num_clusters} units for iteration {number}")
        seed = derived_seed(self._seed, number) % 2**32
        return write_units(path, teacher, len(self._corpus.mel), num_clusters, standardize, self._config, seed)

    def _mfcc(self) -> Iterator[np.ndarray]:
        return (self._corpus.teacher_of(utterance) for utterance in range(len(self._corpus.lens)))

    def _states(self, encoder: MelEncoder) -> Iterator[np.ndarray]:
        for utterance in range(len(self._corpus.lens)):
            yield encoder.states(self._corpus.mel_of(utterance).to(self._device)).cpu().numpy()

    def _train(self, iteration: Iteration, progress: Progress) -> None:
        train = self._split.train
        lens = np.minimum(self._corpus.lens[train], self._config.max_frames)
        batch_frames = int(self._config.batch_sec * FRAME_RATE_HZ)
        plan = endless_batches(lens, batch_frames, derived_seed(self._seed, iteration.number))
        meter, started, before = _Meter(), time.monotonic(), progress.seconds
        what = f"{self._name}, iteration {iteration.number} of {self._config.num_iterations}"
        with tqdm(total=iteration.num_steps, initial=progress.step, desc=what, unit="step") as bar:
            for batch in itertools.islice(plan, progress.step, iteration.num_steps):
                found = self._step(iteration, train[batch], progress.step)
                progress.step += 1
                progress.seconds = before + time.monotonic() - started
                bar.set_postfix(meter.add(found), refresh=False)
                bar.update()
                if self._is_late(progress):
                    LOG.warning(
                        f"{what}: ended by max_minutes after {progress.step} of {iteration.num_steps} steps; the "
                        "result depends on the speed of this machine"
                    )
                    break
                if progress.step % self._config.checkpoint_steps == 0:
                    self._save(progress, iteration)

    def _step(self, iteration: Iteration, utterances: np.ndarray, step: int) -> MaskedLoss:
        try:
            return iteration.step(utterances, step)
        except FloatingPointError as error:
            raise RuntimeError(
                f"{self._name}: {error}; delete {self._folder}, lower learning_rate or raise warmup_steps, and rerun."
            ) from None

    def _is_late(self, progress: Progress) -> bool:
        share = self._config.steps[progress.iteration - 1] / sum(self._config.steps)
        return 0 < 60 * self._config.max_minutes * share < progress.seconds

    def _finish(self, iteration: Iteration, progress: Progress) -> None:
        report = iteration.measure(self._split)
        report.update(steps=progress.step, train_minutes=round(progress.seconds / 60, 1))
        LOG.info(
            f"{self._name}, iteration {iteration.number}: masked accuracy {report['masked_accuracy']:.3f} on "
            f"{report['measured_on']} (the most frequent unit: {report['most_frequent_unit']:.3f}), loss "
            f"{report['masked_loss']:.3f}, {report['units_used']} of {report['units']} units in use, perplexity "
            f"{report['unit_perplexity']:.1f}, {report['steps']} steps in {report['train_minutes']:.1f} minutes"
        )
        save_encoder(self._encoder_path(iteration.number), iteration.encoder, {})
        progress.reports.append(report)
        progress.iteration, progress.step, progress.seconds = iteration.number + 1, 0, 0.0
        self._save(progress, None)

    def _encoder_path(self, number: int) -> Path:
        return self._folder / f"encoder-{number}.safetensors"

    def _finished(self, number: int) -> MelEncoder:
        return load_encoder(self._encoder_path(number), self._config)

    def _save(self, progress: Progress, iteration: Optional[Iteration]) -> None:
        state = iteration.state_dict() if iteration else {}
        save_checkpoint(self._folder / "checkpoint.pt", {"progress": dataclasses.asdict(progress), "state": state})

    def _load(self) -> Tuple[Progress, Optional[Dict[str, Any]]]:
        """Progress and the state of its iteration, None at the beginning of one."""
        path = self._folder / "checkpoint.pt"
        if not path.is_file():
            return Progress(), None
        found = load_checkpoint(path)
        return Progress(**found["progress"]), found["state"] or None
