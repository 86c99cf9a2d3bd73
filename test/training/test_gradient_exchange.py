import json
import sys
from pathlib import Path

import torch
from torch import nn

from icefall_discrete.training.distributed import Group
from icefall_discrete.training.gradient_exchange import GradientExchange
from icefall_discrete.training.launch import launch

ROOT = Path(__file__).resolve().parents[2]

# Two processes: `both` has a gradient in each, `second` in process 1 only, `none` in neither, `frozen` never.
WORKER = """
import json, sys
import torch
from torch import nn
from icefall_discrete.training.distributed import joined_group
from icefall_discrete.training.gradient_exchange import GradientExchange

class Module(nn.Module):
    def __init__(self, rank):
        super().__init__()
        self.both = nn.Parameter(torch.full((2, 3), float(rank)))
        self.second = nn.Parameter(torch.zeros(4))
        self.none = nn.Parameter(torch.zeros(5))
        self.wide = nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.frozen = nn.Parameter(torch.full((1,), 7.0 + rank), requires_grad=False)
        self.register_buffer("seen", torch.tensor(10 + rank))

with joined_group("cpu") as group:
    module = Module(group.rank)
    exchange = GradientExchange(module, group)
    exchange.share_state()
    found = {"shared": [module.both.tolist(), module.frozen.tolist(), int(module.seen)], "steps": []}
    for step in (1.0, 2.0):
        loss = (module.both * torch.arange(6.0).view(2, 3)).sum() * step * (group.rank + 1) + module.wide.sum() * step
        if group.rank == 1:
            loss = loss + 3.0 * module.second.sum()
        loss.backward()
        exchange.sum_gradients()
        grads = {name: one.grad for name, one in module.named_parameters()}
        found["steps"].append({name: None if grad is None else grad.tolist() for name, grad in grads.items()})
        module.zero_grad(set_to_none=True)
    module.seen.fill_(20 + group.rank)
    exchange.share_buffers()
    found["seen"] = int(module.seen)
    with open(f"{sys.argv[1]}/{group.rank}.json", "w") as stream:
        json.dump(found, stream)
"""


def test_two_processes_get_the_sums_of_their_gradients(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert launch([sys.executable, "-c", WORKER, str(tmp_path)], 2, 0) == 0
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert first["shared"] == [[[0.0] * 3] * 2, [7.0], 10] and first["seen"] == 20
    for step, grads in zip((1.0, 2.0), first["steps"]):
        assert grads["both"] == [[3.0 * step * place for place in row] for row in ((0, 1, 2), (3, 4, 5))]
        assert grads["second"] == [3.0] * 4 and grads["wide"] == [2.0 * step] * 2
        assert grads["none"] is None and grads["frozen"] is None


def test_a_single_process_exchanges_nothing():
    module = nn.Linear(2, 1)
    module(torch.ones(1, 2)).sum().backward()
    before = module.weight.grad
    exchange = GradientExchange(module, Group())
    exchange.share_state()
    exchange.sum_gradients()
    exchange.share_buffers()
    assert module.weight.grad is before
