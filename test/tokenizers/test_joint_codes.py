"""Codes of several codebooks as one symbol: what training audio has, what a dictionary has, and what neither knows."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from toy_tokenizers import Toy

from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.formats.code_dictionary import parse_dictionary

CHECKPOINT = Path(__file__).resolve().parents[1] / "assets" / "fairseq" / "vq_kmeans.pt"


def base_of(folder):
    """A feature type of two codebooks of 12 entries, in a folder; its path."""
    folder.mkdir(exist_ok=True)
    path = folder / "groups.json"
    path.write_text(json.dumps({"tokenizer": "vq_wav2vec", "model": str(CHECKPOINT)}))
    return path


TOY = Toy(lambda folder: {"base": str(base_of(folder / "conf"))}, edge_frames=3)


def joint(folder, **settings):
    """The feature type `joint` in a folder, with its state there if it was fitted."""
    path = base_of(folder).with_name("joint.json")
    path.write_text(json.dumps({"tokenizer": "joint_codes", "base": "groups", **settings}))
    return load_tokenizer(path, [folder], folder / "state")


def encode(tokenizer, samples):
    return tokenizer.encode(samples[None], torch.tensor([len(samples)]))[0][0]


@pytest.fixture(scope="module")
def seen(tmp_path_factory, fit_audio):
    """What pieces of the prompt have, fitted."""
    folder = tmp_path_factory.mktemp("seen")
    joint(folder).fit(fit_audio[:3], folder / "state", seed=1)
    return joint(folder)


def test_a_symbol_is_a_pair_and_what_training_lacks_is_the_last_one(seen, fit_audio, speech):
    pairs = [tuple(row) for samples, _ in fit_audio[:3] for row in encode(seen.base, samples).tolist()]
    counts = Counter(pairs)
    order = sorted(counts, key=lambda pair: (-counts[pair], pair))
    unknown = len(order)
    assert seen.spec.codebook_sizes == (unknown + 1,) and seen.spec.frame_rate_hz == 100.0
    expected = [
        order.index(pair) if pair in counts else unknown for pair in map(tuple, encode(seen.base, speech).tolist())
    ]
    found = encode(seen, speech)[:, 0].tolist()
    assert found == expected and unknown in found and len(set(found)) > 5
    (vectors,), books = seen.codebooks(), seen.base.codebooks()
    for number, (first, second) in enumerate(order):
        assert torch.equal(vectors[number], torch.cat([books[0][first], books[1][second]]))


def test_a_dictionary_of_fairseq_says_which_pairs_there_are(tmp_path, speech, fit_audio):
    lines = ["3-4 90", "0-11 7", "madeupword0000 0", "11-0 1"]
    (tmp_path / "dict.txt").write_text("\n".join(lines) + "\n")
    tokenizer = joint(tmp_path, dictionary=str(tmp_path / "dict.txt"))
    tokenizer.fit(fit_audio[:1], tmp_path / "state", seed=1)
    assert tokenizer.spec.codebook_sizes == (4,)
    (tmp_path / "dict.txt").unlink()  # the state has what is needed of it
    known = {(3, 4): 0, (0, 11): 1, (11, 0): 2}
    expected = [known.get(tuple(row), 3) for row in encode(tokenizer.base, speech).tolist()]
    assert encode(joint(tmp_path), speech)[:, 0].tolist() == expected
    read = parse_dictionary(enumerate(lines, start=1), "lines")
    assert read.rows == [4, 5, 7] and (read.mask_row, read.unknown_row) == (8, 3)


def test_a_rare_pair_is_unknown_too(tmp_path, seen, fit_audio):
    tokenizer = joint(tmp_path, min_count=3)
    tokenizer.fit(fit_audio[:3], tmp_path / "state", seed=1)
    assert 1 < tokenizer.spec.codebook_sizes[0] < seen.spec.codebook_sizes[0]
    assert "provenance.symbols_sha256" in tokenizer.spec.differences(seen.spec)


def test_what_is_no_dictionary_of_these_codes_is_refused(tmp_path, fit_audio):
    for lines, said in (
        (["3-4 90", "3-4 1"], r"2: '3-4' stands in the dictionary already"),
        (["3-4 90", "5 1"], r"2: '5', expected 2 codes"),
        (["3-4"], r"1: '3-4', expected a symbol and its count"),
        (["a 1"], r"has no codes such as 13-207"),
    ):
        with pytest.raises(ValueError, match=said):
            parse_dictionary(enumerate(lines, start=1), "lines")
    (tmp_path / "dict.txt").write_text("3-12 1\n")
    with pytest.raises(ValueError, match=r"dict\.txt has the codes 3-12, but 'groups' has codebooks of 12, 12 entries"):
        joint(tmp_path, dictionary=str(tmp_path / "dict.txt")).fit(fit_audio[:1], tmp_path / "state", seed=1)
    with pytest.raises(RuntimeError, match=r"'joint' is not fitted"):
        _ = joint(tmp_path).spec
    with pytest.raises(ValueError, match="no combination of codes is in 1000 frames"):
        joint(tmp_path, min_count=1000).fit(fit_audio[:1], tmp_path / "state", seed=1)
