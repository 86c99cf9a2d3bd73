"""What runs on a CUDA device is the same function as on the CPU; skipped where torch finds none."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for synthetic_codes


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="torch finds no CUDA device"))


@pytest.fixture(autouse=True)
def full_float32():
    """No TF32: differences are then rounding only."""
    with torch.backends.cudnn.flags(enabled=True, deterministic=False, allow_tf32=False):
        yield


@pytest.fixture(scope="session")
def corpus_dir(tmp_path_factory):
    from synthetic_codes import write_corpus

    return write_corpus(tmp_path_factory.mktemp("synthetic") / "corpus", num_train=40)
