"""The network: convolutions over samples, a context of what was heard, and frames ahead that it tells from others.

CPC, https://arxiv.org/abs/1807.03748, section 2.3, as CPC_audio trains it (https://arxiv.org/abs/2002.02848); wav2vec,
https://arxiv.org/abs/1904.05862, equation 1; vq-wav2vec, https://arxiv.org/abs/1910.05453, where frames are codes'
vectors. Letters: N utterances, T frames of F samples, T' frames of the front end, D their dimension, H steps ahead,
K negatives.
"""

import dataclasses
from typing import NamedTuple, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import check_settings, choice, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.nn.acoustic_encoder import AcousticEncoder, AcousticEncoderConfig
from icefall_discrete.nn.code_embedding import EmbeddingAugment, InputEmbedding
from icefall_discrete.nn.encoders.bilstm.config import BilstmConfig
from icefall_discrete.nn.encoders.wav2vec.config import Wav2VecConfig
from icefall_discrete.nn.frame_network import build_input_embedding
from icefall_discrete.nn.front_ends.wav2vec import Wav2VecFrontEnd, Wav2VecFrontEndConfig
from icefall_discrete.nn.lengths import Lens
from icefall_discrete.nn.utterance_frames import UtteranceFrames
from icefall_discrete.systems.predictive_coding.predictors import PREDICTORS, LinearPredictor, PredictorConfig


