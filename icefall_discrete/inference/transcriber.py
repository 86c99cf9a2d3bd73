"""Transcriber: an experiment folder as a function from audio files to text."""

import dataclasses
import math
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, TypeVar, Union

import numpy as np
import torch
from lhotse import Recording
from torch import Tensor
from tqdm import tqdm

from icefall_discrete.base.text_files import shown_name
from icefall_discrete.data.loaders import padded_groups
from icefall_discrete.decoding.fusion import Fusion
from icefall_discrete.decoding.hypothesis import Hypothesis
from icefall_discrete.decoding.methods import find_method
from icefall_discrete.decoding.search import check_method, search_nbest
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.experiment.transcription_files import kept_settings
from icefall_discrete.extraction.workers import one_thread
from icefall_discrete.inference.audio_files import AudioConfig, BadAudio, open_audio, read_samples
from icefall_discrete.inference.pauses import MIN_SEGMENT_SEC, split_at_pauses
from icefall_discrete.inference.samples import Samples, as_samples
from icefall_discrete.inference.trained_recogniser import load_recogniser
from icefall_discrete.systems.asr.transcription import Failure, Outcome, Transcription, make_segment
from icefall_discrete.systems.asr.transducer import Transducer
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.systems.vocoder.synthesis import require_codes
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.tokenizers.contract import AudioRejected, pad_outputs

# Segments of this many full batches are held before they are sorted by length and recognised.
BATCHES_AHEAD = 8
Source = TypeVar("Source", str, Recording, Samples)
# A file, or samples of one channel at the rate of the tokenizer (samples.py).
Audio = Union[str, Path, np.ndarray, Tensor]
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class _Piece:
    """A segment of the file `name`: its place there in seconds, and its codes (T, K) or features (T, D)."""

    name: str
    span_sec: Tuple[float, float]
    frames: Tensor

    @property
    def duration_sec(self) -> float:
        return self.span_sec[1] - self.span_sec[0]


@dataclasses.dataclass(frozen=True)
class _Encoded:
    """A file whose segments wait to be recognised."""

    name: str
    duration_sec: float
    pieces: List[_Piece]


class EncodedAudio(NamedTuple):
    """A file at the encoder's output: its name and duration, frames (T', D), and of each its start and end (s)."""

    name: str
    duration_sec: float
    encoder_out: Tensor
    spans_sec: Sequence[Tuple[float, float]]


