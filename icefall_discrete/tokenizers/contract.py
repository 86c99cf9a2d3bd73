"""The contract of every tokenizer, and the checks that none may forget.

Shapes: N utterances, S samples, T frames, K codebooks, V entries of a codebook, D feature dimensions, U runs of equal
units.
"""

import functools
import importlib.metadata
import logging
from abc import ABC, abstractmethod
from pathlib import Path
from typing import (
    Any,
    ClassVar,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    Type,
    runtime_checkable,
)

import torch
from torch import Tensor

from icefall_discrete.audio.as_it_comes import Reach
from icefall_discrete.base.device import resolve
from icefall_discrete.base.settings import to_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.tokenizers.networks.frame_graph import FrameGraph, NotExported

LOG = logging.getLogger(__name__)
# Float audio is in [-1, 1]. Resampling overshoots that a little; float files may be some times louder, and are read,
# with a warning for the first few; audio that was read as integers reaches 127 or thousands.
LOUD_AMPLITUDE = 2.0
MAX_AMPLITUDE = 100.0
LOUD_CUTS_NAMED = 3
# A tokenizer may differ from duration x frame rate by this many frames: window edges and rounding.
MAX_EDGE_FRAMES = 3
# Numbers that a network may compute in. All but the first change its codes, and are in the provenance.
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
# Why most tokenizers cannot run elsewhere than on the CPU in float32.
NO_NETWORK = "it runs no network of torch"

# What codes or features can be made from; charts tell them apart.
ORIGINS = ("spectrum", "codec", "encoder")
REJECTIONS = ("empty", "too_short", "too_long", "non_finite", "out_of_range")


