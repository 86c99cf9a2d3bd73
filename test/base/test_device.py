"""One meaning of auto, cpu and cuda."""

import pytest
import torch

from icefall_discrete.base.device import resolve


@pytest.mark.parametrize(
    ("name", "has_cuda", "expected"),
    [("auto", False, "cpu"), ("cpu", True, "cpu"), ("auto", True, "cuda:0"), ("cuda", True, "cuda:0")],
)
def test_names(monkeypatch, name, has_cuda, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert resolve(name, "training") == torch.device(expected)


def test_a_process_of_torchrun_has_its_own_device_and_some_networks_stay_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert resolve("cuda", "training") == torch.device("cuda:2")
    assert resolve("cuda:1", "training") == torch.device("cuda:1")
    assert resolve("auto", "whisper", can_leave_cpu=False) == torch.device("cpu")


def test_a_device_that_is_not_there_is_one_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="decoding cannot run on cuda: torch finds no CUDA device here; use cpu"):
        resolve("cuda", "decoding")
    with pytest.raises(ValueError, match="device is 'gpu', expected cpu, cuda, cuda:N or auto"):
        resolve("gpu", "decoding")
