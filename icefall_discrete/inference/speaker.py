"""An experiment folder of a vocoder as a function from codes, or from audio by way of codes, to a waveform."""

from collections import Counter
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from lhotse import CutSet
from torch import Tensor

from icefall_discrete.base.inert_pickle import reason_of
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.base.text_files import shown_name
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.manifest_lines import LINES
from icefall_discrete.data.speech import frame_samples
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, load_into, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.transcription_files import kept_settings, load_experiment_tokenizer
from icefall_discrete.extraction.workers import one_thread
from icefall_discrete.inference.audio_files import AudioConfig, BadAudio, open_audio, read_samples
from icefall_discrete.inference.languages import in_language
from icefall_discrete.inference.pauses import MIN_SEGMENT_SEC, split_at_pauses
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.systems.vocoder.network import Vocoder
from icefall_discrete.systems.vocoder.prediction import fitted, frames_of_cut, samples_of
from icefall_discrete.systems.vocoder.prompting import Prompter
from icefall_discrete.systems.vocoder.synthesis import SynthesisConfig, frames_to_speak, require_codes, waveform
from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.contract import Encoded, SpeechTokenizer

ARRAYS = (".npy",)


class Speech(NamedTuple):
    """Samples (S,) float32 of the file, or the cut, called `name`."""

    name: str
    samples: Tensor


class Speaker:
    """Says codes with a trained vocoder.

    Args:
      exp_dir: folder of the trained experiment. choice: checkpoints; None: those of its recipe. run: device.
      synthesis: windows.
    Raises:
      FileNotFoundError: if a file of the experiment is missing. ValueError: if it is not one of a vocoder.
    """

    def __init__(
        self,
        exp_dir: Union[str, Path],
        choice: Optional[CheckpointChoice] = None,
        run: Optional[RunConfig] = None,
        synthesis: Optional[SynthesisConfig] = None,
    ) -> None:
        self.experiment = Experiment(Path(exp_dir))
        self.spec = self.experiment.spec()
        self._synthesis = synthesis or SynthesisConfig()
        network = self.experiment.build_model()
        if not isinstance(network, Vocoder):
            raise ValueError(
                f"{exp_dir} holds a {type(network).__name__}, which is no vocoder and says nothing; give the folder of "
                "one."
            )
        load_into(network, resolve_choice(choice or kept_settings(exp_dir)[0], exp_dir), exp_dir)
        self.network = network.to((run or RunConfig()).torch_device()).eval()
        self.voices = self.experiment.stages().load_targets(self.experiment.exp_dir)
        self._prompter = Prompter(self.network, self.voices, self._synthesis.prompt)

    @property
    def sample_rate_hz(self) -> int:
        """Rate of what it says."""
        return self.spec.sample_rate_hz

    def say(self, frames: Tensor, voice: str = "", name: str = "codes") -> Tensor:
        """Samples (T F,) of codes (T, K) or features (T, D) at the rate of the generator, in a voice of the table.

        Raises ValueError, naming `name`, for what is no code of its spec, and for a voice that there is not.
        """
        require_codes(frames, self.spec, name)
        number = self.voices.number_of(voice)
        prompt = self._prompter.of_voice(number)
        return waveform(self.network, frames, number, self._synthesis.window_frames(self.spec), prompt)

    def say_units(
        self, units: Tensor, voice: str = "", name: str = "codes", durations: Optional[Tensor] = None
    ) -> Tensor:
        """As `say`, of units (U, 1) without repetitions, each for its duration (U,), or as long as the network says.

        Raises ValueError as `say`, and if the network does not predict durations and none are given.
        """
        require_codes(units, self.spec, name)
        try:
            frames = frames_to_speak(self.network, units, durations, without_repetitions=True)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        return self.say(frames, voice, name)

    def say_file(self, path: Path, voice: str = "", without_repetitions: bool = False) -> Iterator[Speech]:
        """What is said of an array of codes, <name>.npy (T, K) or (T,), or of each cut of a manifest of codes.

        Args:
          voice: "": of a cut its own, else that of nobody in particular. without_repetitions: as for `say_units`;
            a manifest of a variable rate has durations of its own.
        Raises:
          ValueError: for a file that is neither, or holds what is no code of its spec.
        """
        if path.name.endswith(ARRAYS):
            frames = read_array(path)
            say = self.say_units if without_repetitions or self.spec.has_variable_rate else self.say
            yield Speech(path.stem, say(frames, voice, str(path)))
        elif path.name.endswith(LINES):
            yield from self._say_cuts(load_feature_cuts(path, self.spec)[0], voice)
        else:
            raise ValueError(
                f"{path}: expected codes as an array, .npy, or a manifest of cuts, .jsonl.gz; give one of those."
            )

    def _say_cuts(self, cuts: CutSet, voice: str) -> Iterator[Speech]:
        asked = self.voices.number_of(voice)
        prompt_of = self._prompter.among(list(cuts), asked)
        for cut in cuts:
            number, frames = asked or self.voices.of(cut), frames_of_cut(self.network, cut, self.spec)
            audio = waveform(self.network, frames, number, self._synthesis.window_frames(self.spec), prompt_of(cut))
            yield Speech(cut.id, fitted(audio, samples_of(cut, self.spec)))


