"""The kernels for CUDA devices give what lattice.py gives wave by wave; without one Triton's interpreter runs them."""

import pytest
import torch

from icefall_discrete.losses import lattice

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Interpreters of older releases do not know today's NumPy.
pytest.importorskip("triton", None if DEVICE == "cuda" else "3.9")


@pytest.fixture(scope="module", autouse=True)
def interpreter():
    with pytest.MonkeyPatch.context() as patch:
        if DEVICE == "cpu":
            patch.setenv("TRITON_INTERPRET", "1")
        yield


def random_problem(regular, num_labels, num_frames):
    generator = torch.Generator().manual_seed(num_labels)
    label_lens = torch.tensor([num_labels, 0, num_labels // 2, 1])
    frame_lens = torch.tensor([num_frames, num_frames - 1, num_frames // 2 + 1, 1 if regular else 2])
    label_arcs = torch.randn(4, num_labels, num_frames + int(regular), generator=generator)
    blank_arcs = torch.randn(4, num_labels + 1, num_frames, generator=generator)
    if regular:
        beyond = torch.arange(num_frames + 1) >= frame_lens[:, None, None]
        label_arcs = label_arcs.masked_fill(beyond, float("-inf"))
    # As after pruning: some arcs do not exist.
    label_arcs[0, 0, num_frames // 2 :] = float("-inf")
    blank_arcs[0, -1, : num_labels // 2] = float("-inf")
    return label_arcs, blank_arcs, label_lens, frame_lens


@pytest.mark.filterwarnings("ignore:invalid value encountered")  # -inf less -inf, which is not used
@pytest.mark.parametrize("num_labels, num_frames", [(2, 5), (7, 12), (15, 31), (40, 64)])
@pytest.mark.parametrize("regular", [True, False])
def test_score_occupation_and_gradient(regular, num_labels, num_frames):
    *arcs, label_lens, frame_lens = random_problem(regular, num_labels, num_frames)
    weight = torch.tensor([1.0, 0.5, -2.0, 3.0])
    found = []
    for fused, device in ((False, "cpu"), (True, DEVICE)):
        own = [tensor.detach().to(device).requires_grad_() for tensor in arcs]
        lens = (label_lens.to(device), frame_lens.to(device))
        score, label_use, blank_use = lattice._LatticeScore.apply(*own, *lens, fused)
        (score * weight.to(device)).sum().backward()
        found.append([tensor.detach().cpu() for tensor in (score, label_use, blank_use, own[0].grad, own[1].grad)])
    assert found[0][0].isfinite().all()
    for expected, value in zip(*found):
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)


def test_an_utterance_without_a_path_scores_minus_infinity():
    label_arcs, blank_arcs, label_lens, frame_lens = random_problem(False, 7, 12)
    frame_lens[0] = 3  # seven labels do not fit into three frames
    tensors = [tensor.to(DEVICE) for tensor in (label_arcs, blank_arcs, label_lens, frame_lens)]
    score, label_use, blank_use = lattice._LatticeScore.apply(*tensors, True)
    assert score[0] == float("-inf") and score[1:].isfinite().all()
    assert (label_use[0] == 0).all() and (blank_use[0] == 0).all()
