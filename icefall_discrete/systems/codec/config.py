"""Settings of a codec that is trained here: what it looks like, and how it is trained."""

import dataclasses
import math
from typing import Any, Dict, Mapping, Optional, Tuple

from icefall_discrete.base.device import device_setting
from icefall_discrete.base.settings import KIND, check_settings, setting, to_dict
from icefall_discrete.systems.adversary import DiscriminatorConfig

# Levels of residuals of the group-residual quantizer.
GROUP_LEVELS = 2
# Settings that do not change what a step computes; an interrupted training may go on with others.
RUNTIME_SETTINGS = ("max_minutes", "checkpoint_steps", "fit_device")


@dataclasses.dataclass(frozen=True)
class CodecShape:
    """Architecture of a codec."""

    codec_rate_hz: int = setting(16000, "Sample rate of the codec, in Hz.")
    strides: Tuple[int, ...] = setting((8, 5, 8), "Strides of the encoder, audio first; their product is a frame.")
    channels: Tuple[int, ...] = setting((8, 48, 96, 128), "Channels before the first stride and after each one.")
    residual_blocks: int = setting(1, "Residual blocks after each stride, with dilations 1, 2, 4 ...")
    state_dim: int = setting(64, "Dimensions of the states that are quantised (D).")
    causal: bool = setting(False, "Whether convolutions look at the past only.")
    quantizer: str = setting(
        "rvq",
        "rvq: residual VQ; factorised: each codebook sees a projection and compares directions; group: halves of the "
        "dimensions have residual VQs of their own.",
        ("rvq", "factorised", "group"),
    )
    num_codebooks: int = setting(4, "Codebooks (K); group: two for each group.")
    codebook_size: int = setting(256, "Entries of each codebook (V).")
    codebook_dim: int = setting(8, "Dimensions of an entry (factorised).")

    def __post_init__(self) -> None:
        """Raise ValueError for a shape that cannot be built."""
        if len(self.channels) != len(self.strides) + 1:
            raise ValueError(
                f"channels has {len(self.channels)} values, expected {len(self.strides) + 1}: one more than strides."
            )
        if min(self.strides, default=0) < 2 or min(self.channels) < 2:
            raise ValueError(f"strides are {self.strides} and channels {self.channels}, expected at least 2 each.")
        if self.quantizer not in ("rvq", "factorised", "group"):
            raise ValueError(f"quantizer is '{self.quantizer}', expected rvq, factorised or group.")
        for name in ("state_dim", "num_codebooks", "codebook_dim", "codec_rate_hz"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1.")
        if self.codebook_size < 2:
            raise ValueError(f"codebook_size is {self.codebook_size}, expected at least 2.")
        if self.quantizer == "group" and (self.num_codebooks % GROUP_LEVELS or self.state_dim % self.num_groups):
            raise ValueError(
                f"num_codebooks is {self.num_codebooks} and state_dim {self.state_dim}; the group quantizer has "
                f"{GROUP_LEVELS} codebooks a group, and as many dimensions in each: choose an even number that fits."
            )
        if self.quantizer == "factorised" and self.codebook_dim > self.state_dim:
            raise ValueError(f"codebook_dim is {self.codebook_dim}, expected at most state_dim, {self.state_dim}.")

    @property
    def num_groups(self) -> int:
        """Groups of the group-residual quantizer."""
        return max(1, self.num_codebooks // GROUP_LEVELS)

    @property
    def frame_samples(self) -> int:
        """Samples of a frame (F)."""
        return math.prod(self.strides)


@dataclasses.dataclass(frozen=True)
class CodecTraining:
    """Training of a codec."""

    max_steps: int = setting(3000, "Steps; with the seed, all that the budget depends on.")
    max_minutes: float = setting(
        0.0, "Stop earlier after this time, interruptions not counted; 0: no limit.", minimum=0
    )
    batch_sec: float = setting(8.0, "Audio of a step, in seconds.")
    segment_sec: float = setting(1.0, "Audio of one segment, in seconds, rounded to frames.")
    learning_rate: float = setting(0.002, "Largest learning rate (Adam).")
    warmup_steps: int = setting(100, "Steps until it is reached; it then falls to zero as half a cosine.")
    max_grad_norm: float = setting(1.0, "Gradients longer than this are shortened to it.")
    plain_steps: int = setting(200, "Steps at the start in which nothing is quantised.")
    kmeans_batches: int = setting(20, "Batches whose states the first codebooks are clustered from.")
    ema_decay: float = setting(0.98, "What a codebook keeps of itself at each step (rvq, group).")
    dead_code_share: float = setting(0.05, "An entry used less than this share of the mean is restarted; 0: never.")
    quantizer_dropout: float = setting(0.0, "Share of segments that use a random number of the first codebooks.")
    waveform_weight: float = setting(0.1, "Weight of the loss of the waveform, L1 over the mean amplitude.")
    mel_weight: float = setting(1.0, "Weight of the L1 loss of log mel spectra.")
    stft_weight: float = setting(0.2, "Weight of the loss of magnitude spectra: spectral convergence and L1 of logs.")
    commitment_weight: float = setting(0.25, "Weight of the distance of the states to their entries.")
    codebook_weight: float = setting(1.0, "Weight of the distance of the entries to their states (factorised).")
    fft_sizes: Tuple[int, ...] = setting((256, 512, 1024), "Windows of the spectra, in samples.")
    max_mel_bins: int = setting(80, "Mel bins; fewer in short windows.")
    fit_memory_mib: int = setting(1024, "Memory for training audio, 2 bytes a sample, in MiB; the rest is left out.")
    checkpoint_steps: int = setting(200, "Steps between checkpoints.")

    def __post_init__(self) -> None:
        """Raise ValueError for a setting that cannot work."""
        at_least_one = ("max_steps", "kmeans_batches", "max_mel_bins", "fit_memory_mib", "checkpoint_steps")
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1.")
        for name in ("segment_sec", "learning_rate", "max_grad_norm"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected more than 0.")
        for name in ("ema_decay", "dead_code_share", "quantizer_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 to 1.")
        if self.batch_sec < self.segment_sec:
            raise ValueError(f"batch_sec is {self.batch_sec}, expected at least segment_sec, {self.segment_sec}.")
        if not 0 <= self.plain_steps < self.max_steps:
            raise ValueError(f"plain_steps is {self.plain_steps}, expected 0 to {self.max_steps - 1}, below max_steps.")
        if not self.fft_sizes:
            raise ValueError("fft_sizes is empty, expected at least one window.")


@dataclasses.dataclass(frozen=True)
class CodecGuidance:
    """What the first codebook is to tell besides how to rebuild the audio; nothing by default."""

    teacher: Optional[Mapping[str, Any]] = setting(
        None, 'Frame source whose frames the first codebook is to tell: {"kind": NAME, its settings}; null: none.'
    )
    distillation_weight: float = setting(2.0, "Weight of that (SpeechTokenizer), with a teacher.", above=0)
    transcript_weight: float = setting(
        0.0, "Weight of CTC of the transcripts' letters on the first codebook (PAST); 0: none.", minimum=0
    )
    transcript_batch_sec: float = setting(
        6.0, "Whole utterances of a step, in seconds with padding; longer ones are not read.", above=0
    )
    transcript_dim: int = setting(64, "Width of the LSTM, in each direction, that reads letters.", minimum=1)

    def __post_init__(self) -> None:
        """Raise ValueError for a setting that cannot work."""
        check_settings(self)
        if self.teacher is not None and not isinstance(self.teacher.get(KIND), str):
            raise ValueError(
                f"teacher is {self.teacher!r}, expected an object with the name of a frame source as its `{KIND}`."
            )

    @property
    def unused(self) -> Tuple[str, ...]:
        """Names of its settings that mean nothing, since there is no teacher, or since no transcripts are read."""
        of_teacher = () if self.teacher is not None else ("teacher", "distillation_weight")
        of_texts = () if self.transcript_weight else ("transcript_weight", "transcript_batch_sec", "transcript_dim")
        return (*of_teacher, *of_texts)


@dataclasses.dataclass(frozen=True)
class CodecAdversary(DiscriminatorConfig):
    """The adversarial phase of the training of a codec; there is none by default."""

    adversary_from_step: int = setting(
        0, "First step, counted from 1, in which discriminators hear what is decoded; 0: none.", minimum=0
    )

    @property
    def mute(self) -> Tuple[str, ...]:
        """Names of its settings that mean nothing, since there is no such phase."""
        return () if self.adversary_from_step else tuple(CodecAdversary.__dataclass_fields__)

    def is_on(self, step: int) -> bool:
        """Whether discriminators hear in the step after `step` others."""
        return 0 < self.adversary_from_step <= step + 1


@dataclasses.dataclass(frozen=True)
class CodecConfig(CodecShape, CodecTraining, CodecGuidance, CodecAdversary):
    """A codec trained on the corpus at hand."""

    fit_device: str = device_setting("where it is trained")

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot be built or trained."""
        CodecShape.__post_init__(self)
        CodecTraining.__post_init__(self)
        CodecGuidance.__post_init__(self)
        CodecAdversary.__post_init__(self)
        if self.adversary_from_step > self.max_steps:
            raise ValueError(
                f"adversary_from_step is {self.adversary_from_step}, but there are {self.max_steps} steps, max_steps; "
                "choose one of them, or 0 for no adversary."
            )

    @property
    def meaningless(self) -> Tuple[str, ...]:
        """Names of settings that mean nothing, since what they are of takes no part."""
        return (*self.unused, *self.mute)


def deciding_settings(config: CodecConfig) -> Dict[str, Any]:
    """All that decides the outcome of a training, as JSON."""
    left_out = (*RUNTIME_SETTINGS, *config.meaningless)
    return {key: value for key, value in to_dict(config).items() if key not in left_out}
