"""What `icefall-discrete transcribe --streaming` does: audio goes in as it comes, text comes out as it grows."""

import io
import logging
import sys
import time
from typing import Any, Iterator, List, Sequence

import torch
from torch import Tensor

from icefall_discrete.base.flags import Number, ScriptParser, add_flags, override
from icefall_discrete.base.text_files import json_in, shown_name
from icefall_discrete.experiment.transcription_files import load_recipe, settings_in
from icefall_discrete.inference.audio_files import AudioConfig, BadAudio, open_audio, read_samples
from icefall_discrete.inference.streaming.endpoints import EndpointConfig
from icefall_discrete.inference.streaming.pcm import SAMPLE_BYTES, pcm_pieces, pieces, until_interrupted
from icefall_discrete.inference.streaming.transcriber import AudioStream, StreamingTranscriber
from icefall_discrete.inference.streaming.updates import Update
from icefall_discrete.systems.asr.streaming_model import StreamingConfig
from icefall_discrete.systems.asr.transcription import Failure
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.tokenizers.contract import AudioRejected

LOG = logging.getLogger(__name__)
STDIN_NAME = "standard input"
SECTION = "streaming"
# Audio goes in by pieces of this length, shorter than any chunk.
PIECE_SEC = 0.04


def add_streaming_flags(parser: ScriptParser) -> None:
    """Add the flags that `transcribe --streaming` has beside those of `transcribe`."""
    parser.add_argument("--streaming", action="store_true", help="recognise chunk by chunk, as the audio comes")
    parser.add_argument(
        "--pcm-rate",
        type=Number(int, minimum=1),
        help="with --streaming, instead of files: samples s16le of one channel at this rate from standard input",
    )
    parser.add_argument("--real-time", action="store_true", help="with --streaming: read files as fast as they play")
    parser.add_argument("--partial", action="store_true", help="with --streaming: print unfinished utterances too")
    add_flags(parser, StreamingConfig, SECTION)
    add_flags(parser, EndpointConfig, SECTION)


def flag_of_streams(args: Any, names: Sequence[str] = ()) -> str:
    """The first flag given that is of use to streams alone: a setting of theirs, or one of `names`; "" without any."""
    given = [name.partition(".")[2] for name in vars(args) if name.startswith(f"{SECTION}.")]
    given += [name for name in names if getattr(args, name)]
    return "--" + given[0].replace("_", "-") if given else ""


def refuse_streaming_flags(args: Any) -> None:
    """Raise ValueError if a flag was given that does nothing without --streaming."""
    flag = flag_of_streams(args, ("pcm_rate", "real_time", "partial"))
    if flag:
        raise ValueError(f"{flag} is for streams, and without --streaming files are recognised whole; add --streaming.")


def make_streaming_transcriber(args: Any) -> StreamingTranscriber:
    """The transcriber that the flags ask for: defaults, over them the recipe's settings, then the flags."""
    recipe = load_recipe(args.exp_dir, args.recipe_config)
    choice, decode = settings_in(recipe, f"the recipe of {args.exp_dir}")
    return StreamingTranscriber(
        args.exp_dir,
        override(choice, args, "average"),
        override(decode, args, "decode"),
        override(StreamingConfig(), args, SECTION),
        override(EndpointConfig(), args, SECTION),
        override(RunConfig(), args),
        override(AudioConfig(), args).language,
        args.tokenizer_dir,
    )


def refuse_flags_of_wholes(args: Any, instead: str) -> None:
    """Raise ValueError if a flag was given that says how what is recognised whole is divided or put together.

    instead: what to do otherwise, if the flag is wanted.
    """
    for name in ("max_segment_sec", "max_duration"):
        if name in vars(args):
            flag = "--" + name.replace("_", "-")
            raise ValueError(
                f"{flag} is for audio that is recognised whole, and a stream is recognised chunk by chunk; leave it "
                f"away, or {instead}."
            )


