#!/usr/bin/env python3
"""sherpa-onnx against our own searches: texts of all audio of a manifest, word for word, and what they cost.

The experiment is exported to a temporary folder, and each utterance goes alone, with one thread, through both. Whatever
differs is printed. Times are of the processor, so that other work beside it changes little. With --streaming, a causal
experiment hears each utterance as it comes, with silence behind it as sherpa-onnx needs, and ends with its last whole
chunk on both sides.
"""

import dataclasses
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lhotse.cut import Cut

from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.base.text_tables import text_table
from icefall_discrete.data.cuts import load_audio_cuts, text_of
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.transcription_files import kept_settings
from icefall_discrete.export.command import SHERPA, ExportConfig, export
from icefall_discrete.inference.streaming.endpoints import EndpointConfig
from icefall_discrete.inference.streaming.transcriber import StreamingTranscriber
from icefall_discrete.inference.transcriber import Transcriber
from icefall_discrete.metrics.wer import count_errors, total_errors
from icefall_discrete.systems.prediction import RunConfig

CTC, METHODS = "ctc_greedy_search", ("greedy_search", "modified_beam_search", "ctc_greedy_search")
Says = Callable[[np.ndarray], str]
# Pieces of streams, and the silence behind each: more than a chunk and what it waits for.
PIECE_SEC, TAIL_SEC = 0.1, 1.5


@dataclasses.dataclass(frozen=True)
class SherpaConfig:
    """What is compared."""

    methods: Tuple[str, ...] = setting(METHODS, "searches", choices=METHODS)
    every: int = setting(1, "every so many of the utterances", minimum=1)
    streaming: bool = setting(False, "hear audio as it comes, chunk by chunk")

    def __post_init__(self) -> None:
        check_settings(self)


