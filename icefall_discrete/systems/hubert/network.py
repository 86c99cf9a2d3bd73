"""The network: convolutions over samples, an encoder that does not see some of their frames, and scores of units.

Hsu et al. 2021, https://arxiv.org/abs/2106.07447: the score of a unit is the cosine of the projected state and of the
unit's vector, divided by a temperature. The encoder is any that keeps the frame rate. Letters: N utterances, T frames
of F samples, T' frames of the front end, U units of an utterance, V different ones, M frames, P of the comparison.
"""

import dataclasses
from typing import NamedTuple, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import LEAST_TEMPERATURE, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.nn.acoustic_encoder import AcousticEncoder, AcousticEncoderConfig
from icefall_discrete.nn.code_embedding import EmbeddingAugment, InputEmbedding
from icefall_discrete.nn.frame_network import build_input_embedding
from icefall_discrete.nn.front_ends.waveform import WaveformFrontEnd
from icefall_discrete.systems.acoustic import require_samples


@dataclasses.dataclass(frozen=True)
class ModelConfig(AcousticEncoderConfig):
    """Shape of the network: front end, encoder, and the space where states and units are compared."""

    target_dim: int = setting(256, "dimension in which states and units are compared (large models: 768)", minimum=1)
    logit_temperature: float = setting(0.1, "cosines are divided by this", minimum=LEAST_TEMPERATURE)


class Known(NamedTuple):
    """Of each utterance (N,): nats lost over hidden frames, hidden frames, and those whose unit was found; nats lost
    over the others, and others. penalty: mean square of the front end's frames."""

    nats: Tensor
    hidden: Tensor
    correct: Tensor
    seen_nats: Tensor
    seen: Tensor
    penalty: Tensor


class Hubert(AcousticEncoder):
    """Front end, encoder and vectors of units; arguments are those of AcousticEncoder.

    Args:
      spec: of the samples. units: of what is to be found.
    """

    config: ModelConfig
    front_end: WaveformFrontEnd

    def __init__(
        self,
        config: ModelConfig,
        input_embedding: InputEmbedding,
        augment: EmbeddingAugment,
        spec: FeatureSpec,
        units: FeatureSpec,
    ) -> None:
        super().__init__(config, input_embedding, augment, spec.frame_rate_hz)
        self.units = units
        self.units_each = units.frame_rate_hz * config.encoder_frame_sec(spec)
        self.project_states = nn.Linear(config.encoder.out_dim, config.target_dim)
        self.unit_vectors = nn.Parameter(torch.empty(units.codebook_sizes[0], config.target_dim).uniform_())

    def logits(self, states: Tensor) -> Tensor:
        """Scores (M, V) of states (M, D) of the encoder."""
        projected = F.normalize(self.project_states(states).float(), dim=1)
        return projected @ F.normalize(self.unit_vectors.float(), dim=1).t() / self.config.logit_temperature

    def units_of_frames(self, units: Tensor, num_frames: int) -> Tensor:
        """The unit of each frame (N, T'), -1 where there is none, of units (N, U), -1 behind ends.

        Frame t has unit floor(t times the units of a frame), as fairseq's.
        """
        places = (torch.arange(num_frames, device=units.device) * self.units_each + 1e-6).long()
        return F.pad(units, (0, max(0, int(places[-1]) + 1 - units.shape[1])), value=-1)[:, places]

    def know(self, frames: Tensor, lens: Tensor, units: Tensor, hidden: Tensor) -> Known:
        """Look for the units of frames.

        Args:
          frames: (N, T, F), zeros behind ends; lens (N,). units: (N, U), -1 behind ends. hidden: (N, T') bool.
        """
        heard = self.front_end.hear(self.input_embedding(frames), lens)
        num_frames = heard.frames.shape[1]
        hidden = F.pad(hidden, (0, num_frames - hidden.shape[1]))
        vectors = self.front_end.hide(self.front_end.vectors(heard.frames), hidden)
        states = self.encoder(vectors, heard.lens).encoder_out
        wanted = self.units_of_frames(units, num_frames)
        present = (torch.arange(num_frames, device=wanted.device) < heard.lens.unsqueeze(1)) & (wanted >= 0)
        logits = self.logits(states[present])
        rows, of_hidden = present.nonzero()[:, 0], hidden[present].to(logits.dtype)
        nats = F.cross_entropy(logits, wanted[present], reduction="none")
        correct = (logits.detach().argmax(dim=1) == wanted[present]).to(logits.dtype)
        zeros = logits.new_zeros(len(lens))
        each = (nats * of_hidden, of_hidden, correct * of_hidden, nats * (1 - of_hidden), 1 - of_hidden)
        lost, count, found, seen_lost, seen = (zeros.index_add(0, rows, one) for one in each)
        return Known(lost, count, found, seen_lost, seen, heard.penalty)


def build_hubert(
    config: ModelConfig, spec: FeatureSpec, units: FeatureSpec, codebooks: Optional[Sequence[Tensor]] = None
) -> Hubert:
    """The network for samples as `spec` has them, and for those units.

    Raises:
      ValueError: for another front end, and for an encoder that makes one frame of several.
    """
    require_samples(config, "HuBERT")
    embedding = build_input_embedding(config.input, spec, codebooks)
    return Hubert(config, embedding, EmbeddingAugment(AugmentConfig(augment_prob=0.0)), spec, units)
