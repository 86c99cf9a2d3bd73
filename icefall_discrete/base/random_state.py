"""The state of every random generator that training draws from, as plain values a checkpoint can hold."""

import random
from typing import Any, Dict, Mapping

import numpy as np
import torch

_WORDS = 624  # of the Mersenne twister


def seed_everything(seed: int) -> None:
    """Seed python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def capture() -> Dict[str, Any]:
    """Return the states of python, numpy, torch CPU and CUDA generators as tensors and numbers."""
    version, words, gauss = random.getstate()
    numpy = np.random.get_state(legacy=False)
    return {
        "python": {"version": version, "words": torch.tensor(words, dtype=torch.int64), "gauss": gauss},
        "numpy": {
            "name": str(numpy["bit_generator"]),
            "keys": torch.from_numpy(numpy["state"]["key"].astype(np.int64)),
            "position": int(numpy["state"]["pos"]),
            "has_gauss": int(numpy["has_gauss"]),
            "cached": float(numpy["gauss"]),
        },
        "torch": torch.get_rng_state(),
        # A process draws from the generator of its own device only.
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def restore(state: Mapping[str, Any]) -> None:
    """Put every generator back to what `capture` returned; that of the CUDA device where there is one now as then."""
    python, numpy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    keys = numpy["keys"].numpy().astype(np.uint32)
    if keys.shape != (_WORDS,) or not 0 <= numpy["position"] <= _WORDS:  # which numpy believes
        raise ValueError(f"a state of numpy's generator has {keys.shape} words and position {numpy['position']!r}.")
    np.random.set_state((numpy["name"], keys, numpy["position"], numpy["has_gauss"], numpy["cached"]))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
