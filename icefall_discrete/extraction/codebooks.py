"""The file of a tokenizer's codebooks, once for all splits of a feature folder."""

import contextlib
import logging
from pathlib import Path
from typing import List, Optional, Sequence

import torch
from torch import Tensor

from icefall_discrete.base.provenance import set_aside
from icefall_discrete.base.tensor_files import read_tensors, write_tensors

LOG = logging.getLogger(__name__)
CODEBOOKS = "codebooks.safetensors"


def settle_codebooks(folder: Path, codebooks: Optional[Sequence[Tensor]]) -> None:
    """Write the codebooks (V_k, D_k), unless they are there; a file that holds others is set aside."""
    if codebooks is None:
        return
    path, wanted = folder / CODEBOOKS, {str(k): codebook.clone() for k, codebook in enumerate(codebooks)}
    if path.exists():
        with contextlib.suppress(ValueError):  # of a file that cannot be read
            there = read_tensors(path, "").tensors
            if {*there} == {*wanted} and all(torch.equal(there[name], wanted[name]) for name in wanted):
                return
        LOG.warning("%s does not hold the tokenizer's codebooks: it is written anew", path)
        set_aside(path)
    write_tensors(path, wanted)


def codebook_files(folder: Path) -> List[str]:
    """The name of the file, if it is there."""
    return [CODEBOOKS] if (folder / CODEBOOKS).is_file() else []