class Figures:
    """How long text took, over all streams of a command."""

    def __init__(self) -> None:
        self._latencies: List[float] = []
        self.audio_sec, self.busy_sec = 0.0, 0.0

    def add(self, update: Update) -> None:
        """Count an update."""
        self._latencies.append(update.latency_sec)

    def line(self, transcriber: StreamingTranscriber) -> str:
        """One line for people."""
        waits = transcriber.waits
        ahead = waits.model_sec + waits.tokenizer_sec
        waiting = (
            f"latency: a chunk lasts {waits.chunk_sec:.3g} s and waits for {ahead:.3g} s more "
            f"(model {waits.model_sec:.3g} s, {transcriber.spec.name} {waits.tokenizer_sec:.4g} s)"
        )
        if not self._latencies:
            return waiting
        in_order = sorted(self._latencies)
        median, most = in_order[len(in_order) // 2], in_order[min(len(in_order) - 1, len(in_order) * 99 // 100)]
        return (
            f"{waiting}; then its text took {1000 * median:.0f} ms (median), {1000 * most:.0f} ms (99 %); "
            f"{self.audio_sec:.1f} s of audio in {self.busy_sec:.1f} s of work"
        )


class _Printer:
    """Prints updates: JSON lines, or text, one line an utterance."""

    def __init__(self, args: Any, with_names: bool) -> None:
        self._as_json, self._partial, self._with_names = args.json, args.partial, with_names
        self._encoding = sys.stdout.encoding or "utf-8"
        self._last = ""

    def update(self, name: str, update: Update) -> None:
        """Print an update: final ones, and partial ones whose text is new."""
        is_news = update.is_final if not self._partial else update.is_final or update.text != self._last
        self._last = "" if update.is_final else update.text
        if not is_news or not (update.text or update.is_eof):
            return
        if self._as_json:
            self._line(json_in({"file": name, **update.to_json()}, self._encoding))
        elif update.text or not self._partial:
            text = update.text.encode(self._encoding, "backslashreplace").decode(self._encoding)
            parts = [shown_name(name, self._encoding)] if self._with_names else []
            parts += [f"{update.end_sec:.2f}", "" if update.is_final else "..."] if self._partial else []
            self._line("\t".join([*parts, text]))

    def failure(self, failure: Failure) -> None:
        """Print what could not be recognised, in JSON; the log has it in any case."""
        LOG.error(failure.message)
        if self._as_json:
            self._line(json_in(failure.to_json(), self._encoding))

    @staticmethod
    def _line(line: str) -> None:
        print(line, flush=True)


def stream_files(args: Any, paths: Sequence[str]) -> int:
    """Recognise files, or standard input, one after the other as streams; returns how many failed."""
    if args.pcm_rate is not None and paths:
        raise ValueError(f"--pcm-rate reads standard input, but there are files too ({paths[0]}); give one of the two.")
    refuse_flags_of_wholes(args, "--streaming")
    transcriber = make_streaming_transcriber(args)
    torch.set_flush_denormal(True)
    figures, printer, failed = Figures(), _Printer(args, len(paths) > 1), 0
    for name in [STDIN_NAME] if args.pcm_rate is not None else paths:
        try:
            _recognise(transcriber, name, args, figures, printer)
        except (BadAudio, AudioRejected) as error:
            printer.failure(Failure(name, str(error)))
            failed += 1
    LOG.info(figures.line(transcriber))
    return failed


def _recognise(transcriber: StreamingTranscriber, name: str, args: Any, figures: Figures, printer: _Printer) -> None:
    stream, broken = transcriber.open(name, args.pcm_rate), None
    try:
        for samples in _audio(transcriber, name, args):
            started = time.monotonic()
            stream.accept(samples)
            _advance(transcriber, stream, figures, printer)
            figures.busy_sec += time.monotonic() - started
    except (BadAudio, AudioRejected) as error:
        broken = error
    figures.audio_sec += stream.num_samples / transcriber.sample_rate_hz
    if broken is None:  # where there is not one frame nothing is found, which is another thing than silence
        transcriber.tokenizer.check_length(stream.num_samples, shown_name(name))
    if broken is None or stream.num_samples:  # what was heard before audio broke off is told too
        stream.finish()
        _advance(transcriber, stream, figures, printer)
    if broken is not None:
        raise broken


def _advance(transcriber: StreamingTranscriber, stream: AudioStream, figures: Figures, printer: _Printer) -> None:
    while stream.is_ready:
        for _, update in transcriber.advance([stream]):
            figures.add(update)
            printer.update(stream.name, update)


def _audio(transcriber: StreamingTranscriber, name: str, args: Any) -> Iterator[Tensor]:
    """The samples of a file, or of standard input, in pieces."""
    if args.pcm_rate is not None:
        num_bytes = round(PIECE_SEC * args.pcm_rate) * SAMPLE_BYTES
        yield from pcm_pieces(until_interrupted(_standard_input(), num_bytes), name)
        return
    rate, num = transcriber.sample_rate_hz, round(PIECE_SEC * transcriber.sample_rate_hz)
    samples = read_samples(open_audio(name), rate, override(AudioConfig(), args).channel)
    began = time.monotonic()
    for place, piece in enumerate(pieces(samples, num), start=1):
        if args.real_time:
            time.sleep(max(0.0, began + place * num / rate - time.monotonic()))
        yield piece


def _standard_input() -> io.BufferedIOBase:
    source = sys.stdin.buffer if isinstance(sys.stdin, io.TextIOWrapper) else None
    return source if isinstance(source, io.BufferedIOBase) else io.BytesIO()
