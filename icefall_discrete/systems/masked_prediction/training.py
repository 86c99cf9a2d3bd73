"""The iterations of masked prediction, one after the other; a training that was killed goes on after its checkpoint.

Iteration 1 predicts k-means of the first teacher's frames (MFCC); each later one predicts k-means of a layer of the one
before. Everything on disk is in one folder: what any training has there (training/fit_folder.py), the corpus, and for
each iteration `units-I.npy`, `iteration-I/` of its loop and, when it is finished, `encoder-I.safetensors` and
`iteration-I/report.json`.
"""

import functools
import logging
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np

from icefall_discrete.base.device import resolve
from icefall_discrete.base.json_files import read_object, write_json
from icefall_discrete.base.provenance import Provenance
from icefall_discrete.base.settings import to_dict
from icefall_discrete.data.dataset import derived_seed
from icefall_discrete.systems.masked_prediction.config import RUNTIME_SETTINGS, MaskedPredictionConfig
from icefall_discrete.systems.masked_prediction.corpus import MEL_FILE, TEACHER_FILE, Corpus
from icefall_discrete.systems.masked_prediction.iteration import Iteration, split_corpus
from icefall_discrete.systems.masked_prediction.units import read_units, write_units
from icefall_discrete.tokenizers.networks.mel_encoder import MelEncoder, load_encoder, save_encoder
from icefall_discrete.training.fit_folder import FitFolder, remove_weights

LOG = logging.getLogger(__name__)
REPORT = "report.json"


class MaskedTraining:
    """Trains the encoder of feature type `name` on `corpus`.

    Args:
      folder: of this training alone. seed: with the corpus, the settings and the number of threads, all that decides
        about the weights (on a CPU, unless `max_minutes` ends an iteration).
    Raises:
      ValueError: if the folder holds a training of other audio, settings or seed.
    """

    def __init__(self, name: str, config: MaskedPredictionConfig, corpus: Corpus, folder: Path, seed: int) -> None:
        self._name, self._config, self._corpus, self._seed = name, config, corpus, seed
        self._folder = FitFolder(folder, name)
        self._device = resolve(config.device, f"training of '{name}'")
        self._split = split_corpus(len(corpus.lens), derived_seed(seed, 0))
        settings = {key: value for key, value in to_dict(config).items() if key not in RUNTIME_SETTINGS}
        self._folder.begin(Provenance({"audio": corpus.sha256}, {**settings, "seed": seed}))

    def run(self) -> Tuple[MelEncoder, List[Dict[str, Any]]]:
        """Train all iterations, from the last checkpoint on.

        Returns:
          the last iteration's encoder, on the CPU; a report on each iteration (see Iteration.train).
        Raises:
          RuntimeError: if a loss is not finite.
        """
        numbers = range(1, self._config.num_iterations + 1)
        with self._folder.logged():
            reports = [self._report(number) for number in numbers]
            return self._encoder(numbers[-1]), reports

    def _report(self, number: int) -> Dict[str, Any]:
        """What is known of an iteration; it is trained if that was not finished."""
        folder = self._folder.path / f"iteration-{number}"
        if not (folder / REPORT).is_file():
            units = self._units(number)
            start = self._encoder(number - 1) if self._config.warm_start and number > 1 else None
            iteration = Iteration(number, self._config, self._corpus, units, self._seed, self._device, start)
            report = iteration.train(folder, self._name, self._split)
            save_encoder(self._encoder_path(number), iteration.system.network.encoder, {})
            write_json(folder / REPORT, report)
        remove_weights(folder)
        return read_object(folder / REPORT)

    def _units(self, number: int) -> np.ndarray:
        path = self._folder.path / f"units-{number}.npy"
        if path.exists():
            return read_units(path)
        teacher, standardize = self._mfcc, False  # as HuBERT takes its MFCC
        if number > 1:
            encoder = self._encoder(number - 1).to(self._device)
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

    def _encoder_path(self, number: int) -> Path:
        return self._folder.path / f"encoder-{number}.safetensors"

    def _encoder(self, number: int) -> MelEncoder:
        return load_encoder(self._encoder_path(number), self._config)

    def finish(self) -> None:
        """Remove what served to go on, the corpus too: all that is made of it is written."""
        folder = self._folder.path
        for number in range(1, self._config.num_iterations + 1):
            # First, so that whatever is fitted here later begins anew.
            (folder / f"iteration-{number}" / REPORT).unlink()
            self._encoder_path(number).unlink()
        for path in [folder / MEL_FILE, folder / TEACHER_FILE, *folder.glob("units-*.npy")]:
            path.unlink()
        self._folder.finish()
