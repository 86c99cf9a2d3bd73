"""An experiment folder of a model of text and speech: audio to text, text to codes, codes that go on."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Union

import torch
from torch import Tensor

from icefall_discrete.base.settings import from_dict
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.transcription_files import load_experiment_tokenizer, load_recipe
from icefall_discrete.extraction.workers import one_thread
from icefall_discrete.inference.audio_files import AudioConfig, BadAudio, open_audio, read_samples
from icefall_discrete.inference.pauses import split_at_pauses
from icefall_discrete.inference.trained_network import trained_as
from icefall_discrete.systems.asr.transcription import Failure, Outcome, Segment, Transcription
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.systems.speech_lm.answers import Answerer
from icefall_discrete.systems.speech_lm.layouts import Utterances
from icefall_discrete.systems.speech_lm.prediction import AnswerConfig
from icefall_discrete.systems.speech_lm.vocabulary import Vocabulary
from icefall_discrete.systems.unit_lm.generation import SamplingConfig
from icefall_discrete.tokenizers.contract import AudioRejected, SpeechTokenizer

SYSTEM = "speech_lm"
WRITTEN, READ, GOING_ON = "asr", "tts", "continue"  # names of the layouts that the commands ask with


def encoded_alone(tokenizer: SpeechTokenizer, samples: Tensor, name: str) -> Tensor:
    """Codes (T, K) of samples (S,). Raises BadAudio, naming it, for audio that is too short for a frame."""
    if samples.numel() < tokenizer.min_samples:
        raise BadAudio(f"{name}: {samples.numel()} samples of audio are too short for a frame of codes.")
    with one_thread(), torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        return tokenizer.encode(samples[None], torch.tensor([samples.numel()]), [name])[0][0].long()


def is_text_and_speech(exp_dir: Union[str, Path]) -> bool:
    """Whether an experiment is of such a model; not where there is none."""
    experiment = Experiment(Path(exp_dir))
    return (experiment.exp_dir / "config.json").is_file() and experiment.settings().system == SYSTEM


class TextAndSpeech:
    """A trained model of text and speech.

    Args:
      exp_dir: folder of the trained experiment. choice: checkpoints; None: those of its recipe. run: device.
    Raises:
      FileNotFoundError: if a file of the experiment is missing. ValueError: if it is another system's.
    """

    def __init__(
        self, exp_dir: Union[str, Path], choice: Optional[CheckpointChoice] = None, run: Optional[RunConfig] = None
    ) -> None:
        self._exp_dir = exp_dir = Path(exp_dir)
        trained = trained_as(SYSTEM, exp_dir, choice, run)
        self.spec, self._longest_sec = trained.spec, trained.settings.filter.max_utterance_sec
        config: AnswerConfig = from_dict(AnswerConfig, load_recipe(exp_dir, None).get("synthesis", {}), str(exp_dir))
        self.config = config
        text = trained.targets.text
        layouts = trained.settings.task.read(Vocabulary(trained.spec.codebook_sizes, text))
        self.answerer = Answerer(trained.network, layouts, trained.spec, text, trained.targets.voices)
        self._tokenizer: Optional[SpeechTokenizer] = None

    def codes(self, samples: Tensor, name: str, tokenizer_dir: Optional[Path] = None) -> Tensor:
        """Codes (T, K) of samples (S,), by the tokenizer of the experiment. Raises BadAudio if too short."""
        if self._tokenizer is None:
            self._tokenizer = load_experiment_tokenizer(self._exp_dir, self.spec, tokenizer_dir)
        return encoded_alone(self._tokenizer, samples, name)

    def transcribe(
        self, path: str, audio: Optional[AudioConfig] = None, tokenizer_dir: Optional[Path] = None
    ) -> Transcription:
        """The text of an audio file, which is divided in its pauses where it is longer than those of training.

        Raises:
          BadAudio: for a file that cannot be read, or is too short. ValueError: if no layout has a text as answer.
        """
        audio = audio or AudioConfig()
        rate = self.spec.sample_rate_hz
        samples = read_samples(open_audio(path), rate, audio.channel)
        segments: List[Segment] = []
        for begin, end in split_at_pauses(samples, rate, audio.max_segment_sec or self._longest_sec):
            codes = self.codes(samples[begin:end], path, tokenizer_dir)
            facts: Dict[str, Any] = {"language": audio.language or None}
            heard = Utterances([path], [facts], [codes])
            found = self.answerer.texts(WRITTEN, heard, self.config.sampling, self.config.max_ids)
            segments.append(Segment(begin / rate, end / rate, found[0], 0.0, (), ()))
        return Transcription(path, samples.numel() / rate, tuple(segments))

    def outcomes(self, paths: Sequence[str], audio: AudioConfig, tokenizer_dir: Optional[Path]) -> Iterator[Outcome]:
        """As `transcribe`, a Failure for a file whose audio is bad, in the order of `paths`."""
        for path in paths:
            try:
                yield self.transcribe(path, audio, tokenizer_dir)
            except (BadAudio, AudioRejected) as error:
                yield Failure(path, str(error))

    def units(self, text: str, voice: str = "", language: str = "") -> Tensor:
        """Codes (T, K) of a text. Raises ValueError for an empty one, and where the layout has facts that lack."""
        if not text.strip():
            raise ValueError("the text is empty; give one with letters.")
        facts = {"text": text, "speaker": voice or None, "language": language or None}
        most = self.config.most_frames(self.spec)
        return self.answerer.said(READ, ["the text"], [facts], self.config.speech_sampling, most)[0]

    def continued(self, begun: Tensor, most_frames: int, sampling: SamplingConfig) -> Tensor:
        """Codes (T', K) that begin with `begun` (T, K) and go on for at most `most_frames`."""
        return self.answerer.units(GOING_ON, {}, begun, sampling, most_frames)
