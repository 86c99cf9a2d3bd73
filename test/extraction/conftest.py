"""What tests of extraction share."""

import pytest
from toy_corpus import make_cuts, make_tokenizer

from icefall_discrete.extraction import extract as extraction


@pytest.fixture
def small_batches(monkeypatch):
    """A few cuts are several batches, each of which is kept at once."""
    monkeypatch.setattr(extraction, "BATCH_SEC", 3.0)
    monkeypatch.setattr(extraction, "SYNC_EVERY_SEC", 0.0)


@pytest.fixture(scope="module")
def cuts(tmp_path_factory):
    """Cuts with audio of their own."""
    return make_cuts(tmp_path_factory.mktemp("audio"))


@pytest.fixture(scope="module")
def reference(request, cuts, tmp_path_factory):
    """The files of one job alone that nothing disturbed, at the speeds that the test file names as SPEEDS."""
    folder = tmp_path_factory.mktemp("reference")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extraction, "BATCH_SEC", 3.0)
        extraction.extract(cuts, make_tokenizer, folder, "train", request.module.SPEEDS)
    return folder
