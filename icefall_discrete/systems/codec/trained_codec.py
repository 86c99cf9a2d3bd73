"""A codec trained on the corpus at hand: SEANet with residual, factorised or group-residual VQ.

`fit` trains it (icefall_discrete/systems/codec); its state is one file, codec.safetensors, in the names of the
published codecs of each kind, and is run by the same modules as they are. T = ceil(S / F), F the product of strides.
"""

import functools
import logging
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Tuple

from torch import Tensor

from icefall_discrete.base.numbers import hours_text
from icefall_discrete.base.settings import to_dict
from icefall_discrete.base.tensor_files import as_text, read_tensors, write_tensors
from icefall_discrete.systems.codec.config import CodecConfig, CodecShape, deciding_settings
from icefall_discrete.systems.codec.lessons import Teacher, portable, with_letters
from icefall_discrete.systems.codec.segments import AudioPool, read_pool
from icefall_discrete.systems.codec.training import train_codec
from icefall_discrete.tokenizers.contract import AudioWithTexts
from icefall_discrete.tokenizers.formats.pretrained import Weights, sha256_of
from icefall_discrete.tokenizers.hificodec import GroupResidualVq
from icefall_discrete.tokenizers.networks.codec import Codec, CodecTokenizer
from icefall_discrete.tokenizers.networks.factorised_vq import FactorisedVq
from icefall_discrete.tokenizers.networks.residual_vq import CodebookQuantizer, residual_vq_from
from icefall_discrete.tokenizers.networks.seanet import seanet_from
from icefall_discrete.tokenizers.networks.seanet_codec import SeanetCodec
from icefall_discrete.training.fit_folder import TRAINING_DIR, FitFolder, refuse_former

FILE_NAME = "codec.safetensors"
METADATA_KEY = "codec"
# What earlier versions went on from.
FORMER_CHECKPOINT = "codec_checkpoint.pt"
QUANTIZERS: Dict[str, Callable[[Weights], CodebookQuantizer]] = {
    "rvq": residual_vq_from,
    "factorised": FactorisedVq,
    "group": GroupResidualVq,
}


