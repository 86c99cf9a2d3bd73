"""The network: a front end, an encoder that does not see some of its frames, and scores of units.

Hsu et al. 2021, https://arxiv.org/abs/2106.07447: the score of a unit is the cosine of the projected state and of the
unit's vector, divided by a temperature; k2SSL (https://arxiv.org/abs/2411.17100) and VietASR
(https://arxiv.org/abs/2505.21527) have a linear layer in its place. Of samples, frames are hidden behind the
convolutions, as published; of features before the front end, as VietASR does, so that it cannot tell what was there.
The encoder is any that keeps the frame rate. Letters: N utterances, T frames of F samples or features, T' frames of the
front end, U units of an utterance, V different ones, M frames, P of the comparison, D dimensions of the encoder.
"""

import dataclasses
from typing import NamedTuple, Optional, Sequence, Tuple

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
from icefall_discrete.nn.lengths import padding_mask
from icefall_discrete.systems.acoustic import require_every_frame, require_samples

COSINE, LINEAR = "cosine", "linear"


@dataclasses.dataclass(frozen=True)
class ModelConfig(AcousticEncoderConfig):
    """Shape of the network: front end, encoder, and how states and units are compared."""

    comparison: str = setting(
        COSINE,
        "scores of units: cosine: of projected states with a vector of each unit; linear: a linear layer of states "
        "(k2SSL, VietASR)",
        choices=(COSINE, LINEAR),
    )
    target_dim: int = setting(
        256, "cosine: dimension in which states and units are compared (large models: 768)", minimum=1
    )
    logit_temperature: float = setting(0.1, "scores are divided by this", minimum=LEAST_TEMPERATURE)


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
      spec: of the samples or features. units: of what is to be found.
    """

    config: ModelConfig

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
        states, count = config.encoder.out_dim, units.codebook_sizes[0]
        if config.comparison == LINEAR:
            self.score_states = nn.Linear(states, count)
        else:
            self.project_states = nn.Linear(states, config.target_dim)
            self.unit_vectors = nn.Parameter(torch.empty(count, config.target_dim).uniform_())
        if not isinstance(self.front_end, WaveformFrontEnd):  # which has one of its own
            self.mask_vector = nn.Parameter(torch.empty(input_embedding.out_dim).uniform_())

    def logits(self, states: Tensor) -> Tensor:
        """Scores (M, V) of states (M, D) of the encoder."""
        if self.config.comparison == LINEAR:
            return self.score_states(states).float() / self.config.logit_temperature
        projected = F.normalize(self.project_states(states).float(), dim=1)
        return projected @ F.normalize(self.unit_vectors.float(), dim=1).t() / self.config.logit_temperature

    def units_of_frames(self, units: Tensor, num_frames: int) -> Tensor:
        """The unit of each frame (N, T'), -1 where there is none, of units (N, U), -1 behind ends.

        Frame t has unit floor(t times the units of a frame), as fairseq's.
        """
        places = (torch.arange(num_frames, device=units.device) * self.units_each + 1e-6).long()
        return F.pad(units, (0, max(0, int(places[-1]) + 1 - units.shape[1])), value=-1)[:, places]

    def hear(self, frames: Tensor, lens: Tensor, hidden: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """What the encoder sees, (N, T', D), its lengths (N,), and the mean square of the front end's frames.

        Args:
          frames: (N, T, F), zeros behind ends; lens (N,). hidden: (N, T') bool.
        """
        if isinstance(self.front_end, WaveformFrontEnd):
            heard = self.front_end.hear(self.input_embedding(frames), lens)
            vectors = self.front_end.vectors(heard.frames)
            covered = F.pad(hidden, (0, vectors.shape[1] - hidden.shape[1]))
            return self.front_end.hide(vectors, covered), heard.lens, heard.penalty
        x = self.input_embedding(frames)
        covered = self.covered(hidden, lens, x.shape[1])
        x = torch.where(covered.unsqueeze(2), self.mask_vector.to(x.dtype), x)
        vectors, lens = self.front_end(x, lens)
        padding = padding_mask(lens, vectors.shape[1])
        present = vectors if padding is None else vectors[~padding]
        return vectors, lens, present.float().pow(2).mean()

    def covered(self, hidden: Tensor, lens: Tensor, num_frames: int) -> Tensor:
        """Which of T input frames (N, T) are hidden: S of them for each hidden frame (N, T') of the front end.

        What is left at an end goes with the last frame, which hears it; nothing behind ends `lens` (N,) is hidden.
        """
        config = self.config.front_end
        places = torch.arange(num_frames, device=hidden.device).expand(len(hidden), -1)
        last = (config.frames_out(lens) - 1).clamp(min=0).unsqueeze(1)
        return hidden.gather(1, torch.minimum(places // config.stride, last)) & (places < lens.unsqueeze(1))

    def know(self, frames: Tensor, lens: Tensor, units: Tensor, hidden: Tensor) -> Known:
        """Look for the units of frames.

        Args:
          frames: (N, T, F), zeros behind ends; lens (N,). units: (N, U), -1 behind ends. hidden: (N, T') bool.
        """
        with self._learning():
            vectors, lens, penalty = self.hear(frames, lens, hidden)
            states = self.encoder(vectors, lens).encoder_out
        num_frames = vectors.shape[1]
        hidden = F.pad(hidden, (0, num_frames - hidden.shape[1]))
        wanted = self.units_of_frames(units, num_frames)
        present = (torch.arange(num_frames, device=wanted.device) < lens.unsqueeze(1)) & (wanted >= 0)
        logits = self.logits(states[present])
        rows, of_hidden = present.nonzero()[:, 0], hidden[present].to(logits.dtype)
        nats = F.cross_entropy(logits, wanted[present], reduction="none")
        correct = (logits.detach().argmax(dim=1) == wanted[present]).to(logits.dtype)
        zeros = logits.new_zeros(len(lens))
        each = (nats * of_hidden, of_hidden, correct * of_hidden, nats * (1 - of_hidden), 1 - of_hidden)
        lost, count, found, seen_lost, seen = (zeros.index_add(0, rows, one) for one in each)
        return Known(lost, count, found, seen_lost, seen, penalty)


def build_hubert(
    config: ModelConfig, spec: FeatureSpec, units: FeatureSpec, codebooks: Optional[Sequence[Tensor]] = None
) -> Hubert:
    """The network for samples or features as `spec` has them, and for those units.

    Raises:
      ValueError: for codes, for a front end that hears something else, and for an encoder that makes one frame of
        several.
    """
    if spec.kind != "continuous":
        raise ValueError(
            f"'{spec.name}' are codes, and HuBERT hears samples or features; take waveform or fbank, or system "
            "discrete_bert."
        )
    if config.front_end.reads_samples:
        require_samples(config, "HuBERT")
    require_every_frame(config, "HuBERT")
    if config.input.learned_codes or config.input.input_positions:
        raise ValueError("HuBERT hears features as they are: set learned_codes to 0, and input_positions to false.")
    embedding = build_input_embedding(config.input, spec, codebooks)
    return Hubert(config, embedding, EmbeddingAugment(AugmentConfig(augment_prob=0.0)), spec, units)
