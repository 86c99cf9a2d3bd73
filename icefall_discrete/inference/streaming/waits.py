"""How long audio waits before its text can be known, whatever computes it."""

from typing import NamedTuple

from icefall_discrete.audio.as_it_comes import Reach
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.systems.asr.streaming_model import StreamingConfig
from icefall_discrete.systems.asr.transducer import Transducer
from icefall_discrete.tokenizers.contract import SpeechTokenizer


class Waits(NamedTuple):
    """Seconds: a chunk is recognised when it is whole, and what model and tokenizer look ahead of it is there."""

    chunk_sec: float
    model_sec: float
    tokenizer_sec: float

    @property
    def longest_sec(self) -> float:
        """What the first frame of a chunk waits; on average it is half a chunk less."""
        return sum(self)


def causal_reach(tokenizer: SpeechTokenizer) -> Reach:
    """What a frame of the tokenizer hears. Raises ValueError if that is no bounded part of the audio."""
    if tokenizer.reach is None:
        raise ValueError(
            f"feature type '{tokenizer.name}' hears the whole utterance before its first frame is made, so it cannot "
            "stream; train with one that is made while audio comes: fbank, mfcc, dmel, or k-means on fbank or mfcc."
        )
    return tokenizer.reach


def waits_of(model: Transducer, spec: FeatureSpec, reach: Reach, streaming: StreamingConfig) -> Waits:
    """What a causal model on frames of such a reach waits for."""
    input_sec = model.config.encoder_frame_sec(spec) / model.config.encoder.stride
    look_ahead_sec = reach.look_ahead_sec(spec.sample_rate_hz)
    return Waits(streaming.chunk_size * input_sec, model.front_end.window.reach * input_sec, look_ahead_sec)
