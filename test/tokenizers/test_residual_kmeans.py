"""Residual k-means: the first codebook is k-means', each further one is k-means' on the rest; K streams; refusals."""

import tracemalloc

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from toy_tokenizers import Toy, make_tokenizer

from icefall_discrete.base.clustering import fit_centroids
from icefall_discrete.tokenizers.quantizers.residual_kmeans import ResidualKmeans, ResidualKmeansConfig

SETTINGS = {"num_clusters": 12, "num_codebooks": 3, "fit_memory_mib": 1, "num_full_passes": 5, "standardize": True}
TOY = Toy(lambda folder: {"num_clusters": 8, "num_codebooks": 2, "fit_memory_mib": 8})
NAME, STATE = "mfcc_residual_kmeans", "residual_kmeans.safetensors"


def fitted(folder, audio, **settings):
    tokenizer = make_tokenizer(NAME, {**SETTINGS, **settings})
    tokenizer.fit(audio, folder, 3)
    return tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory, fit_audio):
    return fitted(tmp_path_factory.mktemp("fitted"), fit_audio)


def encode(tokenizer, samples):
    return tokenizer.encode(samples[None], torch.tensor([len(samples)]))[0][0]


def test_the_first_codebook_is_that_of_kmeans_and_fewer_are_the_first(tokenizer, tmp_path, fit_audio, speech):
    settings = {key: value for key, value in SETTINGS.items() if key != "num_codebooks"}
    alone = make_tokenizer("mfcc_kmeans", settings)
    alone.fit(fit_audio, tmp_path / "alone", 3)
    two = fitted(tmp_path / "two", fit_audio, num_codebooks=2)
    codes = encode(tokenizer, speech)
    assert torch.equal(codes[:, :1], encode(alone, speech)) and torch.equal(codes[:, :2], encode(two, speech))


def test_each_codebook_is_found_on_what_is_left(tokenizer, fit_audio):
    stored = load_file(tokenizer.state_dir / STATE)
    frames = torch.cat([tokenizer.frames(samples) for samples, _ in fit_audio])
    rest = ((frames - stored["mean"]) / stored["scale"]).numpy()
    for index in range(3):
        centroids, _ = fit_centroids(rest, 12, 1, 3, 5, 2, 3 + index)
        np.testing.assert_allclose(stored[f"centroids.{index}"], centroids, atol=1e-4)
        squared = ((rest[:, None].astype(np.float64) - centroids[None]) ** 2).sum(axis=2)
        rest = rest - centroids[squared.argmin(axis=1)]


def test_more_codebooks_come_nearer_to_the_frames(tokenizer, speech):
    frames = tokenizer.frames(speech)
    state = load_file(tokenizer.state_dir / STATE)
    wanted, found = (frames - state["mean"]) / state["scale"], torch.zeros_like(frames)
    errors = [float(wanted.square().mean())]
    for codes, codebook in zip(encode(tokenizer, speech).T, tokenizer.codebooks()):
        found = found + codebook[codes]
        errors.append(float((wanted - found).square().mean()))
    assert errors == sorted(errors, reverse=True) and errors[3] < 0.8 * errors[1]


def test_the_same_seed_gives_the_same_file_and_another_tokenizer_reads_it(tokenizer, tmp_path, fit_audio, speech):
    again = fitted(tmp_path, fit_audio)
    assert (tmp_path / STATE).read_bytes() == (tokenizer.state_dir / STATE).read_bytes()
    reread = make_tokenizer(NAME, SETTINGS, tmp_path)
    assert torch.equal(encode(reread, speech), encode(again, speech)) and reread.state_files == [tmp_path / STATE]
    spec = reread.spec
    assert (spec.num_codebooks, spec.codebook_sizes) == (3, (12, 12, 12))
    assert spec.provenance["num_codebooks"] == 3 and len(spec.provenance["kmeans_sha256"]) == 64
    assert "num_full_passes" not in spec.provenance and spec == again.spec


def test_memory_is_bounded_by_the_setting(tmp_path):
    config = ResidualKmeansConfig(num_clusters=4, num_codebooks=3, fit_memory_mib=1, num_full_passes=2, num_breaths=0)
    generator = torch.Generator().manual_seed(1)
    peaks = []
    for num_utterances in (40, 400):
        frames = (torch.randn(500, 40, generator=generator) for _ in range(num_utterances))
        tracemalloc.start()
        ResidualKmeans("toy", config, None, dict).fit(frames, tmp_path, 1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] < 12 * 2**20


