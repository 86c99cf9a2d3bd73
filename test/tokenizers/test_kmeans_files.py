"""Published centroids: every kind of file gives the same centroids, and none is run."""

import bz2
import gzip
import lzma
import pickle
import zipfile
import zlib

import joblib
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA

from icefall_discrete.tokenizers.formats import kmeans_files
from icefall_discrete.tokenizers.formats.kmeans_files import read_centroids


class Attack:
    """Pickles into a call that leaves a trace."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)


@pytest.fixture(scope="module", params=["MiniBatchKMeans", "KMeans", "fairseq"])
def model(request, frames):
    """As fairseq, GSLM and ESPnet make them; the last with their settings and in two steps."""
    if request.param == "KMeans":
        return KMeans(7, n_init=2, random_state=np.random.RandomState(1)).fit(frames)
    if request.param == "MiniBatchKMeans":
        return MiniBatchKMeans(7, n_init=2, batch_size=100, random_state=0).fit(frames.astype(np.float64))
    made = MiniBatchKMeans(7, init="k-means++", max_iter=100, batch_size=100, tol=0.0, n_init=3, reassignment_ratio=0.0)
    return made.partial_fit(frames[:150]).partial_fit(frames[150:])


def assert_read(path, centroids):
    found = read_centroids(path)
    np.testing.assert_array_equal(found["centroids"], centroids.astype(np.float32))
    assert found["centroids"].dtype == np.float32 and found["centroids"].flags.writeable
    assert (found["mean"] == 0).all() and (found["scale"] == 1).all() and len(found["mean"]) == centroids.shape[1]


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)], ids=str)
def test_joblib(model, tmp_path, compress):
    joblib.dump(model, tmp_path / "km.bin", compress=compress)
    assert_read(tmp_path / "km.bin", model.cluster_centers_)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_protocols_of_pickle(model, tmp_path, protocol):
    joblib.dump(model, tmp_path / "km.mdl", protocol=protocol)
    assert_read(tmp_path / "km.mdl", model.cluster_centers_)
    (tmp_path / "km.pt").write_bytes(pickle.dumps(model, protocol=protocol))
    assert_read(tmp_path / "km.pt", model.cluster_centers_)


def test_arrays(tmp_path, frames):
    np.save(tmp_path / "km.npy", frames[:7])
    save_file({"centers": frames[:7]}, tmp_path / "km.safetensors")
    torch.save(torch.from_numpy(frames[:7]), tmp_path / "codebook.pt")
    torch.save({"cluster_centers_": torch.from_numpy(frames[:7]), "n": 3}, tmp_path / "dict.pt")
    joblib.dump(frames[:7], tmp_path / "array.km")
    joblib.dump({"cluster_centers_": np.asfortranarray(frames[:7]), "n": 3}, tmp_path / "dict.km")
    for name in ("km.npy", "km.safetensors", "codebook.pt", "dict.pt", "array.km", "dict.km"):
        assert_read(tmp_path / name, frames[:7])


def test_our_own_file_keeps_its_scale(tmp_path, frames):
    arrays = {"centroids": frames[:7], "mean": frames[8], "scale": np.abs(frames[9])}
    save_file(arrays, tmp_path / "kmeans.safetensors")
    found = read_centroids(tmp_path / "kmeans.safetensors")
    assert all(np.array_equal(found[key], value) for key, value in arrays.items())


@pytest.mark.parametrize("first", [0x80, 0x78])
def test_a_header_whose_length_begins_as_a_pickle_or_zlib_is_read(tmp_path, frames, first):
    path, size = tmp_path / "kmeans.safetensors", 0
    for padding in range(0, 512, 8):
        save_file({"centroids": frames[:7]}, path, {"made": "x" * padding})
        size = int.from_bytes(path.read_bytes()[:8], "little")
        if size % 256 == first:
            break
    assert size % 256 == first
    assert np.array_equal(read_centroids(path)["centroids"], frames[:7])


@pytest.mark.parametrize("compress", [0, 3])
def test_a_call_is_refused_and_not_made(tmp_path, frames, compress):
    model = KMeans(2, n_init=1).fit(frames)
    model.verbose = Attack(tmp_path / "trace")
    joblib.dump(model, tmp_path / "km.bin", compress=compress)
    with pytest.raises(ValueError, match=r"km\.bin are refused: it names (io|_io)\.open"):
        read_centroids(tmp_path / "km.bin")
    assert not (tmp_path / "trace").exists()
    joblib.load(tmp_path / "km.bin")
    assert (tmp_path / "trace").exists(), "the attack does not work, so the test proves nothing"


def test_a_call_in_an_array_of_objects_is_not_made(tmp_path):
    np.save(tmp_path / "km.npy", np.array([Attack(tmp_path / "trace")], dtype=object), allow_pickle=True)
    joblib.dump(np.array([Attack(tmp_path / "trace")], dtype=object), tmp_path / "km.bin")
    for name in ("km.npy", "km.bin"):
        with pytest.raises(ValueError, match="km"):
            read_centroids(tmp_path / name)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("packer", [gzip.compress, bz2.compress, lzma.compress, zlib.compress])
def test_what_unpacks_to_too_much_is_refused_before_it_does(tmp_path, packer):
    (tmp_path / "km.bin").write_bytes(packer(bytes(kmeans_files.MAX_UNPACKED + 1)))
    with pytest.raises(ValueError, match=r"km\.bin are refused: it unpacks to more than \d+ bytes"):
        read_centroids(tmp_path / "km.bin")


def test_a_header_that_announces_more_than_the_file_holds(tmp_path, frames):
    np.save(tmp_path / "km.npy", frames[:7])
    whole = (tmp_path / "km.npy").read_bytes()
    changed = whole.replace(b"(7, 6), }" + b" " * 12, b"(7000000000000, 6), }")
    assert changed != whole and len(changed) == len(whole)
    (tmp_path / "km.npy").write_bytes(changed)
    with pytest.raises(ValueError, match=r"km\.npy are refused"):
        read_centroids(tmp_path / "km.npy")


def test_files_that_hold_something_else(tmp_path, frames):
    joblib.dump(PCA(2).fit(frames), tmp_path / "pca.bin")
    with pytest.raises(ValueError, match=r"holds a sklearn\.decomposition\S*PCA, expected KMeans or MiniBatchKMeans"):
        read_centroids(tmp_path / "pca.bin")
    with pytest.raises(FileNotFoundError, match="km2"):
        read_centroids(tmp_path / "km2.bin")
    (tmp_path / "text.km").write_text("<html>404</html>")
    with pytest.raises(ValueError, match=r"text\.km"):
        read_centroids(tmp_path / "text.km")
    np.save(tmp_path / "flat.npy", frames[0])
    with pytest.raises(ValueError, match=r"an array \(6,\), expected finite centroids"):
        read_centroids(tmp_path / "flat.npy")
    np.save(tmp_path / "nan.npy", np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match="expected finite centroids"):
        read_centroids(tmp_path / "nan.npy")
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("readme.txt", "no")
    with pytest.raises(ValueError, match=r"not a file of torch\.save"):
        read_centroids(tmp_path / "zip.pt")


def test_a_file_that_is_cut_short(tmp_path, frames):
    model = MiniBatchKMeans(50, n_init=1, batch_size=300).fit(frames)
    joblib.dump(model, tmp_path / "km.bin")
    content = (tmp_path / "km.bin").read_bytes()
    for size in (3, 200, len(content) // 2, len(content) - 1):
        (tmp_path / "km.bin").write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"km\.bin"):
            read_centroids(tmp_path / "km.bin")
