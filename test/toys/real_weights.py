"""Pretrained weights for tests, where this machine has them: nothing is fetched."""

import importlib.metadata
from pathlib import Path

import pytest

from icefall_discrete.base.weights import find_weights
from icefall_discrete.base.weights_fetch import missing_files, weights_folder


def real_weights(name) -> Path:
    """The folder of the weights called `name`; the test is skipped if they are neither fetched nor installed."""
    entry = find_weights(name)
    try:
        if missing_files(entry):
            [importlib.metadata.distribution(package.name) for package in entry.packages]
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"weights {name} are not here; fetch them with local/fetch_weights.py {name}")
    return weights_folder(name)
