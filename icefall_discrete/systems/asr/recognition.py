"""Cuts in, transcripts out: batches, encoder, search and text, with a progress bar and a count of what is too short."""

import dataclasses
import itertools
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from torch import Tensor
from tqdm import tqdm

from icefall_discrete.base.device import device_setting, resolve
from icefall_discrete.base.environment import peak_memory_mib
from icefall_discrete.base.settings import setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_frames, num_frames, text_of
from icefall_discrete.data.dataset import batch_key
from icefall_discrete.data.loaders import LoaderConfig, make_test_batches
from icefall_discrete.decoding.hypothesis import Hypothesis
from icefall_discrete.decoding.scorer import Scorer
from icefall_discrete.decoding.search import search_nbest
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.metrics.wer import Transcript
from icefall_discrete.systems.asr.streaming_model import StreamingConfig
from icefall_discrete.systems.asr.streaming_recognizer import RecognitionStream, StreamingRecognizer
from icefall_discrete.systems.asr.transducer import Transducer
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.text.words import words_in

ScorerOfBatch = Callable[[Dict[str, Any]], Optional[Scorer]]


@dataclasses.dataclass(frozen=True)
class TranscribeConfig:
    """How decoding runs; it does not change what is recognised."""

    max_duration: float = setting(200.0, "largest total duration of a batch, in seconds of audio", above=0)
    device: str = device_setting("where it decodes")
    num_threads: int = setting(0, "threads of torch; 0: as the environment says", minimum=0)

    def torch_device(self) -> torch.device:
        """The device to decode on. Raises ValueError if CUDA is asked for and absent."""
        return resolve(self.device, "decoding")


@dataclasses.dataclass(frozen=True)
class StreamsConfig(StreamingConfig):
    """Recognition as the frames come, many cuts at a time; what is found is what a stream of each would find."""

    streaming: bool = setting(False, "recognise chunk by chunk; needs a model that was trained with causal")
    num_decode_streams: int = setting(100, "streams that are recognised together", minimum=1)

    @property
    def suffix(self) -> str:
        """What file names say of it; empty where it is off."""
        shape = f"chunk-size-{self.chunk_size}_left-context-frames-{self.left_context_frames}"
        return f"streaming_{shape}" if self.streaming else ""


WHOLE = StreamsConfig()


def transcribe(
    model: Transducer,
    cuts: CutSet,
    spec: FeatureSpec,
    text_encoder: TextEncoder,
    config: DecodeConfig,
    run: TranscribeConfig,
    title: Optional[str] = None,
) -> Tuple[List[Transcript], Dict[str, Any]]:
    """Recognise every cut, without outside knowledge; arguments and facts are those of `recognise`.

    Returns:
      transcripts in the order of `cuts`, and facts.
    """
    found, facts = recognise(model, cuts, spec, config, run, title)
    return transcripts_of(cuts, found, text_encoder), facts


