"""Files of decoding graphs: plain tensors, read as data, so that a graph from a stranger runs no code.

A file holds a dictionary: "format", "arcs" (A, 4) int32 as k2 has them (source, destination, label, bits of the score),
sorted by source, and "attributes", each by its name a tensor (A,) or, of several values for an arc, a dictionary of
"values" and "row_splits" (A + 1,), both int32. A is the number of arcs.
"""

from pathlib import Path
from typing import Any, Dict, Optional

import torch
from torch import Tensor

from icefall_discrete.base import backend
from icefall_discrete.base.atomic_files import PathLike
from icefall_discrete.base.checkpoint import write_torch
from icefall_discrete.base.guarded_pickle import read_checkpoint
from icefall_discrete.base.inert_pickle import reason_of

Fsa = Any  # k2.Fsa; k2 is imported only where it is used
GRAPH_STAGE = "local/compile_graphs.py"
RECORD = "graphs.json"  # beside the graphs, written last
# What the files hold; 1 was k2's own dictionary, which only unpickling could read.
GRAPH_FORMAT = 2
_VERDICT = "is not a graph that can be read"
_ADVICE = f"{GRAPH_STAGE} with the same --graph-dir makes it anew"
# k2 makes these from the arcs.
_OF_ARCS = ("arcs", "labels", "labels_version", "properties", "scores")


def save_graph(graph: Fsa, path: PathLike) -> None:
    """Write a graph; ValueError if it has an attribute that is neither a tensor nor ragged over the arcs."""
    parts = graph.as_dict()
    attributes = {name: _packed(name, value) for name, value in parts.items() if name not in _OF_ARCS}
    arcs = parts["arcs"].cpu().contiguous()
    write_torch(path, {"format": GRAPH_FORMAT, "arcs": arcs, "attributes": attributes})


def _packed(name: str, value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if not isinstance(value, backend.k2_module().RaggedTensor) or value.num_axes != 2:
        raise ValueError(f"the graph's attribute {name} is {type(value).__name__}, expected a value for each arc.")
    return {"values": value.values.cpu().clone(), "row_splits": value.shape.row_splits(1).cpu().clone()}


def load_graph(path: PathLike) -> Fsa:
    """Read a graph onto the CPU.

    Raises:
      FileNotFoundError, ValueError: naming the file and the stage that makes it.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} does not exist; make it with {GRAPH_STAGE} (--graph-dir says where it lies).")
    found = read_checkpoint(Path(path), records=(), verdict=_VERDICT, advice=_ADVICE)
    try:
        return _graph_of(found)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path} {_VERDICT}: {reason_of(error)}. Nothing of it was run; {_ADVICE}.") from None


def _graph_of(found: Any) -> Fsa:
    if not isinstance(found, dict) or found.get("format") != GRAPH_FORMAT:
        raise ValueError("it is of an older kind, or no graph")
    arcs, attributes = _checked_arcs(found.get("arcs")), found.get("attributes")
    if not isinstance(attributes, dict) or not all(
        isinstance(name, str) and name.isidentifier() for name in attributes
    ):
        raise ValueError("it has no attributes by name")
    graph = backend.k2_module().Fsa(arcs.contiguous())
    for name, value in attributes.items():
        if name in _OF_ARCS or name.startswith("_"):
            raise ValueError(f"it has an attribute {name}")
        setattr(graph, name, _unpacked(name, value, len(arcs)))
    return graph


def _checked_arcs(arcs: Any) -> Tensor:
    """The arcs, if they do not lead k2 out of its arrays."""
    if not isinstance(arcs, Tensor) or arcs.dtype != torch.int32 or arcs.dim() != 2 or arcs.shape[1] != 4:
        raise ValueError("its arcs are no int32 tensor (A, 4)")
    if not len(arcs):
        raise ValueError("it has no arcs")
    sources, destinations = arcs[:, 0].long(), arcs[:, 1].long()
    # All states but the last have an arc, so there is at most one more of them than of arcs.
    states = min(int(torch.maximum(sources.max(), destinations.max())) + 1, len(arcs) + 1)
    within = all(int(ends.min()) >= 0 and int(ends.max()) < states for ends in (sources, destinations))
    if not within or bool((sources[1:] < sources[:-1]).any()) or int(sources.max()) == states - 1:
        raise ValueError("its arcs lead to states that it has not, or are not in order")
    if bool((arcs[:, 2] < -1).any()) or bool(((arcs[:, 2] == -1) != (destinations == states - 1)).any()):
        raise ValueError("its ends are not where its last state is")
    return arcs


def _flat(part: Any) -> Optional[Tensor]:
    """What it is, if that is an int32 tensor (A,)."""
    return part if isinstance(part, Tensor) and part.dim() == 1 and part.dtype == torch.int32 else None


def _unpacked(name: str, value: Any, num_arcs: int) -> Any:
    if isinstance(value, Tensor):
        if value.dim() != 1 or len(value) != num_arcs:
            raise ValueError(f"its attribute {name} has not a value for each arc")
        return value
    parts: Dict[str, Any] = value if isinstance(value, dict) else {}
    values, splits = (_flat(parts.get(part)) for part in ("values", "row_splits"))
    if (
        values is None
        or splits is None
        or len(splits) != num_arcs + 1
        or int(splits[0]) != 0
        or int(splits[-1]) != len(values)
    ):
        raise ValueError(f"its attribute {name} has not values for each arc")
    if bool((splits[1:] < splits[:-1]).any()):
        raise ValueError(f"its attribute {name} has a negative number of values")
    ragged = backend.k2_module().ragged
    shape = ragged.create_ragged_shape2(splits.contiguous(), None, len(values))
    return ragged.RaggedTensor(shape, values.contiguous())
