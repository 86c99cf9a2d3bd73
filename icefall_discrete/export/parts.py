"""A recogniser in parts that other runtimes call, with the names of inputs, outputs and metadata of icefall's exports.

Letters: N utterances, T input frames, T' encoder frames, K codebooks, D dimension, J dimension of the joiner, V units,
C labels of context, M rows of labels, U labels.
"""

import dataclasses
from typing import Callable, Dict, List, Mapping, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import padding_values
from icefall_discrete.nn.heads.attention_decoder import AttentionDecoder
from icefall_discrete.nn.heads.contract import (
    TransducerModel,
    has_attention_decoder,
    has_ctc,
    has_transducer,
    require_attention_decoder,
    require_ctc,
    require_transducer,
)
from icefall_discrete.onnx.folder import ATTENTION_DECODER, ATTENTION_ENCODER, CTC, DECODER, ENCODER, JOINER
from icefall_discrete.systems.asr.transducer import Transducer

VERSION = "1"
AUTHOR = "icefall_discrete"
# sherpa-onnx calls the architecture of our Zipformer so, and knows no other encoder of ours; that of whole utterances
# it runs whatever it is.
MODEL_TYPE = "zipformer2"
# Ends of the names of outputs that say how many frames there are: icefall has both.
LENS = ("_lens", "_len")


@dataclasses.dataclass(frozen=True)
class Part:
    """One network of an export.

    name: of its file, without suffix. module: takes the inputs in their order. example: N utterances of T frames (or of
    whatever the part reads) to inputs by name. outputs: their names. open_axes: of inputs and outputs, by name, the
    axes that may have any size, with the names of those sizes. metadata: what runtimes read from the file.
    tolerance: how far a file may be from PyTorch, of the largest number; float32 sums come in another order there.
    has_int8: whether its matrices are written with 8 bits too.
    """

    name: str
    module: nn.Module
    example: Callable[[int, int], Dict[str, Tensor]]
    outputs: Tuple[str, ...]
    open_axes: Mapping[str, Mapping[int, str]]
    metadata: Mapping[str, str]
    tolerance: float = 2e-3
    has_int8: bool = True


class _Utterances(nn.Module):
    """Input frames of whole utterances, encoded, and the head on them.

    What stands behind the end of an utterance in a batch is replaced by padding, so that it may be anything.
    """

    padding: Tensor

    def __init__(self, model: Transducer, spec: FeatureSpec, head: nn.Module, gives_log_probs: bool) -> None:
        super().__init__()
        self.model, self.head, self.gives_log_probs = model, head, gives_log_probs
        dtype = torch.int64 if spec.kind == "codes" else torch.float32
        self.register_buffer("padding", torch.tensor(padding_values(spec), dtype=dtype), persistent=False)

    def encoded(self, x: Tensor, x_lens: Tensor) -> Tuple[Tensor, Tensor]:
        """Encoder frames (N, T', D) and lens (N,)."""
        behind = torch.arange(x.shape[1]) >= x_lens.unsqueeze(1)
        x = torch.where(behind.unsqueeze(2), self.padding, x)
        encoder_out, lens, _ = self.model.encode(x, x_lens, ())
        return encoder_out, lens

    def headed(self, encoder_out: Tensor) -> Tensor:
        """What the head makes of (N, T', D)."""
        out = self.head(encoder_out)
        return out.log_softmax(dim=2) if self.gives_log_probs else out


class WholeEncoder(_Utterances):
    """Input frames of whole utterances to what a head makes of encoder frames."""

    def forward(self, x: Tensor, x_lens: Tensor) -> Tuple[Tensor, Tensor]:
        """Map x (N, T, K) or (N, T, D) with lens (N,) to (N, T', J or V) and its lens (N,)."""
        encoder_out, lens = self.encoded(x, x_lens)
        return self.headed(encoder_out), lens


class AttentionEncoder(_Utterances):
    """Input frames of whole utterances to encoder frames, and to what the CTC head makes of them if there is one."""

    def forward(self, x: Tensor, x_lens: Tensor) -> Tuple[Tensor, ...]:
        """Map x (N, T, K) or (N, T, D) with lens (N,) to (N, T', D), its lens (N,), and (N, T', V)."""
        encoder_out, lens = self.encoded(x, x_lens)
        heard = (self.headed(encoder_out),) if self.gives_log_probs else ()
        return (encoder_out, lens, *heard)


class AttentionDecoderPart(nn.Module):
    """The attention decoder on the encoder frames of one utterance and any number of texts, from their beginning."""

    def __init__(self, decoder: AttentionDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, encoder_out: Tensor, y: Tensor) -> Tensor:
        """Map (1, T', D) and labels (M, U) to log-probabilities (M, U + 1, V) of each label and of what follows."""
        frames = torch.ones_like(encoder_out[:, 0, 0], dtype=torch.int64) * encoder_out.shape[1]
        return self.decoder(encoder_out, frames, y).log_softmax(dim=2)


class PredictorPart(nn.Module):
    """The predictor with its projection."""

    def __init__(self, model: TransducerModel) -> None:
        super().__init__()
        self.predictor = model.predictor
        self.projection = model.joiner.decoder_proj

    def forward(self, y: Tensor) -> Tensor:
        """Map labels y (N, C), of which -1 is none, to (N, J)."""
        return self.projection(self.predictor(y, need_pad=False).squeeze(1))


