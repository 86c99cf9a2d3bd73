"""Cuts in, transcripts out: batches, encoder, search and text, with a progress bar and a count of what is too short."""

import dataclasses
import functools
import itertools
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from torch import Tensor

from icefall_discrete.base.settings import setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_frames, text_of
from icefall_discrete.data.dataset import Batch, batch_key
from icefall_discrete.decoding.hypothesis import Hypothesis
from icefall_discrete.decoding.scorer import Scorer
from icefall_discrete.decoding.search import search_nbest
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.metrics.wer import Transcript
from icefall_discrete.systems.asr.recogs import SaidText
from icefall_discrete.systems.asr.streaming_model import StreamingConfig
from icefall_discrete.systems.asr.streaming_recognizer import RecognitionStream, StreamingRecognizer
from icefall_discrete.systems.asr.transducer import Transducer
from icefall_discrete.systems.prediction import RunConfig, in_batches, predict_cuts
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.text.words import plain_spaces, words_in

ScorerOfBatch = Callable[[Dict[str, Any]], Optional[Scorer]]


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


def recognise(
    model: Transducer,
    cuts: CutSet,
    spec: FeatureSpec,
    config: DecodeConfig,
    run: RunConfig,
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
      `config.nbest` hypotheses by cut id, best first, and the facts of `predict_cuts`.
    """
    device = run.torch_device()

    def search(batch: Batch) -> List[List[Hypothesis]]:
        scorer = scorer_of(batch) if scorer_of is not None else None
        frames, lens = batch[batch_key(spec)].to(device), batch["frame_lens"].to(device)
        return _search_batch(model, frames, lens, config, scorer)

    def say(kept: List[Cut]) -> Iterator[Tuple[str, List[Hypothesis]]]:
        if not streams.streaming:
            return in_batches(search, kept, spec, run)
        return _found_in_streams(model, kept, spec, config, streams, scorer_of)

    return predict_cuts(say, model.config, cuts, spec, title)


def _found_in_streams(
    model: Transducer,
    cuts: Sequence[Cut],
    spec: FeatureSpec,
    config: DecodeConfig,
    streams: StreamsConfig,
    scorer_of: Optional[ScorerOfBatch],
) -> Iterator[Tuple[str, List[Hypothesis]]]:
    """The hypothesis of each cut, recognised chunk by chunk; a cut that ends makes room for the next."""
    of_cut = None if scorer_of is None else functools.partial(_scorer_of_cut, scorer_of)
    recognizer = StreamingRecognizer(model, spec, streams, config, of_cut)
    dtype = torch.int64 if spec.kind == "codes" else torch.float32
    waiting = iter(cuts)
    running: List[Tuple[Cut, RecognitionStream]] = []
    while True:
        for cut in itertools.islice(waiting, streams.num_decode_streams - len(running)):
            stream = recognizer.open(cut.id)
            stream.push(torch.from_numpy(load_frames(cut, spec)).to(dtype))
            stream.finish()
            running.append((cut, stream))
        if not running:
            return
        recognizer.step([stream for _, stream in running])
        for cut, stream in running:
            if stream.is_done:
                yield cut.id, [recognizer.hypothesis(stream)]
        running = [(cut, stream) for cut, stream in running if not stream.is_done]


def _scorer_of_cut(scorer_of: ScorerOfBatch, cut_id: str) -> Optional[Scorer]:
    return scorer_of({"cut_ids": [cut_id]})


@torch.no_grad()
def _search_batch(
    model: Transducer, frames: Tensor, frame_lens: Tensor, config: DecodeConfig, scorer: Optional[Scorer]
) -> List[List[Hypothesis]]:
    encoded = model.encode(frames, frame_lens)
    return search_nbest(config.decoding_method, model, encoded.encoder_out, encoded.lens, config, scorer)


def texts_of(cuts: CutSet, found: Dict[str, List[Hypothesis]], text_encoder: TextEncoder) -> List[SaidText]:
    """The best hypothesis of each cut as text, in the order of `cuts`; single spaces between what they divide."""

    def text(cut_id: str) -> str:
        return text_encoder.decode(found[cut_id][0].labels) if cut_id in found else ""

    return [SaidText(cut.id, plain_spaces(text_of(cut)), plain_spaces(text(cut.id))) for cut in cuts]


def transcripts_of(cuts: CutSet, found: Dict[str, List[Hypothesis]], text_encoder: TextEncoder) -> List[Transcript]:
    """The best hypothesis of each cut as words, in the order of `cuts`."""
    return in_words(texts_of(cuts, found, text_encoder))


def in_words(texts: Sequence[SaidText]) -> List[Transcript]:
    """The words of the texts."""
    return [Transcript(cut_id, tuple(words_in(ref)), tuple(words_in(hyp))) for cut_id, ref, hyp in texts]


def language_by_cut(cuts: CutSet) -> Dict[str, str]:
    """Language of each cut's first supervision; "unknown" where none is given."""
    return {cut.id: (cut.supervisions[0].language if cut.supervisions else None) or "unknown" for cut in cuts}
