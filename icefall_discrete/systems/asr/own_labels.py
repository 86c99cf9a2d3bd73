"""Labels that a recogniser gives utterances without transcripts while it is trained: slimIPL.

Likhomanenko et al. 2021, https://arxiv.org/abs/2010.11524, section 3: greedy labels without a language model, of frames
that are not augmented, by the network of that moment or a moving mean of its weights; batches stay in a cache, and are
trained on, until another one takes their place. These labels are never texts of cuts, so that no score can see them.
"""

import copy
import dataclasses
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

import torch
from torch import Tensor

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import batch_key
from icefall_discrete.systems.asr.dev_decoding import greedy_hypotheses
from icefall_discrete.systems.asr.transducer import Transducer
from icefall_discrete.training.system import Batch

STATE = "own_labels"


@dataclasses.dataclass(frozen=True)
class OwnLabelsConfig:
    """Utterances without transcripts that the recogniser labels itself while it learns (slimIPL)."""

    batches_each: int = setting(
        0, "batches without transcripts behind each batch with (slimIPL: 4 to 10); 0: none", minimum=0
    )
    start_epoch: int = setting(2, "epoch from which on there are such batches", minimum=1)
    cache_batches: int = setting(100, "batches with their labels that are kept, to be trained on again", minimum=1)
    replace_prob: float = setting(
        0.1, "how often a batch that was trained on makes room for another, newly labelled", above=0, maximum=1
    )
    teacher_decay: float = setting(
        0.999,
        "decay of the moving mean of the weights that labels; 0: the weights as they are",
        minimum=0,
        maximum=0.9999,
    )

    def __post_init__(self) -> None:
        check_settings(self)

    def batches_in(self, epoch: int) -> int:
        """How many follow each batch with transcripts in an epoch (from 1)."""
        return self.batches_each if epoch >= self.start_epoch else 0


class Labelled(NamedTuple):
    """Frames (N, T, K or D) with lens (N,), not augmented; labels (N, U) with lens (N,). All on the CPU."""

    frames: Tensor
    frame_lens: Tensor
    labels: Tensor
    label_lens: Tensor


class OwnLabels:
    """A teacher, which is the recogniser of before, and what it said last.

    Entries and weights are replaced, never changed, so that a state that was taken stays what it is.

    Args:
      config: the settings. spec: of the frames.
    """

    def __init__(self, config: OwnLabelsConfig, spec: FeatureSpec) -> None:
        self.config, self.spec = config, spec
        self.entries: List[Labelled] = []
        self.mean: Dict[str, Tensor] = {}
        self._teacher: Optional[Transducer] = None

    @torch.no_grad()
    def follow(self, network: Transducer) -> None:
        """Take the weights into the moving mean, once a step."""
        decay = self.config.teacher_decay
        if not self.config.batches_each or not decay:
            return
        now = network.state_dict()
        self.mean = {
            name: torch.lerp(value.float(), self.mean[name].to(value.device), decay).to(value.dtype)
            if name in self.mean and value.is_floating_point()
            else value.detach().clone()
            for name, value in now.items()
        }

    def draw(self, arriving: Batch, network: Transducer) -> Optional[Labelled]:
        """What to train on in the place of a batch without labels: that batch while the cache is not full, then one
        of the cache, whose place it may take. None if the teacher says nothing of it."""
        if len(self.entries) < self.config.cache_batches:
            labelled = self.label(arriving, network)
            self.entries = [*self.entries, *([] if labelled is None else [labelled])]
            return labelled
        place = int(torch.randint(len(self.entries), ()))
        found = self.entries[place]
        if float(torch.rand(())) < self.config.replace_prob:
            labelled = self.label(arriving, network)
            if labelled is not None:
                self.entries = [*self.entries[:place], labelled, *self.entries[place + 1 :]]
        return found

    @torch.no_grad()
    def label(self, batch: Batch, network: Transducer) -> Optional[Labelled]:
        """The utterances of a batch of which the teacher says something, with what it says; None if there are none."""
        teacher = self._with_weights(network)
        device = next(network.parameters()).device
        frames, lens = batch[batch_key(self.spec)], batch["frame_lens"]
        encoded = teacher.encode(frames.to(device), lens.to(device))
        found = [one.labels for one in greedy_hypotheses(teacher, encoded.encoder_out, encoded.lens)]
        rows = [row for row, labels in enumerate(found) if labels]
        if not rows:
            return None
        kept = [torch.tensor(found[row], dtype=torch.int64) for row in rows]
        frame_lens = lens[rows]
        labels = torch.nn.utils.rnn.pad_sequence(kept, batch_first=True)
        return Labelled(
            frames[rows, : int(frame_lens.max())], frame_lens, labels, torch.tensor([len(one) for one in kept])
        )

    def _with_weights(self, network: Transducer) -> Transducer:
        if self._teacher is None:
            self._teacher = copy.deepcopy(network).requires_grad_(False)
        self._teacher.load_state_dict(self.mean or network.state_dict())
        return self._teacher.eval()

    def state_dict(self) -> Dict[str, Any]:
        """Plain values for a checkpoint."""
        return {"entries": [entry._asdict() for entry in self.entries], "mean": dict(self.mean)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.entries = [Labelled(**entry) for entry in state["entries"]]
        self.mean = dict(state["mean"])
