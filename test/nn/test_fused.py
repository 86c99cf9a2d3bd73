import functools
import random

import pytest
import torch

from icefall_discrete.nn import fused
from icefall_discrete.nn.scaling import Balancer, BiasNorm, Bypass, SwooshLinear, swoosh_r


@fused.fusible
def doubled(x):
    return x + x


def test_functions_are_compiled_once_and_only_where_it_is_asked_for(monkeypatch):
    made = []

    def compile(function, dynamic):
        made.append(function)
        return lambda x: function(x) + 1

    monkeypatch.setattr(torch, "compile", compile, raising=False)
    monkeypatch.setenv("CXX", "sh")
    for wanted, expected in ((False, 6.0), (True, 7.0), (True, 7.0), (False, 6.0)):
        with fused.compiled(wanted, "cpu"):
            assert float(doubled(torch.tensor(3.0))) == expected
    assert float(doubled(torch.tensor(3.0))) == 6.0
    assert [function.__name__ for function in made] == ["doubled"]


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setattr(torch, "compile", print, raising=False)
    monkeypatch.setenv("CXX", "sh")
    monkeypatch.setattr(fused.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="--compile needs the package triton"), fused.compiled(True, "cuda"):
        pass
    monkeypatch.setenv("CXX", "no-such-compiler")
    with (
        pytest.raises(ValueError, match=r"--compile needs a C\+\+ compiler, and there is no no-such-compiler; install"),
        fused.compiled(True, "cpu"),
    ):
        pass
    monkeypatch.delattr(torch, "compile")
    with (
        pytest.raises(ValueError, match=r"--compile needs torch 2\.1 or newer, and this is"),
        fused.compiled(True, "cpu"),
    ):
        pass


@pytest.mark.skipif(not hasattr(torch, "compile"), reason="needs torch.compile")
def test_compiled_it_computes_the_same(monkeypatch):
    """All that is fusible, as the compiler's front end sees it; machine code would take a compiler's time."""
    traced = functools.partial(torch.compile, backend="aot_eager", fullgraph=True)
    monkeypatch.setattr(torch, "compile", traced)
    monkeypatch.setenv("CXX", "sh")
    monkeypatch.setattr(random, "random", lambda: 0.0)
    torch.manual_seed(0)
    layers = [SwooshLinear(6, 6, "l", 1.0, dropout=0.5), Balancer(prob=1.0), BiasNorm(6)]
    bypass, x, found = Bypass(6, skip_rate=0.5), torch.randn(3, 5, 6, requires_grad=True), []
    weights = [*bypass.parameters(), *layers[0].parameters(), *layers[2].parameters(), x]
    for wanted in (False, True):
        torch.manual_seed(1)
        with fused.compiled(wanted, "cpu"):
            out = bypass(x, swoosh_r(torch.nn.Sequential(*layers)(x)))
            out.square().sum().backward()
        found.append([out.detach(), *(weight.grad for weight in weights)])
        for weight in weights:
            weight.grad = None
    assert all(torch.allclose(one, other, rtol=1e-5, atol=1e-6) for one, other in zip(*found))