def read_array(path: Path) -> Tensor:
    """Codes (T, K) of a .npy of whole numbers (T, K) or (T,), or features (T, D). Raises ValueError, naming it."""
    try:
        held = np.load(path, mmap_mode="r", allow_pickle=False)  # so that no header can ask for any amount of memory
    except (ValueError, EOFError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f"{path} does not exist; correct its name.") from None
        raise ValueError(
            f"{path}: cannot be read as an array ({reason_of(error)}); write it with numpy.save."
        ) from None
    if not isinstance(held, np.ndarray):
        raise ValueError(f"{path}: holds several arrays, as numpy.savez writes them, expected one; use numpy.save.")
    if held.dtype.kind not in "iuf":
        raise ValueError(f"{path}: holds values of type {held.dtype}, expected numbers; write codes with numpy.save.")
    held = held[:, None] if held.ndim == 1 else held
    return torch.from_numpy(held.astype(np.float32 if held.dtype.kind == "f" else np.int64))


class Resynthesiser:
    """Audio to codes and back: by a vocoder, or by a tokenizer that decodes its codes itself.

    Args:
      tokenizer: makes the codes. speaker: says them; None: the tokenizer does. audio: channel, language, segments.
      max_segment_sec: longer audio is tokenized in segments, cut in its pauses.
    Raises:
      ValueError: if codes depend on the language and `audio` says none, or none that is known.
    """

    def __init__(
        self,
        tokenizer: SpeechTokenizer,
        speaker: Optional[Speaker] = None,
        audio: Optional[AudioConfig] = None,
        max_segment_sec: float = 20.0,
    ) -> None:
        self._audio, self._speaker = audio or AudioConfig(), speaker
        where = str(speaker.experiment.exp_dir) if speaker else tokenizer.name
        self._tokenizer = in_language(tokenizer, self._audio.language, where)
        self.spec: FeatureSpec = self._tokenizer.spec
        limit = tokenizer.max_samples
        longest = self._audio.max_segment_sec or max(max_segment_sec, 2 * MIN_SEGMENT_SEC)
        self._max_segment_sec = longest if limit is None else min(longest, limit / self.spec.sample_rate_hz)

    @classmethod
    def of_experiment(
        cls, speaker: Speaker, audio: Optional[AudioConfig] = None, tokenizer_dir: Optional[Path] = None
    ) -> "Resynthesiser":
        """With the tokenizer that travels with a vocoder's experiment, or lies in `tokenizer_dir`."""
        exp_dir = speaker.experiment.exp_dir
        tokenizer = load_experiment_tokenizer(exp_dir, speaker.spec, tokenizer_dir)
        longest = speaker.experiment.settings().filter.max_utterance_sec
        return cls(tokenizer, speaker, audio, longest)

    @classmethod
    def of_codec(
        cls, feature_type: str, state_dir: Optional[Path], audio: Optional[AudioConfig] = None
    ) -> "Resynthesiser":
        """By the codec of a feature type, a name or a path, with its fitted state in `state_dir` if it has one."""
        return cls(load_tokenizer(feature_type, (), state_dir), None, audio)

    def resynthesise(self, path: Union[str, Path], voice: str = "") -> Speech:
        """An audio file said again, as long as it is, in a voice of the vocoder's table ("": nobody's in particular).

        Raises:
          BadAudio: for a file that cannot be read, is too short or not finite. ValueError: for an unknown voice.
        """
        recording = open_audio(str(path))
        samples = read_samples(recording, self.spec.sample_rate_hz, self._audio.channel)
        return Speech(str(path), self.resynthesise_samples(samples, voice, shown_name(str(path))))

    @torch.no_grad()
    def resynthesise_samples(self, samples: Tensor, voice: str = "", name: str = "audio") -> Tensor:
        """As `resynthesise`, of samples (S,) float32 at `spec.sample_rate_hz`."""
        if samples.numel() < self._tokenizer.min_samples:
            raise BadAudio(f"{name}: {samples.numel()} samples of audio are too short for a frame of {self.spec.name}.")
        if not bool(torch.isfinite(samples).all()):
            wrong = int((~torch.isfinite(samples)).sum())
            raise BadAudio(f"{name}: {wrong} of {samples.numel()} samples are NaN or infinite.")
        if self._speaker is None:
            return self._decoded(samples, voice, name)
        pieces = [self._frames(samples[start:end], name) for start, end in self._segments(samples)]
        said = self._speaker.say(torch.cat(pieces), voice, name)
        return fitted(said, samples.numel())

    def _segments(self, samples: Tensor) -> List[Tuple[int, int]]:
        """Where segments begin and end: all but the last end are whole frames."""
        size, total = frame_samples(self.spec), samples.numel()
        found = split_at_pauses(samples, self.spec.sample_rate_hz, self._max_segment_sec)
        ends = [end // size * size for _, end in list(found)[:-1]]
        return list(zip([0, *ends], [*ends, total]))

    def _encoded(self, samples: Tensor, name: str) -> Encoded:
        with one_thread(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            size = torch.tensor([samples.numel()])
            return self._tokenizer.encode_with_durations(samples[None], size, [name])

    def _frames(self, samples: Tensor, name: str) -> Tensor:
        """Codes of a segment, at the rate of the generator, exactly as many as it has frames, the last one begun."""
        frames, _, durations = self._encoded(samples, name)
        spoken = frames[0]
        if durations is not None and self._speaker is not None:
            spoken = frames_to_speak(self._speaker.network, spoken, durations[0])
        wanted = -(-samples.numel() // frame_samples(self.spec))
        missing = wanted - len(spoken)
        return torch.cat([spoken, spoken[-1:].expand(missing, -1)]) if missing > 0 else spoken[:wanted]

    def _decoded(self, samples: Tensor, voice: str, name: str) -> Tensor:
        if voice:
            raise ValueError(
                f"voice is '{voice}', but {self.spec.name} decodes in the voice of the audio; leave it out."
            )
        pieces = []
        for start, end in split_at_pauses(samples, self.spec.sample_rate_hz, self._max_segment_sec):
            frames, lens, _ = self._encoded(samples[start:end], name)
            decoded = self._tokenizer.decode(frames, lens)
            if decoded.dim() != 2:
                raise ValueError(
                    f"'{self.spec.name}' is decoded to features, not to audio; give the experiment of a vocoder of it."
                )
            pieces.append(fitted(decoded[0], end - start))
        return torch.cat(pieces)


def one_each(names: Sequence[str]) -> List[str]:
    """Stems of names of inputs, as names of their outputs. Raises ValueError if two are the same."""
    stems = [Path(name).stem for name in names]
    twice = next((stem for stem, times in Counter(stems).items() if times > 1), None)
    if twice is not None:
        raise ValueError(f"two inputs would be written as '{twice}'; give them in two calls, with another --out.")
    return stems
