import sys
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # tiny models gain nothing from more, and lose much where the machine is shared
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for synthetic_codes


@pytest.fixture(scope="session")
def corpus_dir(tmp_path_factory):
    from synthetic_codes import write_corpus

    return write_corpus(tmp_path_factory.mktemp("synthetic") / "corpus")
