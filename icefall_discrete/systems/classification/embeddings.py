"""Embeddings of utterances by a trained classifier, and how alike two of them are: what verification needs."""

from typing import Dict, Iterable, List, Mapping, Optional, Tuple

import torch
import torch.nn.functional as F
from lhotse import CutSet
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import Batch, batch_key
from icefall_discrete.systems.classification.network import Classifier
from icefall_discrete.systems.prediction import Json, RunConfig, predict_batches


def embeddings_and_facts(
    network: Classifier, cuts: CutSet, spec: FeatureSpec, run: RunConfig, title: Optional[str] = None
) -> Tuple[Dict[str, Tensor], Json]:
    """The embedding (E,) of each cut by its id, on the CPU, and the facts of `predict_cuts`.

    A cut that is too short for the network has none.

    Args:
      network: in evaluation mode. cuts: with codes or features of `spec`. run: size of the batches.
      title: of the progress bar, None shows none.
    """
    device = next(network.parameters()).device

    @torch.no_grad()
    def embed(batch: Batch) -> List[Tensor]:
        found = network.embed(batch[batch_key(spec)].to(device), batch["frame_lens"].to(device))
        return list(found.float().cpu())

    return predict_batches(embed, network.config, cuts, spec, run, title)


def cosine_scores(embeddings: Mapping[str, Tensor], pairs: Iterable[Tuple[str, str]]) -> List[float]:
    """Cosine between the embeddings of each pair of cut ids. Raises ValueError for a cut that has no embedding."""
    listed = list(pairs)
    for pair in listed:
        for cut_id in pair:
            if cut_id not in embeddings:
                raise ValueError(
                    f"pair {pair[0]} {pair[1]}: cut {cut_id} has no embedding, because it is not in the split or too "
                    "short; correct the list of pairs."
                )
    if not listed:
        return []
    left, right = (torch.stack([embeddings[pair[side]] for pair in listed]) for side in (0, 1))
    return F.cosine_similarity(left, right).tolist()