def recognise(
    model: Transducer,
    cuts: CutSet,
    spec: FeatureSpec,
    config: DecodeConfig,
    run: TranscribeConfig,
    title: Optional[str] = None,
    scorer_of: Optional[ScorerOfBatch] = None,
    streams: StreamsConfig = WHOLE,
) -> Tuple[Dict[str, List[Hypothesis]], Dict[str, Any]]:
    """Find the hypotheses of every cut; one that is too short for the model's front end has none.

    Args:
      model: a Transducer in evaluation mode, on the device of `run`. spec: what the cuts hold.
      title: of the progress bar; None shows no bar. scorer_of: gives the scorer for a batch; None: no scorer.
      streams: whether and how cuts are recognised as streams.
    Returns:
      `config.nbest` hypotheses by cut id, best first, and facts: num_utterances, num_too_short (and `too_short`, their
      ids), audio_sec, wall_sec, decode_rtf (their ratio; the reading of codes is in it) and peak_memory_mib.
    """
    every = list(cuts)
    short = [c.id for c in every if model.config.num_encoder_frames(num_frames(c, spec), spec) < 1]
    kept = [cut for cut in every if cut.id not in set(short)]
    audio_sec = sum(cut.duration for cut in every)
    found: Dict[str, List[Hypothesis]] = {}
    began = time.monotonic()
    with tqdm(total=round(audio_sec), desc=title, unit="s audio", disable=title is None) as bar:
        if streams.streaming:
            _refuse_scorers(scorer_of)
            found = _found_in_streams(model, kept, spec, config, streams, bar)
        elif kept:
            for batch in make_test_batches(CutSet.from_cuts(kept), LoaderConfig(max_duration=run.max_duration), spec):
                scorer = scorer_of(batch) if scorer_of is not None else None
                frames, lens = (batch[key].to(run.torch_device()) for key in (batch_key(spec), "frame_lens"))
                found.update(zip(batch["cut_ids"], _search_batch(model, frames, lens, config, scorer)))
                bar.update(round(float(batch["duration_sec"].sum())))
    wall_sec = time.monotonic() - began
    return found, {
        "num_utterances": len(every),
        "num_too_short": len(short),
        "too_short": short,
        "audio_sec": audio_sec,
        "wall_sec": wall_sec,
        "decode_rtf": wall_sec / audio_sec if audio_sec else None,
        "peak_memory_mib": peak_memory_mib(),
    }


def _refuse_scorers(scorer_of: Optional[ScorerOfBatch]) -> None:
    if scorer_of is not None:
        raise ValueError("streaming takes no language model, no phrases and no oracle; decode without --streaming.")


def _found_in_streams(
    model: Transducer, cuts: Sequence[Cut], spec: FeatureSpec, config: DecodeConfig, streams: StreamsConfig, bar: tqdm
) -> Dict[str, List[Hypothesis]]:
    """The hypothesis of each cut, recognised chunk by chunk; a cut that ends makes room for the next."""
    recognizer = StreamingRecognizer(model, spec, streams, config)
    dtype = torch.int64 if spec.kind == "codes" else torch.float32
    waiting = iter(cuts)
    running: List[Tuple[Cut, RecognitionStream]] = []
    found: Dict[str, List[Hypothesis]] = {}
    while True:
        for cut in itertools.islice(waiting, streams.num_decode_streams - len(running)):
            stream = recognizer.open()
            stream.push(torch.from_numpy(load_frames(cut, spec)).to(dtype))
            stream.finish()
            running.append((cut, stream))
        if not running:
            return found
        recognizer.step([stream for _, stream in running])
        for cut, stream in running:
            if stream.is_done:
                found[cut.id] = [recognizer.hypothesis(stream)]
                bar.update(round(cut.duration))
        running = [(cut, stream) for cut, stream in running if not stream.is_done]


@torch.no_grad()
def _search_batch(
    model: Transducer, frames: Tensor, frame_lens: Tensor, config: DecodeConfig, scorer: Optional[Scorer]
) -> List[List[Hypothesis]]:
    encoded = model.encode(frames, frame_lens)
    return search_nbest(config.decoding_method, model, encoded.encoder_out, encoded.lens, config, scorer)


def transcripts_of(cuts: CutSet, found: Dict[str, List[Hypothesis]], text_encoder: TextEncoder) -> List[Transcript]:
    """The best hypothesis of each cut as words, in the order of `cuts`."""

    def words(cut_id: str) -> Tuple[str, ...]:
        return tuple(words_in(text_encoder.decode(found[cut_id][0].labels))) if cut_id in found else ()

    return [Transcript(cut.id, tuple(words_in(text_of(cut))), words(cut.id)) for cut in cuts]


def language_by_cut(cuts: CutSet) -> Dict[str, str]:
    """Language of each cut's first supervision; "unknown" where none is given."""
    return {cut.id: (cut.supervisions[0].language if cut.supervisions else None) or "unknown" for cut in cuts}
