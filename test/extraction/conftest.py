"""What tests of extraction share."""

import pytest

from icefall_discrete.extraction import extract as extraction


@pytest.fixture
def small_batches(monkeypatch):
    """A few cuts are several batches, each of which is kept at once."""
    monkeypatch.setattr(extraction, "BATCH_SEC", 3.0)
    monkeypatch.setattr(extraction, "SYNC_EVERY_SEC", 0.0)