def test_what_does_not_fit_is_refused(tokenizer, tmp_path, fit_audio, speech):
    with pytest.raises(ValueError, match=r"'num_codebooks' is 0, but .* at least 1 and at most 64"):
        make_tokenizer(NAME, {**SETTINGS, "num_codebooks": 0})
    with pytest.raises(ValueError, match=r"num_codebooks: 3 against 2"):
        make_tokenizer(NAME, {**SETTINGS, "num_codebooks": 2}, tokenizer.state_dir).spec  # noqa: B018
    with pytest.raises(ValueError, match="but 5000 clusters need at least as many"):
        fitted(tmp_path, fit_audio, num_clusters=5000)
    state = load_file(tokenizer.state_dir / STATE)
    fitted(tmp_path, fit_audio)
    path = tmp_path / STATE
    whole = path.read_bytes()
    for damage, message in (
        (lambda: path.write_bytes(whole[:-8]), "cannot be read"),
        (lambda: save_file(state, path), "was fitted for feature type 'an unknown feature type'"),
    ):
        damage()
        with pytest.raises(ValueError, match=message) as caught:
            encode(make_tokenizer(NAME, SETTINGS, tmp_path), speech)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_groups_of_dimensions_have_codebooks_of_their_own(tmp_path, fit_audio, speech):
    tokenizer = fitted(tmp_path, fit_audio, num_groups=3, num_codebooks=2)
    stored = load_file(tmp_path / STATE)
    frames = torch.cat([tokenizer.frames(samples) for samples, _ in fit_audio])
    parts = ((frames - stored["mean"]) / stored["scale"]).chunk(3, dim=1)
    for group, part in enumerate(parts):
        centroids, _ = fit_centroids(part.contiguous().numpy(), 12, 1, 3, 5, 2, 3 + 2 * group)
        np.testing.assert_allclose(stored[f"centroids.{2 * group}"], centroids, atol=1e-4)
    heard = (tokenizer.frames(speech) - stored["mean"]) / stored["scale"]
    codes = encode(tokenizer, speech)
    assert tokenizer.spec.codebook_sizes == (12,) * 6 and codes.shape[1] == 6
    for index, codebook in enumerate(tokenizer.codebooks()[::2]):
        nearest = torch.cdist(heard.chunk(3, dim=1)[index], codebook).argmin(dim=1)
        assert torch.equal(codes[:, 2 * index], nearest)
    with pytest.raises(ValueError, match=r"num_groups is 2, but the frames of 'toy' have 39 dimensions"):
        fitted(tmp_path / "uneven", fit_audio, num_groups=2)


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"centroids.1": torch.tensor(1.0)}, r"centroids \(\) with a mean \(39,\)"),
        ({"centroids.1": torch.zeros(12)}, r"centroids \(12,\) with a mean"),
        ({"centroids.1": torch.zeros(12, 5)}, r"centroids \(12, 5\) with a mean"),
        ({"mean": torch.tensor(0.0)}, r"a mean \(\) and a scale \(39,\), expected"),
        ({"scale": torch.ones(1)}, r"a scale \(1,\), expected"),
        ({"scale": torch.zeros(39)}, "whose scale is 0 in 39 of 39 dimensions"),
        ({"centroids.0": torch.zeros(12, 39, dtype=torch.int32)}, "whose centroids is of int32, expected float32"),
        ({"centroids.0": torch.zeros(12, 39).half()}, "whose centroids is of float16, expected float32"),
    ],
)
def test_a_state_whose_parts_do_not_go_together_is_refused(tokenizer, tmp_path, speech, change, complaint):
    with safe_open(tokenizer.state_dir / STATE, "pt") as file:
        metadata = file.metadata()
    path = tmp_path / STATE
    save_file({**load_file(tokenizer.state_dir / STATE), **change}, path, metadata=metadata)
    with pytest.raises(ValueError, match=complaint) as caught:
        encode(make_tokenizer(NAME, SETTINGS, tmp_path), speech)
    assert str(caught.value).startswith(str(path)) and str(caught.value).endswith("rerun stage 2.")


def test_frames_that_are_not_finite_have_no_codes_and_are_not_clustered(tokenizer, tmp_path):
    damaged = torch.full((3, 39), float("nan"))
    with pytest.raises(RuntimeError, match="117 of 117 numbers of the frames are NaN or infinite"):
        tokenizer.quantizer.quantize(damaged)
    with pytest.raises(RuntimeError, match="of the frames are NaN or infinite"):
        tokenizer.quantizer.fit([damaged] * 9, tmp_path, 1)
