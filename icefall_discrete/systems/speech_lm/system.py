"""A model of text and speech as the training loop sees it."""

import math
import zlib
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import with_spans
from icefall_discrete.data.dataset import batch_key, facts_in
from icefall_discrete.data.targets.voice_vectors import VoiceVectors
from icefall_discrete.systems.speech_lm.layouts import Layout, Utterances, voices_of
from icefall_discrete.systems.speech_lm.settings import TaskConfig
from icefall_discrete.systems.speech_lm.steps import Steps
from icefall_discrete.systems.speech_lm.vocabulary import MASK, Vocabulary
from icefall_discrete.systems.unit_lm.network import UnitLm
from icefall_discrete.systems.unit_lm.patterns import padded
from icefall_discrete.text.text_ids import BYTES, TextIds
from icefall_discrete.training.system import Batch, Losses, System


class Begun(NamedTuple):
    """A sequence: its steps (S, K'), and how many of them stand before the answer."""

    steps: Tensor
    num_asked: int


def left_out(steps: Tensor, padding: Tensor, config: TaskConfig) -> Tensor:
    """Steps (S, K') of frames without spans of codebooks and without spans of steps, SpecAugment of codes.

    Fewer channels and steps are left out than the settings say at most, by torch's own generator. What is left out is
    padding, so that it adds nothing to the vector of a step.
    """
    generator, num_steps = torch.default_generator, len(steps)
    channels = torch.zeros(steps.shape[1] - 1, dtype=torch.bool)
    channels = with_spans(channels, config.channel_masks, min(config.channel_mask_size, len(channels)), generator)
    widest = min(config.time_mask_size, int(config.time_mask_share * num_steps))
    times = with_spans(torch.zeros(num_steps, dtype=torch.bool), config.time_masks, widest, generator)
    found = steps.clone()
    found[:, 1:] = torch.where(times.unsqueeze(1) | channels, padding[1:], steps[:, 1:])
    return found


def costs(nats: Tensor, there: Tensor) -> Tensor:
    """What steps (N, S) cost: nats (N, S, K') of their first stream, and the mean of those of codes that are `there`.

    So text, the end of speech and the codes of a frame count alike, however many codebooks there are.
    """
    of_codes = nats[:, :, 1:].sum(dim=2) / there[:, :, 1:].sum(dim=2).clamp(min=1)
    return nats[:, :, 0] + of_codes


def hidden_spans(num: int, config: TaskConfig) -> Tensor:
    """Which of `num` codes are hidden, (num,) bool, by torch's own generator; as often as the settings say, none."""
    hidden = torch.zeros(num, dtype=torch.bool)
    if float(torch.rand(())) >= config.span_prob:
        return hidden
    # As many spans begin that, overlaps counted, the share of codes in none of them is 1 - ratio.
    begins = torch.rand(num) < 1.0 - (1.0 - config.span_ratio) ** (1.0 / config.span_length)
    for shift in range(min(config.span_length, num)):
        hidden[shift:] |= begins[: num - shift]
    return hidden


