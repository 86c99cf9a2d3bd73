"""Settings of masked prediction: the encoder, its training, and the k-means of its teachers and of its codes."""

import dataclasses
from typing import Tuple

from icefall_discrete.base.device import device_setting
from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.tokenizers.networks.mel_encoder import MelEncoderConfig
from icefall_discrete.tokenizers.quantizers.kmeans import KmeansConfig

# What cannot change the result, or changes it only where the time runs out.
RUNTIME_SETTINGS = ("checkpoint_steps", "device", "max_minutes")


@dataclasses.dataclass(frozen=True)
class MaskedPredictionConfig(MelEncoderConfig, KmeansConfig):
    """A HuBERT-style encoder trained from nothing, and k-means on one of its layers."""

    dropout: float = setting(0.1, "Dropout in the encoder while it is trained.")
    mask_prob: float = setting(0.08, "Part of the frames at which a masked span starts; spans may overlap.")
    mask_length: int = setting(10, "Frames of a masked span.")
    teacher_clusters: Tuple[int, ...] = setting(
        (100, 500), "Units to predict in each iteration: first k-means of MFCC, then of the iteration before."
    )
    steps: Tuple[int, ...] = setting((10000, 20000), "Steps of each iteration.")
    warm_start: bool = setting(False, "Begin an iteration with the encoder of the one before (HuBERT: anew).")
    prediction: str = setting("cosine", "How units are scored: cosine / 0.1 (HuBERT), or linear.", ("cosine", "linear"))
    learning_rate: float = setting(5e-4, "Largest learning rate (AdamW); it falls linearly to 0 after the warm-up.")
    warmup_steps: int = setting(500, "Steps until it is reached.")
    batch_sec: float = setting(60.0, "Audio in a batch (s), padding included.")
    standardize: bool = setting(True, "Scale each dimension of the states to mean 0 and variance 1 before clustering.")
    max_minutes: float = setting(
        0.0, "Guard for slow machines: end the iterations early after so long; 0: no limit.", minimum=0
    )
    checkpoint_steps: int = setting(200, "Steps between checkpoints, at most lost by a kill.")
    device: str = device_setting("where it is trained")

    def __post_init__(self) -> None:
        """Raise ValueError for settings that cannot work."""
        if self.kmeans_path:
            raise ValueError(
                f"kmeans_path is {self.kmeans_path}, but this tokenizer fits its own k-means; leave it out."
            )
        MelEncoderConfig.__post_init__(self)
        KmeansConfig.__post_init__(self)
        if not self.steps or len(self.steps) != len(self.teacher_clusters):
            raise ValueError(
                f"steps {self.steps} and teacher_clusters {self.teacher_clusters}: expected one of each an iteration."
            )
        positive = {f"steps[{i}]": value for i, value in enumerate(self.steps)}
        positive.update({f"teacher_clusters[{i}]": value for i, value in enumerate(self.teacher_clusters)})
        names = ("mask_prob", "mask_length", "learning_rate", "warmup_steps", "batch_sec", "checkpoint_steps")
        positive.update({name: getattr(self, name) for name in names})
        for name, value in positive.items():
            if value <= 0:
                raise ValueError(f"{name} is {value}, expected more than 0.")
        check_settings(self)

    @property
    def num_iterations(self) -> int:
        """Number of iterations."""
        return len(self.steps)