class Transcriber:
    """Recognises audio with a trained experiment; the codes are those that extraction would give, bit for bit.

    Args:
      exp_dir: folder of the trained experiment. choice: checkpoints. decode: search; lists of phrases for single cuts
        are found by the file's name without folder and suffix. Both are those of the recipe that the experiment keeps,
        as for the command and local/decode.py. run: batches and device.
      audio: channel, language and segments. tokenizer_dir: where the tokenizer is, if not in the experiment folder.
    Raises:
      FileNotFoundError: if a file of the experiment or its tokenizer is missing.
      ValueError: if there is no such checkpoint or method, the tokenizer is another one than in training, or its codes
        depend on the language, and `audio` says none, or none that it knows.
    """

    def __init__(
        self,
        exp_dir: Union[str, Path],
        choice: Optional[CheckpointChoice] = None,
        decode: Optional[DecodeConfig] = None,
        run: Optional[RunConfig] = None,
        audio: Optional[AudioConfig] = None,
        tokenizer_dir: Optional[Path] = None,
    ) -> None:
        kept_choice, kept_decode = kept_settings(exp_dir)
        choice, self._decode = choice or kept_choice, decode or kept_decode
        self._run, self._audio = run or RunConfig(), audio or AudioConfig()
        check_method(self._decode.decoding_method)
        trained = load_recogniser(exp_dir, choice, self._run, self._audio.language, tokenizer_dir)
        experiment, self.spec, self.tokenizer = trained.experiment, trained.spec, trained.tokenizer
        self._text_encoder, self._model, self._device = trained.text_encoder, trained.model, trained.device
        self.max_segment_sec = self._longest_segment(experiment.settings().filter.max_utterance_sec)
        scores_end = find_method(self._decode.decoding_method).from_label_to_label
        self._fusion = Fusion(self._decode, experiment.exp_dir / "bpe.model", self._device, scores_end)

    def _longest_segment(self, trained_sec: float) -> float:
        longest = self._audio.max_segment_sec or max(trained_sec, 2 * MIN_SEGMENT_SEC)
        limit = self.tokenizer.max_samples
        return longest if limit is None else min(longest, limit / self.spec.sample_rate_hz)

    def transcribe(
        self,
        paths: Union[Audio, Sequence[Audio]],
        title: Optional[str] = None,
        names: Optional[Sequence[str]] = None,
    ) -> Iterator[Outcome]:
        """Yield a Transcription, or a Failure, for each piece of audio, in the order of `paths`.

        Files are read one by one and recognised in batches of segments of similar length, some batches ahead.

        Args:
          paths: audio files, or samples as `transcribe_samples` takes them, which are called `samples 0` and so on; a
            single one too. title: of the progress bar on standard error, if that is a terminal; None shows no bar.
          names: what samples are called instead.
        """
        every = [paths] if isinstance(paths, (str, Path, np.ndarray, Tensor)) else list(paths)
        called = names or [f"samples {number}" for number in range(len(every))]
        opened = [self._opened(audio, name) for audio, name in zip(every, called)]
        total_sec = sum(item.duration for item in opened if not isinstance(item, Failure))
        # No bar either (None) where standard error is a file.
        hidden = True if title is None else None
        with tqdm(total=math.ceil(total_sec), desc=title, unit="s", unit_scale=True, disable=hidden) as bar:
            for window in self._windows(opened, bar):
                pieces = [piece for item in window if isinstance(item, _Encoded) for piece in item.pieces]
                found = iter(self._search(pieces, bar))
                for item in window:
                    yield item if isinstance(item, Failure) else self._transcription(item, found)

    def transcribe_samples(self, samples: Union[np.ndarray, Tensor], name: str = "audio") -> Transcription:
        """Recognise samples (S,) at the rate of `spec.sample_rate_hz`: floats in [-1, 1], or integers (`as_samples`).

        Raises:
          BadAudio: if they are no such samples, too short for a frame, or not finite; `name` is what it calls them.
          AudioRejected: if they are far too loud.
        """
        encoded = self._encode_file(Samples(name, as_samples(samples, name), self.spec.sample_rate_hz))
        return self._transcription(encoded, iter(self._search(encoded.pieces)))

    def texts_of_codes(self, frames: Sequence[Tensor]) -> List[str]:
        """What is heard in codes (T, K), or features (T, D), of utterances; nothing in what is too short for the model.

        Raises:
          ValueError: for codes that its spec does not have.
        """
        texts, pieces = [""] * len(frames), {}
        for number, one in enumerate(frames):
            require_codes(one, self.spec, f"utterance {number}")
            if self._model.config.num_encoder_frames(len(one), self.spec) >= 1:
                pieces[number] = _Piece(str(number), (0.0, len(one) / self.spec.frame_rate_hz), one)
        for number, found in zip(pieces, self._search(list(pieces.values()))):
            texts[number] = " ".join(self._text_encoder.decode(found[0].labels).split())
        return texts

    @property
    def model(self) -> Transducer:
        """The network, in evaluation mode."""
        return self._model

    @property
    def text_encoder(self) -> TextEncoder:
        """The pieces of text."""
        return self._text_encoder

    @torch.no_grad()
    def encoded(self, audio: Union[str, Path, Samples]) -> EncodedAudio:
        """The encoder's output for a file, or for samples that have a name; its segments are encoded by themselves.

        Raises:
          BadAudio, AudioRejected: as `transcribe_samples`, naming it.
        """
        encoded = self._encode_file(audio if isinstance(audio, Samples) else open_audio(str(audio)))
        frame_sec = self._model.config.encoder_frame_sec(self.spec)
        outputs: List[Tensor] = []
        spans: List[Tuple[float, float]] = []
        for piece in encoded.pieces:
            frames, lens = pad_outputs([piece.frames], self.spec)
            out, out_lens, _ = self._model.encode(frames.to(self._device), lens.to(self._device))
            outputs.append(out[0, : int(out_lens[0])])
            begin, end = piece.span_sec
            starts = [min(end, begin + number * frame_sec) for number in range(len(outputs[-1]))]
            spans += [(start, min(end, start + frame_sec)) for start in starts]
        return EncodedAudio(encoded.name, encoded.duration_sec, torch.cat(outputs), spans)

    def _opened(self, audio: Audio, name: str) -> Union[Recording, Samples, Failure]:
        if isinstance(audio, (str, Path)):
            return _outcome_of(open_audio, str(audio))
        try:
            return Samples(name, as_samples(audio, name), self.spec.sample_rate_hz)
        except BadAudio as error:
            return Failure(name, str(error))

    def _windows(
        self, opened: Sequence[Union[Recording, Samples, Failure]], bar: tqdm
    ) -> Iterator[List[Union[_Encoded, Failure]]]:
        """Yield files, encoded, as many at once as fill BATCHES_AHEAD batches."""
        window: List[Union[_Encoded, Failure]] = []
        held_sec = 0.0
        for item in opened:
            encoded = item if isinstance(item, Failure) else _outcome_of(self._encode_file, item)
            window.append(encoded)
            if not isinstance(item, Failure):
                # Half of the bar is encoding, the other half is searching, which a failure does not reach.
                bar.update(item.duration if isinstance(encoded, Failure) else item.duration / 2)
                held_sec += item.duration
            if held_sec >= BATCHES_AHEAD * self._run.max_duration:
                yield window
                window, held_sec = [], 0.0
        if window:
            yield window

    def _encode_file(self, audio: Union[Recording, Samples]) -> _Encoded:
        rate = self.spec.sample_rate_hz
        samples = audio.samples if isinstance(audio, Samples) else read_samples(audio, rate, self._audio.channel)
        return _Encoded(audio.id, samples.numel() / rate, self._encode(samples, audio.id))

    def _encode(self, samples: Tensor, name: str) -> List[_Piece]:
        """Segments of the audio called `name`, with their codes or features."""
        rate, size = self.spec.sample_rate_hz, samples.numel()
        if size < self.tokenizer.min_samples:
            raise BadAudio(
                f"{shown_name(name)}: {size / rate:.4f} s of audio is too short for {self.spec.name}, which needs "
                f"{self.tokenizer.min_samples / rate:.4f} s for one frame."
            )
        if not torch.isfinite(samples).all():
            raise BadAudio(
                f"{shown_name(name)}: {int((~torch.isfinite(samples)).sum())} of {size} samples are NaN or infinite."
            )
        pieces = []
        # As in extraction: one thread, and random numbers (if a tokenizer draws any) that depend on nothing else.
        with one_thread(), torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            for start, end in split_at_pauses(samples, rate, self.max_segment_sec):
                part = samples[start:end].unsqueeze(0)
                frames, lens = self.tokenizer.encode(part, torch.tensor([end - start]), [shown_name(name)])
                pieces.append(_Piece(name, (start / rate, end / rate), frames[0, : int(lens[0])]))
        if self._model.config.num_encoder_frames(len(pieces[0].frames), self.spec) < 1:
            raise BadAudio(
                f"{shown_name(name)}: {size / rate:.4f} s of audio is too short for the model, it gives no frame."
            )
        return pieces

    @torch.no_grad()
    def _search(self, pieces: Sequence[_Piece], bar: Optional[tqdm] = None) -> List[List[Hypothesis]]:
        """The hypotheses of each piece, in the order of `pieces`, found in batches of similar length."""
        found: Dict[int, List[Hypothesis]] = {}
        longest_first = sorted(range(len(pieces)), key=lambda index: -pieces[index].duration_sec)
        for group in padded_groups(longest_first, lambda index: pieces[index].duration_sec, self._run.max_duration):
            frames, lens = pad_outputs([pieces[index].frames for index in group], self.spec)
            encoder_out, encoder_lens, _ = self._model.encode(frames.to(self._device), lens.to(self._device))
            scorer = self._fusion.scorer([Path(pieces[index].name).stem for index in group])
            method = self._decode.decoding_method
            hypotheses = search_nbest(method, self._model, encoder_out, encoder_lens, self._decode, scorer)
            found.update(zip(group, hypotheses))
            if bar is not None:
                bar.update(sum(pieces[index].duration_sec for index in group) / 2)
        return [found[index] for index in range(len(pieces))]

    def _transcription(self, encoded: _Encoded, found: Iterator[List[Hypothesis]]) -> Transcription:
        frame_sec = self._model.config.encoder_frame_sec(self.spec)
        segments = (make_segment(next(found), p.span_sec, frame_sec, self._text_encoder) for p in encoded.pieces)
        return Transcription(encoded.name, encoded.duration_sec, tuple(segments))


def _outcome_of(step: Callable[[Source], Result], source: Source) -> Union[Result, Failure]:
    """`step(source)`, or the Failure of a file whose audio is bad."""
    try:
        return step(source)
    except (BadAudio, AudioRejected) as error:
        return Failure(source if isinstance(source, str) else source.id, str(error))