class JoinerPart(nn.Module):
    """The joiner behind its projections."""

    def __init__(self, model: TransducerModel) -> None:
        super().__init__()
        self.output_linear = model.joiner.output_linear

    def forward(self, encoder_out: Tensor, decoder_out: Tensor) -> Tensor:
        """Map two (N, J) to logits (N, V)."""
        return self.output_linear(torch.tanh(encoder_out + decoder_out))


def input_example(spec: FeatureSpec, num: int, frames: int) -> Tensor:
    """Random input (N, T, K) or (N, T, D) of a kind that the spec promises."""
    if spec.kind == "codes":
        return torch.stack([torch.randint(size, (num, frames)) for size in spec.codebook_sizes], dim=2)
    return torch.randn(num, frames, spec.feature_dim)


def _encoder_part(name: str, encoder: nn.Module, spec: FeatureSpec, outputs: Tuple[str, ...], kind: str) -> Part:
    def example(num: int, frames: int) -> Dict[str, Tensor]:
        lens = torch.tensor([frames - 7 * (row % 2) for row in range(num)])
        return {"x": input_example(spec, num, frames), "x_lens": lens}

    open_axes = {"x": {0: "N", 1: "T"}, "x_lens": {0: "N"}}
    open_axes.update({name: {0: "N"} if name.endswith(LENS) else {0: "N", 1: "T_out"} for name in outputs})
    return Part(name, encoder, example, outputs, open_axes, metadata_of(kind, f"whole utterances, {spec.name}"))


def metadata_of(kind: str, comment: str) -> Dict[str, str]:
    """What every encoder's file says."""
    return {"model_type": kind, "version": VERSION, "model_author": AUTHOR, "comment": comment}


def transducer_heads(model: TransducerModel) -> List[Part]:
    """Predictor and joiner."""
    context_size, vocab_size = model.predictor.context_size, model.joiner.output_linear.out_features
    joiner_dim = model.joiner.output_linear.in_features

    def labels(num: int, frames: int) -> Dict[str, Tensor]:
        return {"y": torch.randint(-1, vocab_size, (num, context_size))}

    def projected(num: int, frames: int) -> Dict[str, Tensor]:
        return {"encoder_out": torch.randn(num, joiner_dim), "decoder_out": torch.randn(num, joiner_dim)}

    axes = {0: "N"}
    said = {"context_size": str(context_size), "vocab_size": str(vocab_size)}
    both = {"encoder_out": axes, "decoder_out": axes, "logit": axes}
    return [
        Part(DECODER, PredictorPart(model), labels, ("decoder_out",), {"y": axes, "decoder_out": axes}, said),
        Part(JOINER, JoinerPart(model), projected, ("logit",), both, {"joiner_dim": str(joiner_dim)}),
    ]


def attention_parts(model: Transducer, spec: FeatureSpec) -> List[Part]:
    """The attention decoder, and an encoder for it, with the CTC head if there is one."""
    decoder = require_attention_decoder(model, "an export").attention_decoder
    hears = has_ctc(model)
    head = require_ctc(model, "an export").ctc_output if hears else nn.Identity()
    outputs = ("encoder_out", "encoder_out_lens", *(("log_probs",) if hears else ()))
    encoder = AttentionEncoder(model, spec, head, hears)
    encoder_dim = model.config.encoder.out_dim

    def texts(num: int, frames: int) -> Dict[str, Tensor]:
        return {
            "encoder_out": torch.randn(1, frames, encoder_dim),
            "y": torch.randint(decoder.vocab_size, (num, frames % 11)),
        }

    open_axes = {"encoder_out": {1: "T_out"}, "y": {0: "M", 1: "U"}, "log_probs": {0: "M", 1: "U_plus_1"}}
    said = {"vocab_size": str(decoder.vocab_size), "eos_id": str(decoder.eos_id)}
    return [
        _encoder_part(ATTENTION_ENCODER, encoder, spec, outputs, f"{MODEL_TYPE}_attention"),
        Part(ATTENTION_DECODER, AttentionDecoderPart(decoder), texts, ("log_probs",), open_axes, said),
    ]


def whole_parts(model: Transducer, spec: FeatureSpec) -> List[Part]:
    """The parts of a recogniser of whole utterances.

    Encoder, predictor and joiner; encoder with CTC head; encoder with that head too, and attention decoder.
    """
    parts: List[Part] = []
    if has_transducer(model):
        heads = require_transducer(model, "an export")
        encoder = WholeEncoder(model, spec, heads.joiner.encoder_proj, False)
        parts.append(_encoder_part(ENCODER, encoder, spec, ("encoder_out", "encoder_out_lens"), MODEL_TYPE))
        parts += transducer_heads(heads)
    if has_ctc(model):
        encoder = WholeEncoder(model, spec, require_ctc(model, "an export").ctc_output, True)
        parts.append(_encoder_part(CTC, encoder, spec, ("log_probs", "log_probs_len"), f"{MODEL_TYPE}_ctc"))
    return parts + (attention_parts(model, spec) if has_attention_decoder(model) else [])