@dataclasses.dataclass
class Side:
    """What one of the two said of each utterance, and the processor's seconds."""

    texts: List[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def hear(self, says: Says, samples: np.ndarray) -> None:
        """Have it say an utterance."""
        began = time.process_time()
        self.texts.append(says(samples))
        self.seconds += time.process_time() - began


def recogniser_of(folder: Path, decode: DecodeConfig, streaming: bool) -> Any:
    """sherpa-onnx's recogniser with the files of a folder and the search of `decode`."""
    import sherpa_onnx

    shared: Dict[str, Any] = {"tokens": str(folder / "tokens.txt"), "num_threads": 1}
    kind = sherpa_onnx.OnlineRecognizer if streaming else sherpa_onnx.OfflineRecognizer
    if decode.decoding_method == CTC:
        of_ctc = kind.from_zipformer2_ctc if streaming else kind.from_zipformer_ctc
        return of_ctc(model=str(folder / "ctc.onnx"), **shared)
    parts = {name: str(folder / f"{name}.onnx") for name in ("encoder", "decoder", "joiner")}
    return kind.from_transducer(
        **parts,
        **shared,
        decoding_method=decode.decoding_method,
        max_active_paths=decode.beam_size,
        blank_penalty=decode.blank_penalty,
    )


def sherpas(folder: Path, decode: DecodeConfig, rate_hz: int) -> Says:
    """sherpa-onnx on whole utterances."""
    recognizer = recogniser_of(folder, decode, False)

    def says(samples: np.ndarray) -> str:
        stream = recognizer.create_stream()
        stream.accept_waveform(rate_hz, samples)
        recognizer.decode_stream(stream)
        return " ".join(stream.result.text.split())

    return says


def sherpas_in_streams(folder: Path, decode: DecodeConfig, rate_hz: int) -> Says:
    """sherpa-onnx on audio as it comes."""
    recognizer = recogniser_of(folder, decode, True)

    def says(samples: np.ndarray) -> str:
        stream = recognizer.create_stream()
        for piece in pieces_of(samples, rate_hz):
            stream.accept_waveform(rate_hz, piece)
            while recognizer.is_ready(stream):
                recognizer.decode_stream(stream)
        return " ".join(recognizer.get_result(stream).split())

    return says


def pieces_of(samples: np.ndarray, rate_hz: int) -> List[np.ndarray]:
    """Samples and silence behind them, in pieces as they come."""
    heard = np.concatenate([samples, np.zeros(round(TAIL_SEC * rate_hz), samples.dtype)])
    size = round(PIECE_SEC * rate_hz)
    return [heard[begin : begin + size] for begin in range(0, len(heard), size)]


def ours_in_streams(exp_dir: Path, decode: DecodeConfig) -> Tuple[Says, int]:
    """Our own search in streams, and the rate of its samples."""
    transcriber = StreamingTranscriber(exp_dir, None, decode, endpoints=EndpointConfig(enable_endpoint=False))

    def says(samples: np.ndarray) -> str:
        stream, text = transcriber.open(), ""
        for piece in pieces_of(samples, transcriber.sample_rate_hz):
            stream.accept(torch.from_numpy(piece))
            while stream.is_ready:
                ((_, update),) = transcriber.advance([stream])
                text = update.text
        return text

    return says, transcriber.sample_rate_hz


def ours(exp_dir: Path, decode: DecodeConfig) -> Tuple[Says, int]:
    """Our own search, and the rate of its samples."""
    transcriber = Transcriber(exp_dir, None, decode, RunConfig(device="cpu"))

    def says(samples: np.ndarray) -> str:
        return transcriber.transcribe_samples(samples).text

    return says, transcriber.spec.sample_rate_hz


def searched(decode: DecodeConfig, method: str) -> DecodeConfig:
    """The recipe's settings for another search; its penalty of blanks is of the transducer's."""
    penalty = 0.0 if method == CTC else decode.blank_penalty
    return dataclasses.replace(decode, decoding_method=method, blank_penalty=penalty, lm="", lodr="", context_file="")


def compare(exp_dir: Path, folder: Path, cuts: Sequence[Cut], method: str, streaming: bool) -> List[str]:
    """A row of the table of a search; texts that differ are printed."""
    decode = searched(kept_settings(exp_dir)[1], method)
    says, rate_hz = (ours_in_streams if streaming else ours)(exp_dir, decode)
    theirs = (sherpas_in_streams if streaming else sherpas)(folder, decode, rate_hz)
    own, other, total_sec = Side(), Side(), 0.0
    for cut in cuts:
        samples = cut.resample(rate_hz).load_audio()[0]
        total_sec += len(samples) / rate_hz
        own.hear(says, samples)
        other.hear(theirs, samples)
    different = 0
    for cut, text, their_text in zip(cuts, own.texts, other.texts):
        if text != their_text:
            different += count_errors(text.split(), their_text.split()).errors
            print(f"{method} {cut.id}:\n  ours    {text}\n  sherpa  {their_text}")
    same = sum(text == their_text for text, their_text in zip(own.texts, other.texts))
    row = [method, f"{same} of {len(cuts)}", str(different)]
    for side in (own, other):
        row.append(f"{word_error_rate(cuts, side.texts):.2f}")
    return [*row, *(f"{side.seconds / total_sec:.4f}" for side in (own, other))]


def word_error_rate(cuts: Sequence[Cut], texts: Sequence[str]) -> float:
    """In percent, of whole texts."""
    total = total_errors([count_errors(text_of(cut).split(), text.split()) for cut, text in zip(cuts, texts)])
    return total.rate


def get_parser() -> ScriptParser:
    """What is compared, and on what."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="experiment on features of type fbank")
    parser.add_argument("--cuts", type=Path, required=True, help="manifest of cuts with audio and texts")
    add_flags(parser, SherpaConfig)
    return parser


def main() -> None:
    """Export, and compare search by search."""
    args = get_parser().parse_args()
    config = override(SherpaConfig(), args)
    torch.set_num_threads(1)
    cuts = list(load_audio_cuts(args.cuts))[:: config.every]
    choice, decode = kept_settings(args.exp_dir)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / SHERPA
        how = ExportConfig(to=SHERPA, int8=False, streaming=config.streaming)
        export(args.exp_dir, folder, how, choice, decode)
        rows = [compare(args.exp_dir, folder, cuts, method, config.streaming) for method in config.methods]
    head = ["search", "same text", "words that differ", "WER", "WER, sherpa-onnx", "RTF", "RTF, sherpa-onnx"]
    print(text_table(head, rows))


if __name__ == "__main__":
    run_script(main)