class TrainedCodecTokenizer(CodecTokenizer):
    """Codes (T, num_codebooks) of a codec that `fit` trains."""

    Config = CodecConfig
    kind = "trained codec"
    needs_fit = True
    libraries = ("torch", "scikit-learn")

    @property
    def sample_rate_hz(self) -> int:
        """That of the settings."""
        return self.config.codec_rate_hz

    @property
    def min_samples(self) -> int:
        """One frame."""
        return self.config.frame_samples

    @property
    def is_fitted(self) -> bool:
        """Whether the codec was trained."""
        return self.state_dir is not None and (self.state_dir / FILE_NAME).is_file()

    @property
    def state_files(self) -> List[Path]:
        """The file of weights."""
        return self._weight_files()

    def _weight_files(self) -> List[Path]:
        if self.state_dir is None:
            raise RuntimeError(
                f"feature type '{self.name}' is not fitted (no state folder was given); run stage 2 first."
            )
        return [self.state_dir / FILE_NAME]

    def _settings(self) -> Dict[str, Any]:
        """What the codec looks like; how it was trained is in the hash of its weights."""
        return {key: value for key, value in to_dict(self.config).items() if key in CodecShape.__dataclass_fields__}

    def _all_settings(self) -> Dict[str, Any]:
        return with_portable_teacher(deciding_settings(self.config))

    def settings_to_save(self) -> Dict[str, Any]:
        """All settings but those of lessons and an adversary that there are none of; no teacher is needed elsewhere."""
        saved = super().settings_to_save()
        left_out = self.config.meaningless
        return with_portable_teacher({key: value for key, value in saved.items() if key not in left_out})

    @functools.cached_property
    def _provenance(self) -> Dict[str, Any]:
        return {
            "tokenizer": self.tokenizer_name,
            **self._settings(),
            "codec_sha256": sha256_of(self._files),
            "normalisation": self.normalisation,
        }

    def _load(self, files: List[Path]) -> Codec:
        path = files[0]
        if not path.is_file():
            raise RuntimeError(f"feature type '{self.name}' is not fitted ({path} is missing); run stage 2 first.")
        weights = Weights(self._read(path), str(path))
        encoder = seanet_from(weights.part("encoder."), self.config.causal)
        quantizer = QUANTIZERS[self.config.quantizer](weights.part("quantizer."))
        decoder = seanet_from(weights.part("decoder."), self.config.causal)
        weights.require_empty()
        return SeanetCodec(encoder, quantizer, decoder, self.config.codec_rate_hz)

    def _read(self, path: Path) -> Dict[str, Tensor]:
        tensors, metadata = read_tensors(path, "move it aside and rerun stage 2")
        made = metadata.get(METADATA_KEY, {})
        ours = {"feature_type": self.name, **self._all_settings()}
        theirs = {"feature_type": made.get("feature_type"), **made.get("settings", {})}
        changed = [key for key in sorted(set(ours) | set(theirs)) if ours.get(key) != theirs.get(key)]
        if changed:
            told = "; ".join(f"{key}: {theirs.get(key)!r} against {ours.get(key)!r}" for key in changed)
            raise ValueError(
                f"{path} was trained with other settings than feature type '{self.name}' has now ({told}); "
                "restore them, or move the file aside and rerun stage 2."
            )
        return tensors

    def fit(self, audio: Iterable[Tuple[Tensor, str]], state_dir: Path, seed: int) -> None:
        """Train the codec on `audio` and write codec.safetensors, whole or not at all.

        A fit that was killed goes on from its last checkpoint in `state_dir`/training, of which train.json and logs are
        left in the end. Memory is bounded by `fit_memory_mib` whatever the amount of audio. The result is a function of
        the audio and its order, the settings and the seed, on a CPU with the same number of threads.

        Args:
          audio: pairs of samples (S,) float32 at `sample_rate_hz` and cut id, read once.
          state_dir: folder to write to; becomes the tokenizer's own.
        Raises:
          ValueError: if there is no audio, or no text where one is read, or an unfinished training is another one, or
            of an earlier version.
          RuntimeError: if a loss is not finite.
        """
        state_dir = Path(state_dir)
        refuse_former(state_dir / FORMER_CHECKPOINT)
        pool = self._pool(audio)
        logging.info(
            "%s: training on %d utterances, %s h",
            self.name, len(pool.lens), hours_text(len(pool.samples) / self.sample_rate_hz / 3600),
        )  # fmt: skip
        folder = FitFolder(state_dir / TRAINING_DIR, self.name)
        trained = train_codec(self.name, self.config, pool, seed, folder)
        made = {
            "feature_type": self.name,
            "settings": self._all_settings(),
            "num_utterances": len(pool.lens),
            "audio_sha256": pool.sha256,
            **{f"{name}_sha256": digest for name, digest in pool.lessons.digests().items()},
            "seed": seed,
            **trained.summary,
        }
        self.state_dir = state_dir
        for cached in ("_files", "_codec", "_provenance"):
            self.__dict__.pop(cached, None)
        write_tensors(state_dir / FILE_NAME, trained.tensors, {METADATA_KEY: as_text(made)})
        folder.finish()

    def _pool(self, audio: Iterable[Tuple[Tensor, str]]) -> AudioPool:
        """The audio, with what the first codebook is taught of it."""
        config = self.config
        teacher = None if config.teacher is None else Teacher(config.teacher, config.codec_rate_hz)
        pool = read_pool(audio, config.fit_memory_mib, self.check_audio, self.name, teacher)
        if not config.transcript_weight:
            return pool
        texts = audio.texts() if isinstance(audio, AudioWithTexts) else {}
        pool.lessons = with_letters(pool.lessons, pool.names, texts, self.name)
        return pool


def with_portable_teacher(settings: Mapping[str, Any]) -> Dict[str, Any]:
    """The settings, in which a teacher is called what it is called on every machine."""
    return {key: portable(value) if key == "teacher" else value for key, value in settings.items()}