@dataclasses.dataclass(frozen=True)
class ModelConfig(AcousticEncoderConfig):
    """Shape of the network, and how frames ahead are told; the defaults are wav2vec's."""

    steps: int = setting(12, "how many frames ahead are told (H)", minimum=1)
    first_step: int = setting(
        3,
        "how far ahead the first of them is; 3 is the first that shares no sample in fairseq's wav2vec (CPC: 1)",
        minimum=1,
    )
    same_contexts: bool = setting(
        False, "each step is told from the frames that have all steps ahead (CPC), not from all that have it"
    )
    objective: str = setting(
        "binary",
        "binary: each frame is the one ahead or it is not (wav2vec); softmax: which of all is it (CPC)",
        choices=("binary", "softmax"),
    )
    score: str = setting(
        "product", "of a prediction and a frame: their product, or its mean over dimensions (CPC)", ("product", "mean")
    )
    step_bias: bool = setting(True, "predictions have a bias, one for all steps (CPC: none)")
    predictor: PredictorConfig = choice(
        "linear", "what tells each step from the context: a matrix, or a layer that looks back (CPC)", PREDICTORS
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def last_step(self) -> int:
        """How far ahead the last frame is."""
        return self.first_step + self.steps - 1

    def num_encoder_frames(self, num_frames: Lens, spec: Optional[FeatureSpec] = None) -> Lens:
        """Frames T' from which one ahead is told, never below 0: one of the last few has nothing ahead."""
        ahead = self.last_step if self.same_contexts else self.first_step
        frames = super().num_encoder_frames(num_frames, spec) - ahead
        return max(frames, 0) if isinstance(frames, int) else frames.clamp(min=0)


class Told(NamedTuple):
    """Of each utterance (N,): nats lost over its pairs of a frame and one ahead, such pairs, and those where the frame
    ahead scored above all negatives of other codes. perplexity: of codes; quantizer_loss; both 0 without codes."""

    nats: Tensor
    hidden: Tensor
    correct: Tensor
    perplexity: Tensor
    quantizer_loss: Tensor


class PredictiveCoding(AcousticEncoder):
    """Front end, context, and a prediction of each step ahead; arguments are those of AcousticEncoder."""

    config: ModelConfig
    front_end: Wav2VecFrontEnd

    def __init__(
        self,
        config: ModelConfig,
        input_embedding: InputEmbedding,
        augment: EmbeddingAugment,
        frame_rate_hz: float,
    ) -> None:
        super().__init__(config, input_embedding, augment, frame_rate_hz)
        dim = self.front_end.config.out_dim
        self.predictor = config.predictor.build(config.encoder.out_dim, dim, config.steps)
        self.step_bias = nn.Parameter(torch.zeros(dim)) if config.step_bias else None
        if config.score == "product" and isinstance(self.predictor, LinearPredictor):
            # Sums over all dimensions: as small as fairseq begins them.
            bound = (dim * config.steps) ** -0.5
            nn.init.uniform_(self.predictor.weight, -bound, bound)

    def predicted(self, states: Tensor) -> Tensor:
        """What is to be heard (N, T', H, D) ahead of states (N, T', E)."""
        said = self.predictor(states)
        return said if self.step_bias is None else said + self.step_bias

    def nats(self, scores: Tensor) -> Tensor:
        """Nats lost (...) of scores (..., 1 + K), that of the frame ahead first."""
        if self.config.objective == "softmax":
            return -scores.log_softmax(dim=-1)[..., 0]
        return F.softplus(-scores[..., 0]) + F.softplus(scores[..., 1:]).sum(dim=-1)

    def contrast(self, frames: Tensor, lens: Tensor, negatives: Tensor, step: int) -> Told:
        """Tell frames ahead from others.

        Args:
          frames: (N, T, F), zeros behind ends; lens (N,). negatives: (N, T', K), of each frame numbers of others of its
            utterance, which it is told from wherever it is ahead. step: of the optimiser.
        """
        config = self.config
        with self._learning():
            heard = self.front_end.hear(self.input_embedding(frames), lens, step)
            states = self.encoder(self.front_end.vectors(heard.frames), heard.lens).encoder_out
        said, found = self.predicted(states).float(), heard.frames.float()
        num_frames = found.shape[1]
        rows = torch.arange(len(found), device=found.device).view(-1, 1, 1)
        others = F.pad(negatives, (0, 0, 0, num_frames - negatives.shape[1]))
        candidates = torch.cat([found.unsqueeze(2), found[rows, others]], dim=2)
        if config.score == "mean":
            said = said / found.shape[2]
        quantized = heard.quantized
        same = torch.zeros_like(others, dtype=torch.bool)
        if quantized is not None:
            codes = UtteranceFrames(heard.lens, num_frames).spread(quantized.codes)
            same = (codes[rows, others] == codes.unsqueeze(2)).all(dim=3)
        nats = hidden = correct = found.new_zeros(len(found))
        for ahead in range(config.first_step, min(config.last_step, num_frames - 1) + 1):
            own = said[:, : num_frames - ahead, ahead - config.first_step]
            scores = torch.einsum("ntd,ntkd->ntk", own, candidates[:, ahead:])
            least = config.last_step if config.same_contexts else ahead
            place = torch.arange(num_frames - ahead, device=found.device)
            is_told = place < (heard.lens - least).unsqueeze(1)
            nats = nats + self.nats(scores).masked_fill(~is_told, 0.0).sum(dim=1)
            hidden = hidden + is_told.sum(dim=1)
            equal = same[:, ahead:]
            first = ((scores[..., :1] > scores[..., 1:]) | equal).all(dim=2) & ~equal.all(dim=2)
            correct = correct + (first & is_told).sum(dim=1)
        none = nats.new_zeros(())
        more = (none, none) if quantized is None else (quantized.perplexity, quantized.loss)
        return Told(nats, hidden, correct, *more)


def build_predictive_coding(
    config: ModelConfig, spec: FeatureSpec, codebooks: Optional[Sequence[Tensor]] = None
) -> PredictiveCoding:
    """The network for samples as `spec` has them.

    Raises:
      ValueError: for another front end, and for an encoder that hears what is ahead.
    """
    if not isinstance(config.front_end, Wav2VecFrontEndConfig):
        raise ValueError("predictive coding learns from samples, of front_end wav2vec; set --front-end wav2vec.")
    encoder = config.encoder
    one_way = isinstance(encoder, BilstmConfig) and not encoder.bidirectional
    if config.input.input_frame_rate_hz or not (one_way or isinstance(encoder, Wav2VecConfig)):
        raise ValueError(
            "predictive coding tells what is ahead, which its encoder must not have heard: take encoder wav2vec, or "
            "bilstm with bidirectional false, and input_frame_rate_hz 0."
        )
    embedding = build_input_embedding(config.input, spec, codebooks)
    return PredictiveCoding(config, embedding, EmbeddingAugment(AugmentConfig(augment_prob=0.0)), spec.frame_rate_hz)
