"""Errors of one streaming model with chunks of several sizes, beside those of whole utterances."""

from typing import Iterator, NamedTuple, Optional, Sequence, Tuple

from lhotse import CutSet

from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.metrics.wer import ErrorCounts, characters_of, total_errors, utterance_errors, words_themselves
from icefall_discrete.systems.asr.prediction import TrainedAsr
from icefall_discrete.systems.asr.recognition import WHOLE, StreamsConfig, recognise, transcripts_of
from icefall_discrete.systems.prediction import RunConfig


class ChunkErrors(NamedTuple):
    """Errors in words and characters; streams None: of whole utterances. rtf: seconds of work for one of audio."""

    streams: Optional[StreamsConfig]
    words: ErrorCounts
    characters: ErrorCounts
    rtf: float


def errors_by_chunk(
    trained: TrainedAsr,
    cuts: CutSet,
    config: DecodeConfig,
    run: RunConfig,
    shapes: Sequence[Tuple[int, int]],
) -> Iterator[ChunkErrors]:
    """Yield the errors on whole utterances, then those in streams of each shape.

    Args:
      config: a search that streams can do. shapes: chunk size and left context, in frames at the encoder's input.
    """
    shaped = [StreamsConfig(chunk_size=size, left_context_frames=left, streaming=True) for size, left in shapes]
    rules = ScoringRules()
    for streams in (None, *shaped):
        title = "whole utterances" if streams is None else streams.suffix
        found, facts = recognise(
            trained.network, cuts, trained.spec, config, run, title, streams=WHOLE if streams is None else streams
        )
        said = [rules.scored(one) for one in transcripts_of(cuts, found, trained.targets.text_encoder)]
        words, characters = (
            total_errors(utterance_errors(said, symbols).values()) for symbols in (words_themselves, characters_of)
        )
        yield ChunkErrors(streams, words, characters, facts["decode_rtf"])
