"""The network: convolutions over samples, an encoder that does not see some of their frames, and quantised targets.

Baevski et al. 2020, https://arxiv.org/abs/2006.11477. The encoder is any that keeps the frame rate; a recogniser can
begin with it and with the front end. Letters: N utterances, T frames of F samples, T' frames of the front end, M hidden
ones of all utterances, K negatives of each, D dimensions of the encoder, P of the comparison.
"""

import dataclasses
from typing import NamedTuple, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import LEAST_TEMPERATURE, choice, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.nn.acoustic_encoder import AcousticEncoder, AcousticEncoderConfig
from icefall_discrete.nn.code_embedding import EmbeddingAugment, InputEmbedding
from icefall_discrete.nn.frame_network import build_input_embedding
from icefall_discrete.nn.front_ends.waveform import WaveformFrontEnd
from icefall_discrete.nn.quantizers.contract import QUANTIZERS, QuantizerConfig
from icefall_discrete.systems.acoustic import require_samples
from icefall_discrete.systems.negatives import Drawn


@dataclasses.dataclass(frozen=True)
class ModelConfig(AcousticEncoderConfig):
    """Shape of the network: front end, encoder, quantizer, and the space where states and targets are compared."""

    quantizer: QuantizerConfig = choice("gumbel", "from frames of the front end to targets", QUANTIZERS)
    target_dim: int = setting(256, "dimension in which states and targets are compared (large models: 768)", minimum=1)
    target_dropout: float = setting(0.1, "dropout rate of the frames that are quantised", minimum=0, maximum=0.99)
    logit_temperature: float = setting(0.1, "cosines are divided by this", minimum=LEAST_TEMPERATURE)


class Contrast(NamedTuple):
    """Of each utterance (N,): nats lost over its hidden frames, hidden frames, and those that were told from all of
    their negatives. perplexity: of the codes; quantizer_loss; penalty: mean square of the front end's frames."""

    nats: Tensor
    hidden: Tensor
    correct: Tensor
    perplexity: Tensor
    quantizer_loss: Tensor
    penalty: Tensor


class Wav2Vec2(AcousticEncoder):
    """Front end, encoder, and what compares states with quantised frames; arguments are those of AcousticEncoder."""

    config: ModelConfig
    front_end: WaveformFrontEnd

    def __init__(
        self,
        config: ModelConfig,
        input_embedding: InputEmbedding,
        augment: EmbeddingAugment,
        frame_rate_hz: float,
    ) -> None:
        super().__init__(config, input_embedding, augment, frame_rate_hz)
        self.quantizer = config.quantizer.build(self.front_end.config.channels)
        self.project_states = nn.Linear(config.encoder.out_dim, config.target_dim)
        self.project_targets = nn.Linear(config.quantizer.out_dim, config.target_dim)

    def logits(self, states: Tensor, targets: Tensor, codes: Tensor, negatives: Tensor) -> Tensor:
        """Scores (M, 1 + K) of each state's own target, and of its negatives; a negative that is its own has -inf.

        Args:
          states, targets: (M, P). codes: (M, G) of the targets. negatives: (M, K), rows of targets.
        """
        own = torch.arange(len(states), device=states.device).unsqueeze(1)
        rows = torch.cat([own, negatives], dim=1)
        # All pairs, also of different utterances: cheaper than as many vectors as there are negatives.
        cosines = F.normalize(states.float(), dim=1) @ F.normalize(targets.float(), dim=1).t()
        logits = cosines.gather(1, rows) / self.config.logit_temperature
        same = (codes.unsqueeze(1) == codes[negatives]).all(dim=2)
        return torch.cat([logits[:, :1], logits[:, 1:].masked_fill(same, float("-inf"))], dim=1)

    def contrast(self, frames: Tensor, lens: Tensor, drawn: Drawn, step: int) -> Contrast:
        """Compare hidden frames with what is heard of the others.

        Args:
          frames: (N, T, F), zeros behind ends; lens (N,). drawn: what is hidden, of T' frames. step: of the optimiser.
        """
        with self._learning():
            heard = self.front_end.hear(self.input_embedding(frames), lens)
            hidden = F.pad(drawn.hidden, (0, heard.frames.shape[1] - drawn.hidden.shape[1]))
            vectors = self.front_end.hide(self.front_end.vectors(heard.frames), hidden)
            encoder_out = self.encoder(vectors, heard.lens).encoder_out
        states = self.project_states(encoder_out[hidden])
        dropped = F.dropout(heard.frames[hidden], self.config.target_dropout, self.training)
        quantised = self.quantizer(dropped, step)
        logits = self.logits(states, self.project_targets(quantised.vectors), quantised.codes, drawn.negatives)
        nats = F.cross_entropy(logits, torch.zeros_like(drawn.negatives[:, 0]), reduction="none")
        scores = logits.detach()
        told = (scores.argmax(dim=1) == 0) & scores[:, 1:].isfinite().any(dim=1)
        rows = hidden.nonzero()[:, 0]
        zeros = nats.new_zeros(len(lens))
        lost, count, correct = (
            zeros.index_add(0, rows, one) for one in (nats, torch.ones_like(nats), told.to(nats.dtype))
        )
        return Contrast(lost, count, correct, quantised.perplexity, quantised.loss, heard.penalty)


def build_wav2vec2(config: ModelConfig, spec: FeatureSpec, codebooks: Optional[Sequence[Tensor]] = None) -> Wav2Vec2:
    """The network for samples as `spec` has them.

    Raises:
      ValueError: for another front end, and for an encoder that makes one frame of several.
    """
    require_samples(config, "wav2vec 2.0")
    embedding = build_input_embedding(config.input, spec, codebooks)
    return Wav2Vec2(config, embedding, EmbeddingAugment(AugmentConfig(augment_prob=0.0)), spec.frame_rate_hz)
