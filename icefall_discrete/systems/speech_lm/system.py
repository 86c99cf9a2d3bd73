"""A model of text and speech as the training loop sees it."""

import math
import zlib
from typing import Any, Dict, Iterable, List, Mapping, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import batch_key, facts_in
from icefall_discrete.systems.speech_lm.layouts import Laid, Layout, Utterances
from icefall_discrete.systems.speech_lm.settings import TaskConfig
from icefall_discrete.systems.speech_lm.vocabulary import MASK, Vocabulary
from icefall_discrete.systems.unit_lm.network import UnitLm
from icefall_discrete.systems.unit_lm.patterns import padded
from icefall_discrete.text.text_ids import BYTES, TextIds
from icefall_discrete.training.system import Batch, Losses, System


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
    """The network and its loss: nats of each id of an answer.

    Training draws a task for each utterance; validation has always the same of an utterance.

    Args:
      network: over the ids of the vocabulary. config: tasks and masks. spec: of the codes. text: what divides texts.
    """

    network: UnitLm
    if_not_finite = "look at those cuts, or lower --peak-lr and train anew"
    if_too_large = "lower --max-duration or --max-utterance-sec, or set --quadratic-duration 30"

    def __init__(self, network: UnitLm, config: TaskConfig, spec: FeatureSpec, text: TextIds = BYTES) -> None:
        super().__init__(network)
        self.config, self.spec = config, spec
        self.vocabulary = Vocabulary(spec.codebook_sizes, text)
        self.layouts = config.read(self.vocabulary)

    def prepare(self, batch: Batch, device: torch.device) -> Utterances:
        """The utterances of a batch of the loader (data/dataset.py), on the CPU: sequences are made of them."""
        rows = zip(batch[batch_key(self.spec)], batch["frame_lens"].tolist())
        return Utterances(list(batch["cut_ids"]), facts_in(batch), [row[:length].cpu() for row, length in rows])

    def losses(self, prepared: Utterances, step: int) -> Losses:
        """Nats an id of the answers; the parts are those of each task."""
        if self.training:
            drawn = torch.randint(len(self.layouts), (len(prepared.names),)).tolist()
        else:
            drawn = [zlib.crc32(name.encode()) % len(self.layouts) for name in prepared.names]
        nats, counts = self.tell(prepared, [self.layouts[number] for number in drawn])
        tasks = torch.tensor(drawn, device=nats.device)
        parts = {layout.name: nats.detach()[tasks == number].sum() for number, layout in enumerate(self.layouts)}
        return Losses(nats.sum(), parts, counts.sum(), nats.isfinite(), nats.sum() / counts.sum())

    def tell(self, prepared: Utterances, layouts: List[Layout]) -> Tuple[Tensor, Tensor]:
        """Nats (N,) of the answers of utterances, each in its layout, and how many ids these have, (N,)."""
        every = [self._laid(*row) for row in zip(prepared.names, prepared.facts, prepared.codes, layouts)]
        device, sizes = self.network.input_embedding.table.device, self.network.pattern.stream_sizes
        targets = padded([torch.tensor(one.ids).unsqueeze(1) for one in every], sizes)
        shown = targets.clone()
        for row, one in zip(shown, every):
            self._hide(row[: one.answer, 0])
        nats = self.network.tell(targets.to(device), shown.to(device))[:, :, 0]
        lens, answers = (
            torch.tensor(values, device=device) for values in zip(*((len(o.ids), o.answer) for o in every))
        )
        places = torch.arange(nats.shape[1], device=device)
        return (nats * (places >= answers.unsqueeze(1))).sum(dim=1), lens - answers

    def _laid(self, name: str, facts: Mapping[str, Any], codes: Tensor, layout: Layout) -> Laid:
        try:
            laid = layout.of(facts, codes, self.vocabulary)
        except ValueError as error:
            raise ValueError(f"cut {name}: {error}") from None
        most = self.network.config.decoder.most_steps
        if most is not None and len(laid.ids) > most:
            raise ValueError(
                f"cut {name}: {len(laid.ids)} ids of task {layout.name}, but the learned positions end at {most}; "
                "lower --max-utterance-sec, or take --positions rotary."
            )
        return laid

    def _hide(self, ids: Tensor) -> None:
        """Put masks over codes among the ids (S,) of a question, in training."""
        places = (ids >= self.vocabulary.first_unit).nonzero()[:, 0]
        if self.training and len(places):
            ids[places[hidden_spans(len(places), self.config)]] = self.vocabulary.mark(MASK)

    def figures(self, batches: Iterable[Batch]) -> Dict[str, float]:
        """Perplexity of an id of the answers of each task: {"dev_asr_perplexity", ...}."""
        sums = {layout.name: [0.0, 0.0] for layout in self.layouts}
        with torch.no_grad():
            for batch in batches:
                prepared = self.prepare(batch, torch.device("cpu"))
                for layout in self.layouts:
                    found = self.tell(prepared, [layout] * len(prepared.names))
                    sums[layout.name] = [sum_ + float(one.sum()) for sum_, one in zip(sums[layout.name], found)]
        return {f"dev_{name}_perplexity": math.exp(nats / count) for name, (nats, count) in sums.items() if count}
