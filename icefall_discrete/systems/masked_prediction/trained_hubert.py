"""k-means on a small HuBERT-style encoder that is trained here, by masked prediction, on the corpus at hand.

Fitting trains the encoder (icefall_discrete/systems/masked_prediction) and then clusters one of its layers; nothing
pretrained is needed. Hsu et al. 2021, https://arxiv.org/abs/2106.07447; mel input as in https://arxiv.org/abs/2211.09944.
"""

import collections
import logging
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from torch import Tensor

from icefall_discrete.audio.kaldi_features import WINDOW_SEC, make_mfcc, with_deltas
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.numbers import hours_text
from icefall_discrete.base.settings import to_dict
from icefall_discrete.systems.masked_prediction.config import RUNTIME_SETTINGS, MaskedPredictionConfig
from icefall_discrete.systems.masked_prediction.corpus import write_corpus
from icefall_discrete.systems.masked_prediction.training import MaskedTraining
from icefall_discrete.tokenizers.composed.quantized import QuantizedTokenizer
from icefall_discrete.tokenizers.contract import AudioPairs, AudioRejected, Placement
from icefall_discrete.tokenizers.formats.pretrained import sha256_of
from icefall_discrete.tokenizers.networks.mel_encoder import (
    FRAME_RATE_HZ,
    MelEncoder,
    MelEncoderConfig,
    StackedMel,
    load_encoder,
    save_encoder,
)
from icefall_discrete.tokenizers.quantizers.kmeans import Kmeans
from icefall_discrete.training.fit_folder import TRAINING_DIR, refuse_former

LOG = logging.getLogger(__name__)
ENCODER_FILE = "encoder.safetensors"
REPORT_FILE = "training.json"
# What earlier versions went on from, in the folder of the training.
FORMER_CHECKPOINT = "checkpoint.pt"
NUM_CEPS = 13


class TrainedHubertTokenizer(QuantizedTokenizer):
    """One code a frame of 20 ms, T = round(S / 320); `fit` trains the encoder first."""

    Config = MaskedPredictionConfig
    origin = "encoder"
    needs_fit = True
    libraries = ("torch", "lhotse")
    quantizer: Kmeans

    def __init__(self, name: str, config: Any, state_dir: Optional[Path] = None) -> None:
        """See SpeechTokenizer; encoder and centroids are read when they are first needed."""
        super().__init__(name, config, state_dir)
        self.quantizer = Kmeans(name, config, self.state_dir, self.front_end)
        self._mel = StackedMel(config.num_mel_bins)
        self._mfcc = make_mfcc(self.sample_rate_hz, 1 / FRAME_RATE_HZ, NUM_CEPS)
        self._read: Optional[Tuple[MelEncoder, str]] = None

    @property
    def min_samples(self) -> int:
        """One window."""
        return round(WINDOW_SEC * self.sample_rate_hz)

    @property
    def frame_rate_hz(self) -> float:
        """50 Hz."""
        return FRAME_RATE_HZ

    @property
    def encoder_path(self) -> Path:
        """Where the encoder is, or will be."""
        return self.quantizer.state_path.with_name(ENCODER_FILE)

    @property
    def state_files(self) -> List[Path]:
        """The encoder and the centroids."""
        return [self.encoder_path, *super().state_files]

    @property
    def is_fitted(self) -> bool:
        """Whether both files exist."""
        return super().is_fitted and self.encoder_path.is_file()

    def _encoder(self) -> Tuple[MelEncoder, str]:
        """The encoder and the hash of its file."""
        if self._read is None:
            if self.state_dir is None or not self.encoder_path.is_file():
                where = f"{self.encoder_path} is missing" if self.state_dir else "no state folder was given"
                raise RuntimeError(f"feature type '{self.name}' is not fitted ({where}); run stage 2 first.")
            encoder = load_encoder(self.encoder_path, self.config).to(*self.placement)
            self._read = (encoder, sha256_of([self.encoder_path]))
        return self._read

    def why_not_elsewhere(self) -> str:
        """Nothing against it."""
        return ""

    def _move(self, placement: Placement) -> None:
        super()._move(placement)
        self._read = None

    def _settings(self) -> Dict[str, Any]:
        # How the encoder was trained is in its file; the hash stands for that.
        shape = MelEncoderConfig.__dataclass_fields__
        settings = super()._settings()
        kept = {key: settings[key] for key in (*shape, "num_clusters", "standardize")}
        return {**kept, "model_sha256": self._encoder()[1], "normalisation": "log-mel, mean and variance of the corpus"}

    def frames(self, samples: Tensor) -> Tensor:
        """States (T, D) of layer `layer`."""
        return self._encoder()[0].states(self._mel(samples).to(*self.placement)).float()

    def fit(self, audio: AudioPairs, state_dir: Path, seed: int) -> None:
        """Train the encoder and cluster its states; write encoder.safetensors, training.json and kmeans.safetensors.

        A fit that was killed goes on after its last checkpoint, in `state_dir`/training, of which train.json and logs
        are left in the end; on a CPU with as many threads the encoder and the centroids are then the same, byte for
        byte. It first reads the audio again, to see that it is the same. Memory is bounded by `fit_memory_mib`, the
        model and a batch, besides a few numbers an utterance; frames are on disk meanwhile (see corpus.py).

        Args:
          audio: pairs of samples (S,) float32 at 16 kHz and cut id, read twice, so no iterator.
          state_dir: folder to write to; becomes the tokenizer's own.
        Raises:
          ValueError: for too little audio, or an unfinished training on other audio, settings or seed, or of an
            earlier version.
          RuntimeError: if the loss is not finite.
        """
        if iter(audio) is audio:
            raise ValueError(f"{self.name}: audio is an iterator, but it is read twice; give a list or the like.")
        self.state_dir = self.quantizer.state_dir = Path(state_dir)
        self._read = None
        folder = self.state_dir / TRAINING_DIR
        refuse_former(folder / FORMER_CHECKPOINT)
        corpus = write_corpus(folder, self._utterances(audio))
        hours = len(corpus.mel) / FRAME_RATE_HZ / 3600
        LOG.info(f"{self.name}: {hours_text(hours)} h of audio, {len(corpus.lens)} utterances, to train the encoder on")
        training = MaskedTraining(self.name, self.config, corpus, folder, seed)
        encoder, reports = training.run()
        num_parameters = sum(parameter.numel() for parameter in encoder.parameters())
        report = {"audio_hours": round(hours, 3), "encoder_parameters": num_parameters, "iterations": reports}
        write_json(self.state_dir / REPORT_FILE, report)
        settings = {key: value for key, value in to_dict(self.config).items() if key not in RUNTIME_SETTINGS}
        made = {"feature_type": self.name, "settings": settings, "seed": seed, "audio_sha256": corpus.sha256}
        save_encoder(self.encoder_path, encoder, made)
        super().fit(audio, state_dir, seed)
        training.finish()

    def _utterances(self, audio: AudioPairs) -> Iterator[Tuple[str, Tensor, Tensor]]:
        """Id, stacked log-mel and MFCC with derivatives, both (T, ...), of the audio that can be used."""
        rejected: collections.Counter = collections.Counter()
        for samples, cut_id in audio:
            try:
                self.check_audio(samples, f"cut {cut_id}")
            except AudioRejected as error:
                rejected[error.reason] += 1
                LOG.warning("left out of the training: %s", error)
                continue
            mfcc = with_deltas(self._mfcc.extract(samples, self.sample_rate_hz))
            yield cut_id, self._mel(samples), mfcc
        if rejected:
            LOG.warning("%s: utterances left out of the training: %s", self.name, dict(rejected))
