"""The network of a vocoder: vectors of codes beside that of the voice, and a generator of the waveform.

A generator may have a front end, which looks at the whole utterance and at a prompt, and expects prosody.

Letters: N utterances, T frames, K codebooks, U units, F samples of a frame.
"""

import dataclasses
from typing import Optional, Sequence

import torch
from torch import Tensor, nn

from icefall_discrete.base.settings import check_settings, choice, section, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.speech import frame_samples
from icefall_discrete.nn.code_embedding import InputEmbedding
from icefall_discrete.nn.durations import DurationPredictor
from icefall_discrete.nn.frame_network import FrameNetwork, InputConfig, build_input_embedding
from icefall_discrete.nn.generators.contract import GENERATORS, Fronted, FrontEnd, GeneratorConfig, Prompt
from icefall_discrete.nn.lengths import Lens
from icefall_discrete.nn.log_mel import LogMel


@dataclasses.dataclass(frozen=True)
class DurationConfig:
    """How long units last, for codes whose repetitions are left out."""

    predict_durations: bool = setting(False, "learn how long each unit lasts, for codes without repetitions")
    duration_dim: int = setting(128, "width of the network that predicts it", minimum=1)
    duration_kernel: int = setting(3, "kernel of its two convolutions", minimum=1)
    duration_dropout: float = setting(0.5, "dropout behind each", minimum=0, maximum=1)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.duration_kernel % 2 == 0:
            raise ValueError(f"duration_kernel is {self.duration_kernel}, expected an odd number.")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Shape of the vocoder."""

    input: InputConfig = section(InputConfig, "from codes or features to vectors")
    generator: GeneratorConfig = choice("vocos", "network from the vectors of frames to the waveform", GENERATORS)
    voice_dim: int = setting(64, "size of the vector of a voice beside that of each frame; 0: none", minimum=0)
    durations: DurationConfig = section(DurationConfig, "how long units last")

    def __post_init__(self) -> None:
        check_settings(self)
        for name in ("input_frame_rate_hz", "input_positions"):
            if getattr(self.input, name):
                raise ValueError(f"{name} is {getattr(self.input, name)}, which a vocoder has no use for; set it to 0.")

    def num_encoder_frames(self, num_frames: Lens, spec: Optional[FeatureSpec] = None) -> Lens:
        """As many as there are."""
        return num_frames


class Vocoder(FrameNetwork):
    """See the module.

    Args:
      input_embedding: of codes or features. num_voices: rows of the table of voices. spec: of the input.
    """

    def __init__(
        self, config: ModelConfig, input_embedding: InputEmbedding, num_voices: int, spec: FeatureSpec
    ) -> None:
        super().__init__()
        self.config = config
        self.sample_rate_hz, self.frame_samples = spec.sample_rate_hz, frame_samples(spec)
        self.input_embedding = input_embedding
        self.voices = nn.Embedding(num_voices, config.voice_dim) if config.voice_dim else None
        self.generator = config.generator.build(input_embedding.out_dim + config.voice_dim, self.frame_samples)
        self.log_mel: Optional[LogMel] = None
        if self.generator.front is not None:
            self.log_mel = LogMel(spec.sample_rate_hz, self.frame_samples, self.generator.front.prompt_bins)
        self.durations: Optional[DurationPredictor] = None
        said = config.durations
        if said.predict_durations:
            sizes = (said.duration_dim, said.duration_kernel, said.duration_dropout)
            self.durations = DurationPredictor(input_embedding.out_dim, *sizes)

    def vectors(self, frames: Tensor, voices: Tensor) -> Tensor:
        """Vectors (N, T, C) of codes (N, T, K) or features (N, T, D) in voices (N,), rows of their table."""
        x = self.input_embedding(frames)
        if self.voices is not None:
            x = torch.cat([x, self.voices(voices)[:, None].expand(-1, x.shape[1], -1)], dim=2)
        return x

    def forward(self, frames: Tensor, voices: Tensor) -> Tensor:
        """Audio (N, T F) of codes (N, T, K) or features (N, T, D) in voices (N,), where there is no front end."""
        return self.generator(self.vectors(frames, voices).transpose(1, 2))

    @property
    def front(self) -> FrontEnd:
        """The front end, of a vocoder that takes prompts."""
        assert self.generator.front is not None, "only a generator with a front end is asked for it"
        return self.generator.front

    @property
    def takes_prompt(self) -> bool:
        """Whether there is a front end."""
        return self.generator.front is not None

    def frames_in(self, seconds: float) -> int:
        """Frames of so much audio, one at least."""
        return max(1, round(seconds * self.sample_rate_hz / self.frame_samples))

    def fronted(
        self, frames: Tensor, voices: Tensor, lens: Tensor, prompt: Prompt, prosody: Optional[Tensor] = None
    ) -> Fronted:
        """What the front end makes of codes (N, T, K) or features (N, T, D) with lens (N,)."""
        return self.front(self.vectors(frames, voices), lens, prompt, prosody)

    def spoken(self, states: Tensor) -> Tensor:
        """Audio (N, T F) of states (N, T, C) of the front end."""
        return self.generator(states.transpose(1, 2))

    def prompt(self, audio: Tensor, lens: Tensor) -> Prompt:
        """The prompts that audio (N, S) is, with lens (N,) in samples. Raises ValueError if there is no front end."""
        if self.log_mel is None:
            raise ValueError("the generator of this vocoder takes no prompt; leave it away, or train one that does.")
        return Prompt(self.log_mel(audio), lens // self.frame_samples)

    def log_durations(self, units: Tensor, lens: Tensor) -> Tensor:
        """log(d + 1) (N, U) of the durations of units (N, U, K) with lens (N,).

        Raises ValueError if it was not trained to predict them.
        """
        if self.durations is None:
            raise ValueError("this vocoder does not predict durations; give them, or codes with their repetitions.")
        return self.durations(self.input_embedding(units), lens)


def build_vocoder(
    config: ModelConfig, spec: FeatureSpec, num_voices: int, codebooks: Optional[Sequence[Tensor]] = None
) -> Vocoder:
    """Build the network for input of `spec`; `codebooks` are as for build_input_embedding.

    Raises:
      ValueError: if the generator cannot make its frames, or durations of units are asked for where there are none.
    """
    if config.durations.predict_durations and spec.num_codebooks != 1:
        raise ValueError(
            f"predict_durations is true, but '{spec.name}' has {spec.num_codebooks} codebooks; durations are of the "
            "repetitions of units of one: set it to false."
        )
    embedding = build_input_embedding(config.input, spec, codebooks)
    return Vocoder(config, embedding, num_voices, spec)
