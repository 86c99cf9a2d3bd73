"""StreamingTranscriber: an experiment folder as a function from audio that comes to text that grows."""

import time
from pathlib import Path
from typing import List, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor

from icefall_discrete.audio.as_it_comes import AsItComes
from icefall_discrete.audio.resampling import Resampler
from icefall_discrete.base.text_files import shown_name
from icefall_discrete.data.targets.pieces import FILE_NAME
from icefall_discrete.decoding.fusion import Fusion
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.experiment.transcription_files import kept_settings
from icefall_discrete.inference.audio_files import BadAudio
from icefall_discrete.inference.streaming.endpoints import EndpointConfig
from icefall_discrete.inference.streaming.updates import Update
from icefall_discrete.inference.streaming.waits import causal_reach, waits_of
from icefall_discrete.inference.trained_recogniser import load_recogniser
from icefall_discrete.systems.asr.streaming_model import StreamingConfig
from icefall_discrete.systems.asr.streaming_recognizer import RecognitionStream, StreamingRecognizer
from icefall_discrete.systems.prediction import RunConfig


class AudioStream:
    """One stream of audio: samples that wait, and what was found. `StreamingTranscriber.open` makes it.

    name: what errors call it.
    """

    def __init__(self, name: str, frames: AsItComes, recognition: RecognitionStream, resampler: Optional[AsItComes]):
        self.name, self.recognition = name, recognition
        self._frames, self._resampler = frames, resampler
        self.segment, self.start_frame = 0, 0
        self.waiting_since = time.monotonic()
        self._is_told = False

    def accept(self, samples: Tensor, arrived: Optional[float] = None) -> None:
        """Take the next samples (S,) float32 in [-1, 1], at the stream's rate.

        arrived: when they came, by time.monotonic(), if that was not now.
        Raises:
          BadAudio, AudioRejected: for samples that are not finite, or integers; the stream is as before.
        """
        if not self.recognition.is_ready:
            self.waiting_since = time.monotonic() if arrived is None else arrived
        bad = int((~torch.isfinite(samples)).sum())
        if bad:
            raise BadAudio(f"{shown_name(self.name)}: {bad} of {len(samples)} samples are NaN or infinite.")
        self._push(samples if self._resampler is None else self._resampler.accept(samples))

    def finish(self) -> None:
        """Say that no samples follow."""
        if self._resampler is not None:
            self._push(self._resampler.finish())
        rest = self._frames.finish()
        if len(rest):
            self.recognition.push(rest)
        self.recognition.finish()

    def _push(self, samples: Tensor) -> None:
        frames = self._frames.accept(samples)
        if len(frames):
            self.recognition.push(frames)

    @property
    def num_samples(self) -> int:
        """Samples that were taken so far, at the rate of the tokenizer."""
        return self._frames.num_samples

    @property
    def is_ready(self) -> bool:
        """Whether `StreamingTranscriber.advance` has something to do: a chunk, or to say that the stream is over."""
        return self.recognition.is_ready or (self.recognition.is_done and not self._is_told)

    @property
    def is_over(self) -> bool:
        """Whether all of it was recognised, and said."""
        return self._is_told

    def tell_end(self) -> None:
        """Note that it was said that the stream is over."""
        self._is_told = True


