"""Encoders and front ends against numbers that ESPnet computed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from icefall_discrete.nn.attention.espnet_names import from_espnet
from icefall_discrete.nn.attention.positions import AbsolutePositions
from icefall_discrete.nn.code_embedding import CodeEmbedding
from icefall_discrete.nn.encoders.contract import ENCODERS, build_encoder
from icefall_discrete.nn.front_ends.espnet_conv1d import EspnetConv1dConfig
from icefall_discrete.nn.loading import load_strictly

# Small encoders with random weights in eval mode, random input without padding, and what came out; see the README.
REFERENCE = Path(__file__).parents[1] / "assets" / "espnet_encoders.safetensors"
SHAPE = {"dim": 16, "num_heads": 2, "feedforward_dim": 20, "num_layers": 2}
E_BRANCHFORMER = {"cgmlp_dim": 12, "cgmlp_kernel": 5, "merge_kernel": 3}
CASES = {
    "e_branchformer_conv1d1": ("e_branchformer", {**E_BRANCHFORMER, "num_layers": 1}, 1),
    "e_branchformer_conv1d2": ("e_branchformer", E_BRANCHFORMER, 2),
    "e_branchformer_conv1d3": ("e_branchformer", {**E_BRANCHFORMER, "num_layers": 1}, 3),
    "conformer": ("conformer", {"cnn_module_kernel": 5}, 0),
    "transformer": ("transformer", {}, 2),
}


@pytest.fixture(scope="module")
def reference():
    return load_file(str(REFERENCE))


def part_of(reference, case):
    return {name[len(case) + 1 :]: value for name, value in reference.items() if name.startswith(case + "/")}


def test_vectors_of_units_with_positions_equal_those_of_espnet(reference):
    found = part_of(reference, "embed")
    vectors = found["state/frontend.embed.0.weight"]
    embedding = CodeEmbedding(vectors.shape[:1], vectors.shape[1])
    ours = from_espnet({"frontend.embed.0.weight": vectors})
    load_strictly(embedding, {name.split(".")[-1]: value for name, value in ours.items()}, "embed")
    out = AbsolutePositions(vectors.shape[1], 0.1).eval()(embedding(found["x"].unsqueeze(2)))
    torch.testing.assert_close(out, found["out"], rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_outputs_equal_espnets_with_its_weights_under_our_names(reference, case):
    kind, settings, stride = CASES[case]
    found = part_of(reference, case)
    model = nn.Module()
    model.encoder = build_encoder(ENCODERS.find(kind)(**{**SHAPE, **settings}))
    if stride:
        model.front_end = EspnetConv1dConfig(stride).build(found["x"].shape[2], SHAPE["dim"], 0.0)
    state = {name[len("state/") :]: value for name, value in found.items() if name.startswith("state/")}
    load_strictly(model, from_espnet(state), case)
    model.eval()
    x, lens = found["x"], torch.full((len(found["x"]),), found["x"].shape[1])
    if stride:
        x, lens = model.front_end(x, lens)
    out, out_lens, _ = model.encoder(x, lens)
    assert out_lens.tolist() == found["lens"].tolist()
    torch.testing.assert_close(out, found["out"], rtol=0.0, atol=1e-5)