class SpeechLmSystem(System[Utterances]):
    """The network and its loss: nats of each step of an answer, those of the codes of a frame as their mean.

    Training draws a task for each utterance; validation has always the same of an utterance.

    Args:
      network: over steps of the ids of the vocabulary. config: tasks and masks. spec: of the codes. text: what divides
        texts. voices: vectors of speakers, if layouts begin with them.
    """

    network: UnitLm
    if_not_finite = "look at those cuts, or lower --peak-lr and train anew"
    if_too_large = "lower --max-duration or --max-utterance-sec, or set --quadratic-duration 30"

    def __init__(
        self,
        network: UnitLm,
        config: TaskConfig,
        spec: FeatureSpec,
        text: TextIds = BYTES,
        voices: Optional[VoiceVectors] = None,
    ) -> None:
        super().__init__(network)
        self.config, self.spec, self.voices = config, spec, voices
        self.vocabulary = Vocabulary(spec.codebook_sizes, text)
        self.layouts = config.read(self.vocabulary)
        self.steps = Steps.of(network, self.vocabulary)

    def prepare(self, batch: Batch, device: torch.device) -> Utterances:
        """The utterances of a batch of the loader (data/dataset.py), on the CPU: sequences are made of them."""
        rows = zip(batch[batch_key(self.spec)], batch["frame_lens"].tolist())
        return Utterances(list(batch["cut_ids"]), facts_in(batch), [row[:length].cpu() for row, length in rows])

    def losses(self, prepared: Utterances, step: int) -> Losses:
        """What a step of the answers costs; the parts are those of each task."""
        if self.training:
            drawn = torch.randint(len(self.layouts), (len(prepared.names),)).tolist()
        else:
            drawn = [zlib.crc32(name.encode()) % len(self.layouts) for name in prepared.names]
        nats, counts = self.tell(prepared, [self.layouts[number] for number in drawn])
        tasks = torch.tensor(drawn, device=nats.device)
        parts = {layout.name: nats.detach()[tasks == number].sum() for number, layout in enumerate(self.layouts)}
        return Losses(nats.sum(), parts, counts.sum(), nats.isfinite(), nats.sum() / counts.sum())

    def tell(self, prepared: Utterances, layouts: List[Layout]) -> Tuple[Tensor, Tensor]:
        """What answers of utterances cost in nats (N,), each in its layout, and how many steps these have, (N,)."""
        every = [self._begun(*row) for row in zip(prepared.names, prepared.facts, prepared.codes, layouts)]
        device, sizes = self.network.input_embedding.table.device, self.network.pattern.stream_sizes
        targets = padded([one.steps for one in every], sizes)
        shown = targets.clone()
        for row, one in zip(shown, every):
            row[: len(one.steps)] = self._heard(one)
        targets = targets.to(device)
        nats = self.network.tell(targets, shown.to(device), voices_of(layouts, prepared, self.voices))
        lens, asked = (
            torch.tensor(values, device=device) for values in zip(*((len(one.steps), one.num_asked) for one in every))
        )
        places = torch.arange(nats.shape[1], device=device)
        cost = costs(nats, targets != torch.tensor(sizes, device=device))
        return (cost * (places >= asked.unsqueeze(1))).sum(dim=1), lens - asked

    def _begun(self, name: str, facts: Mapping[str, Any], codes: Tensor, layout: Layout) -> Begun:
        try:
            laid = layout.of(facts, codes, self.vocabulary)
        except ValueError as error:
            raise ValueError(f"cut {name}: {error}") from None
        asked, answer = (self.steps.arranged(ids) for ids in (laid.ids[: laid.answer], laid.ids[laid.answer :]))
        steps, most = torch.cat([asked, answer]), self.network.config.decoder.most_steps
        if most is not None and len(steps) > most:
            raise ValueError(
                f"cut {name}: {len(steps)} steps of task {layout.name}, but the learned positions end at {most}; "
                "lower --max-utterance-sec, or take --positions rotary."
            )
        return Begun(steps, len(asked))

    def _heard(self, begun: Begun) -> Tensor:
        """Steps (S, K') as they are heard: in training some codes are hidden by masks, or of the question left out."""
        steps, config = begun.steps, self.config
        is_speech = steps[:, 0] >= self.steps.frame
        asked = is_speech[: begun.num_asked].nonzero()[:, 0]
        places = is_speech.nonzero()[:, 0] if config.answer_spans else asked
        if not self.training or not len(places):
            return steps
        found = steps.clone()
        if self.steps.frames_per_step:
            found[asked] = left_out(steps[asked], self.steps.padding, config)
        hidden = places[hidden_spans(len(places), config)]
        found[hidden] = self.steps.padding
        found[hidden, 0] = self.vocabulary.mark(MASK)
        return found

    def figures(self, batches: Iterable[Batch]) -> Dict[str, float]:
        """Perplexity of a step of the answers of each task: {"dev_asr_perplexity", ...}."""
        sums = {layout.name: [0.0, 0.0] for layout in self.layouts}
        with torch.no_grad():
            for batch in batches:
                prepared = self.prepare(batch, torch.device("cpu"))
                for layout in self.layouts:
                    found = self.tell(prepared, [layout] * len(prepared.names))
                    sums[layout.name] = [sum_ + float(one.sum()) for sum_, one in zip(sums[layout.name], found)]
        return {f"dev_{name}_perplexity": math.exp(nats / count) for name, (nats, count) in sums.items() if count}