class StreamingTranscriber:
    """Recognises audio while it comes, many streams at once, with a trained causal experiment.

    What is found in a stream without endpoints is what local/decode.py --streaming finds in the codes of the whole.

    Args:
      exp_dir: folder of the trained experiment. choice: checkpoints. decode: search. Both are those of the recipe that
        the experiment keeps, as for the command. streaming: chunks. endpoints: when an utterance ends.
      run: the device. language: of the audio, where codes depend on it. tokenizer_dir: as for Transcriber.
    Raises:
      FileNotFoundError, ValueError: as Transcriber does; ValueError for a tokenizer or a model that is not causal.
    """

    def __init__(
        self,
        exp_dir: Union[str, Path],
        choice: Optional[CheckpointChoice] = None,
        decode: Optional[DecodeConfig] = None,
        streaming: Optional[StreamingConfig] = None,
        endpoints: Optional[EndpointConfig] = None,
        run: Optional[RunConfig] = None,
        language: str = "",
        tokenizer_dir: Optional[Path] = None,
    ) -> None:
        kept_choice, kept_decode = kept_settings(exp_dir)
        streaming = streaming or StreamingConfig()
        run = run or RunConfig()
        trained = load_recogniser(exp_dir, choice or kept_choice, run, language, tokenizer_dir, streaming)
        self.tokenizer, self.spec, self._text_encoder = trained.tokenizer, trained.spec, trained.text_encoder
        self._reach = causal_reach(self.tokenizer)
        decode = decode or kept_decode
        scorer_of = None
        if decode.is_used:
            scorer_of = Fusion(decode, trained.experiment.exp_dir / FILE_NAME, trained.device).of_one
        self._recognizer = StreamingRecognizer(trained.model, self.spec, streaming, decode, scorer_of)
        self._endpoints = endpoints or EndpointConfig()
        self._frame_sec = trained.model.config.encoder_frame_sec(self.spec)
        self.waits = waits_of(trained.model, self.spec, self._reach, streaming)

    @property
    def sample_rate_hz(self) -> int:
        """Of the tokenizer."""
        return self.spec.sample_rate_hz

    def open(self, name: str = "audio", sample_rate_hz: Optional[int] = None) -> AudioStream:
        """A stream before its first sample. name: for errors. sample_rate_hz: of its samples, if another than ours.

        Raises ValueError for a rate that no audio has.
        """
        resampler = None
        if sample_rate_hz not in (None, self.sample_rate_hz):
            resampler = Resampler(sample_rate_hz, self.sample_rate_hz).as_it_comes()
        frames = AsItComes(lambda samples: self._frames_of(samples, name), self._reach, self.tokenizer.min_samples)
        return AudioStream(name, frames, self._recognizer.open(Path(name).stem), resampler)

    @torch.no_grad()
    def _frames_of(self, samples: Tensor, name: str) -> Tensor:
        return self.tokenizer.encode(samples.unsqueeze(0), torch.tensor([len(samples)]), [shown_name(name)])[0][0]

    def advance(self, streams: Sequence[AudioStream]) -> List[Tuple[AudioStream, Update]]:
        """Recognise a chunk of each stream that is ready, in one batch, and say what is known of its utterance."""
        ready = [stream for stream in streams if stream.is_ready]
        self._recognizer.step([stream.recognition for stream in ready])
        return [(stream, self._update(stream)) for stream in ready]

    def _update(self, stream: AudioStream) -> Update:
        found, num_frames = (
            self._recognizer.hypothesis(stream.recognition),
            self._recognizer.num_searched(stream.recognition),
        )
        silent = num_frames - (found.timestamps[-1] + 1 if found.timestamps else 0)
        is_eof = stream.recognition.is_done
        rule = self._endpoints.rule(silent * self._frame_sec, num_frames * self._frame_sec)
        pieces = self._text_encoder.pieces()
        update = Update(
            segment=stream.segment,
            text=" ".join(self._text_encoder.decode(found.labels).split()),
            tokens=tuple(pieces[label] for label in found.labels),
            timestamps=tuple(frame * self._frame_sec for frame in found.timestamps),
            start_sec=stream.start_frame * self._frame_sec,
            end_sec=(stream.start_frame + num_frames) * self._frame_sec,
            latency_sec=time.monotonic() - stream.waiting_since,
            rule=rule,
            is_eof=is_eof,
        )
        if is_eof:
            stream.tell_end()
        elif rule is not None:
            self._recognizer.restart(stream.recognition, self._endpoints.reset_encoder)
            stream.segment += bool(update.text)
            stream.start_frame += num_frames
        return update