class AudioRejected(ValueError):
    """Audio that a tokenizer cannot take: `reason` (one of REJECTIONS, to count drops by), `row` in the batch."""

    def __init__(self, reason: str, row: int, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.row = row


class Encoded(NamedTuple):
    """A batch of codes (N, T, K) or features (N, T, D), their lens (N,), and durations where the rate is variable.

    durations: for each utterance, how many frames of the highest rate each run of equal units lasts, (U,) int64.
    """

    frames: Tensor
    lens: Tensor
    durations: Optional[List[Tensor]]


class Placement(NamedTuple):
    """Where a network runs, and in which numbers."""

    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32


class AudioPairs(Protocol):
    """Pairs of samples (S,) float32 and cut id, which may be read several times; it says how many there are."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Tuple[Tensor, str]]: ...


@runtime_checkable
class AudioByLanguage(AudioPairs, Protocol):
    """Audio that says what is in which language, for tokenizers that learn from each by itself."""

    def by_language(self) -> Mapping[str, AudioPairs]:
        """The audio of each language. Raises ValueError, naming the cut, if that of one is not known."""


@runtime_checkable
class AudioWithTexts(AudioPairs, Protocol):
    """Audio whose transcripts are known, for tokenizers that learn from them."""

    def texts(self) -> Mapping[str, str]:
        """The text of each cut that has one, by its id."""


class SpeechTokenizer(ABC):
    """Turns audio into codes (N, T, K) or continuous features (N, T, D).

    Law: encoding in a padded batch equals encoding alone, bit for bit. It holds by construction, since a subclass sees
    one utterance at a time, without padding, in memory of its own (so that even alignment is the same).

    Class attributes a subclass sets:
      Config: frozen dataclass of its settings.
      origin: what its output is made from, one of ORIGINS; empty if its parts or frames say it.
      needs_fit: whether `fit` must run before `encode`.
      runtime_settings: names of settings that cannot change the output (threads ...), left out of the provenance.
      libraries: packages whose versions go to `spec.made_with`.
    """

    Config: ClassVar[Type]
    origin: ClassVar[str] = ""
    needs_fit: bool = False
    runtime_settings: ClassVar[Tuple[str, ...]] = ()
    libraries: ClassVar[Tuple[str, ...]] = ("torch",)

    def __init__(self, name: str, config: Any, state_dir: Optional[Path] = None) -> None:
        """Make the tokenizer of feature type `name`; `state_dir` is the folder of its fitted state, if any."""
        self.name = name
        self.config = config
        self.state_dir = None if state_dir is None else Path(state_dir)
        self.placement = Placement()
        self._num_loud = 0

    def to(self, device: str, dtype: str = "float32") -> None:
        """Run the network on `device` (cpu, cuda, cuda:N) in `dtype` (one of DTYPES); audio and codes stay on the CPU.

        Codes are those of the CPU but for float noise, which may flip one that is nearly as near to another entry.
        Another dtype than float32 gives other codes, and its name is in the provenance.
        Raises ValueError if this tokenizer or this machine cannot.
        """
        placement = Placement(resolve(device, self.name), DTYPES[dtype])
        if placement == self.placement:
            return
        if placement == Placement(torch.device("cpu"), torch.float16):
            raise ValueError(f"{self.name} cannot run in float16 on the CPU; use bfloat16 or float32.")
        reason = self.why_not_elsewhere()
        if reason:
            raise ValueError(f"{self.name} runs on the CPU in float32 only: {reason}; leave out device and dtype.")
        for part in self.parts:
            part.to(device, dtype)
        self._move(placement)
        self.placement = placement

    def why_not_elsewhere(self) -> str:
        """Why it runs on the CPU in float32 only; empty if `to` can change that."""
        if not self.parts:
            return NO_NETWORK
        return next((reason for reason in (part.why_not_elsewhere() for part in self.parts) if reason), "")

    def _move(self, placement: Placement) -> None:
        """Move what is its own, if anything; called if there is no reason against it."""
        return

    def _precision(self) -> Dict[str, str]:
        """For the provenance: nothing in float32, else the numbers the network computes in."""
        dtype = str(self.placement.dtype).rpartition(".")[2]
        return {} if dtype == "float32" else {"dtype": dtype}

    @classmethod
    def make(cls, name: str, config: Any, state_dir: Optional[Path], conf_dirs: Sequence[Path]) -> "SpeechTokenizer":
        """Make the tokenizer; `conf_dirs` are where feature types that its settings name are looked for first."""
        return cls(name, config, state_dir)

    @property
    def tokenizer_name(self) -> str:
        """What JSON files call this kind of tokenizer: the name of its file, unless it says otherwise."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def parts(self) -> Sequence["SpeechTokenizer"]:
        """The tokenizers it is made of, none for most; the state of each lies in a sub-folder of its name."""
        return ()

    @property
    def needs_language(self) -> bool:
        """Whether its codes depend on the language of the audio, so that `encode` is that of `in_language` only."""
        return False

    def in_language(self, language: Optional[str]) -> "SpeechTokenizer":
        """This tokenizer for audio in `language`, with the same spec: itself, unless it `needs_language`.

        Raises ValueError if it needs one and `language` is None, or one that it did not learn from; known ones are
        named.
        """
        return self

    def heard_by(self, audio: AudioPairs) -> Iterator[Tuple["SpeechTokenizer", AudioPairs]]:
        """The tokenizer that can encode it, and the audio: once for each language if it `needs_language`."""
        if not self.needs_language:
            yield self, audio
            return
        for language, part in audio_by_language(audio, self.name).items():
            yield self.in_language(language), part

    @property
    def sample_rate_hz(self) -> int:
        """Rate of the audio it reads; known before `fit`, unlike `spec`."""
        return 16000

    @property
    @abstractmethod
    def min_samples(self) -> int:
        """The shortest audio, in samples, that gives a frame."""

    @property
    def max_samples(self) -> Optional[int]:
        """The longest audio it takes, in samples; None if there is no limit."""
        return None

    @property
    def reach(self) -> Optional[Reach]:
        """What a frame hears, so that frames can be made while the audio comes; None: the whole, or too much of it."""
        return None

    def graph(self) -> FrameGraph:
        """It as a network from samples to codes or features, for exports. Raises NotExported if there is none."""
        raise NotExported(
            f"tokenizer '{self.tokenizer_name}' is not exported; known are codecs, and k-means on fbank, mfcc, whisper."
        )

    @property
    def is_fitted(self) -> bool:
        """Whether `encode` and `spec` can be used (always, if it needs no fitting)."""
        return not self.needs_fit

    @property
    def state_files(self) -> List[Path]:
        """Files of its own fitted state: with settings and parts, all that makes the same tokenizer elsewhere."""
        return []

    @property
    @abstractmethod
    def spec(self) -> FeatureSpec:
        """The promise about the output. RuntimeError if it needs fitting and is not fitted."""

    @abstractmethod
    def _encode_one(self, samples: Tensor) -> Tensor:
        """Encode one utterance (S,) float32: codes (T, K) int64 or features (T, D) float32."""

    def encode(
        self, audio: Tensor, num_samples: Tensor, cut_ids: Optional[Sequence[str]] = None
    ) -> Tuple[Tensor, Tensor]:
        """Encode a padded batch.

        Args:
          audio: (N, S) float32 in [-1, 1] at `sample_rate_hz`; samples from `num_samples` on are never read.
          num_samples: (N,) integers in [1, S].
          cut_ids: N names for error messages; row numbers are used if absent.
        Returns:
          codes (N, T, K) int64 padded with the pad ids, or features (N, T, D) float32 padded with 0; lens (N,) int64.
        Raises:
          AudioRejected: for audio that is empty, too short, too long, not finite or out of range.
          ValueError: for a batch of the wrong type or shape. RuntimeError: if not fitted.
        """
        frames, lens, _ = self.encode_with_durations(audio, num_samples, cut_ids)
        return frames, lens

    def encode_with_durations(
        self, audio: Tensor, num_samples: Tensor, cut_ids: Optional[Sequence[str]] = None
    ) -> Encoded:
        """Encode a padded batch, see `encode`; codes of a variable rate come with the durations of their units."""
        spec = self.spec
        check_batch(audio, num_samples)
        outputs: List[Tensor] = []
        durations: List[Tensor] = []
        for row, length in enumerate(num_samples.tolist()):
            who = cut_ids[row] if cut_ids is not None else f"row {row} of the batch"
            samples = audio[row, :length].clone()
            self.check_audio(samples, who, row)
            if cut_ids is not None:  # not once more in the parts of a tokenizer
                self.warn_if_loud(samples, who)
            if spec.has_variable_rate:
                output, duration = self._encode_with_durations(samples)
                durations.append(duration)
            else:
                output = self._encode_one(samples)
            check_output(output, spec, length, who)
            outputs.append(output)
        return Encoded(*pad_outputs(outputs, spec), durations if spec.has_variable_rate else None)

    def _encode_with_durations(self, samples: Tensor) -> Tuple[Tensor, Tensor]:
        """Codes (T, K) of a variable rate as `_encode_one` gives them, and the durations (U,) of their units."""
        raise NotImplementedError(f"{type(self).__name__} promises a variable rate but gives no durations.")

    def why_not_together(self) -> str:
        """Why utterances go through it one at a time, on every device; empty if `encode_together` takes several."""
        return "its network would hear the padding of others"

    def encode_together(self, samples: Sequence[Tensor]) -> List[Tensor]:
        """Codes (T_n, K) int64 of utterances (S_n,) that `check_audio` lets pass, computed in one padded batch.

        Outside the law: each equals `encode` but for float noise, which may flip codes, as another device may. For
        accelerators, which one utterance leaves idle; who asks for it measures how many codes differ.
        """
        raise NotImplementedError(f"{self.name}: {self.why_not_together()}.")

    def check_audio(self, samples: Tensor, who: str, row: int = 0) -> None:
        """Raise AudioRejected if `samples` (S,) of the cut named `who` cannot be encoded."""
        size = samples.numel()
        self.check_length(size, who, row)
        if not torch.isfinite(samples).all():
            bad = int((~torch.isfinite(samples)).sum())
            raise AudioRejected("non_finite", row, f"{who}: {bad} of {size} samples are NaN or infinite; leave it out.")
        peak = float(samples.abs().max())
        if peak > MAX_AMPLITUDE:
            raise AudioRejected(
                "out_of_range",
                row,
                f"{who}: the audio reaches {peak:.6g}, expected float samples in [-1, 1]; "
                "was it read as integers? Divide 16-bit samples by 32768.",
            )

    def check_length(self, size: int, who: str, row: int = 0) -> None:
        """Raise AudioRejected if the cut named `who` has no samples, or its `size` samples are too few or too many."""
        rate = self.sample_rate_hz
        if size == 0:
            raise AudioRejected("empty", row, f"{who}: the audio is empty; leave it out.")
        if size < self.min_samples:
            raise AudioRejected(
                "too_short",
                row,
                f"{who}: {size} samples ({size / rate:.3f} s), but {self.name} needs at least {self.min_samples} "
                f"({self.min_samples / rate:.3f} s) for one frame; leave it out.",
            )
        if self.max_samples is not None and size > self.max_samples:
            raise AudioRejected(
                "too_long",
                row,
                f"{who}: {size / rate:.1f} s, but {self.name} takes at most {self.max_samples / rate:.1f} s; "
                "cut it into shorter pieces.",
            )

    def warn_if_loud(self, samples: Tensor, who: str) -> None:
        """Say of the first few that samples (S,) of the cut named `who` are likely scaled."""
        peak = float(samples.abs().max())
        if peak <= LOUD_AMPLITUDE:
            return
        self._num_loud += 1
        if self._num_loud <= LOUD_CUTS_NAMED:
            more = "; further ones are not named" if self._num_loud == LOUD_CUTS_NAMED else ""
            LOG.warning(
                "%s: the audio reaches %.3g, where float samples are in [-1, 1]; it is read as it is, but is likely "
                "wrong if it was scaled%s",
                *(who, peak, more),
            )

    def fit(self, audio: AudioPairs, state_dir: Path, seed: int) -> None:
        """Learn from `audio`, pairs of samples (S,) and cut id, and write the state to `state_dir`."""
        raise ValueError(f"{self.name} needs no fitting; skip stage 2.")

    def codebooks(self) -> Optional[List[Tensor]]:
        """K tensors (V_k, D_k) float32 to set an embedding from, or None."""
        return None

    def decode(self, codes: Tensor, code_lens: Tensor) -> Tensor:
        """Invert `encode` as far as the tokenizer can: see the subclass for what comes back."""
        raise ValueError(f"{self.name} cannot be decoded; it keeps too little of the signal.")

    def settings_to_save(self) -> Dict[str, Any]:
        """All settings, for a JSON file that makes the same tokenizer elsewhere."""
        return to_dict(self.config)

    def _settings(self) -> Dict[str, Any]:
        """Settings that decide the output, for the provenance."""
        return {key: value for key, value in to_dict(self.config).items() if key not in self.runtime_settings}

    def _made_with(self) -> Dict[str, str]:
        return library_versions(*self.libraries)


def audio_by_language(audio: AudioPairs, name: str) -> Mapping[str, AudioPairs]:
    """The audio of each language, for the fit of feature type `name`. Raises ValueError if that is not known."""
    if not isinstance(audio, AudioByLanguage):
        raise ValueError(
            f"{name} learns from each language by itself, but this audio does not say what is in which; "
            "give audio that does (AudioByLanguage), such as that of cuts with languages."
        )
    return audio.by_language()


@functools.cache
def _library_version(library: str) -> str:
    return importlib.metadata.version(library)


def library_versions(*libraries: str) -> Dict[str, str]:
    """Versions of installed packages, for `spec.made_with`."""
    return {library: _library_version(library) for library in libraries}


def check_batch(audio: Tensor, num_samples: Tensor) -> None:
    """Raise ValueError unless `audio` is (N, S) float32 and `num_samples` (N,) integers in [0, S]."""
    if audio.dim() != 2 or audio.dtype != torch.float32:
        raise ValueError(f"audio is {tuple(audio.shape)} {audio.dtype}, expected (N, S) torch.float32.")
    if num_samples.shape != audio.shape[:1] or num_samples.dtype not in (torch.int32, torch.int64):
        raise ValueError(
            f"num_samples is {tuple(num_samples.shape)} {num_samples.dtype}, expected ({audio.shape[0]},) torch.int64."
        )
    if audio.shape[0] == 0:
        raise ValueError("the batch holds no utterance, expected at least one.")
    low, high = int(num_samples.min()), int(num_samples.max())
    if low < 0 or high > audio.shape[1]:
        raise ValueError(f"num_samples ranges from {low} to {high}, expected 0 to {audio.shape[1]}, the padded length.")


def check_output(output: Tensor, spec: FeatureSpec, num_samples: int, who: str) -> None:
    """Raise RuntimeError if one utterance's codes (T, K) or features (T, D) break the promise of `spec`."""
    codes = spec.kind == "codes"
    width, dtype = (spec.num_codebooks, torch.int64) if codes else (spec.feature_dim, torch.float32)
    if output.dim() != 2 or output.shape[1] != width or output.dtype != dtype:
        raise RuntimeError(
            f"{who}: {spec.name} gave {tuple(output.shape)} {output.dtype}, but its spec promises (T, {width}) {dtype}."
        )
    rate, promise = spec.frame_rate_hz, "promises"
    if spec.has_variable_rate:
        rate, promise = spec.max_frame_rate_hz, "promises at most"
    expected = num_samples * rate / spec.sample_rate_hz
    excess = len(output) - expected
    if len(output) < 1 or excess > MAX_EDGE_FRAMES or (-excess > MAX_EDGE_FRAMES and not spec.has_variable_rate):
        raise RuntimeError(
            f"{who}: {spec.name} gave {len(output)} frames for {num_samples / spec.sample_rate_hz:.3f} s, but its spec "
            f"{promise} {rate} Hz ({expected:.1f} frames)."
        )
    if codes:
        sizes = torch.tensor(spec.codebook_sizes)
        if bool((output < 0).any()) or bool((output >= sizes).any()):
            raise RuntimeError(
                f"{who}: {spec.name} gave ids from {int(output.min())} to {int(output.max())}, "
                f"but its codebooks hold {', '.join(str(size) for size in sorted(set(spec.codebook_sizes)))} entries."
            )
    elif not torch.isfinite(output).all():
        raise RuntimeError(f"{who}: {spec.name} gave NaN or infinite features for finite audio.")


def pad_outputs(outputs: Sequence[Tensor], spec: FeatureSpec) -> Tuple[Tensor, Tensor]:
    """Stack N tensors (T_n, K or D) into (N, T, K or D) padded with the pad ids (codes) or 0 (features); lens (N,)."""
    lens = torch.tensor([len(output) for output in outputs])
    shape = (len(outputs), int(lens.max()), outputs[0].shape[1])
    fill = torch.tensor(spec.pad_ids) if spec.kind == "codes" else torch.zeros(shape[2])
    padded = fill.expand(shape).clone()
    for row, output in enumerate(outputs):
        padded[row, : len(output)] = output
    return padded, lens
