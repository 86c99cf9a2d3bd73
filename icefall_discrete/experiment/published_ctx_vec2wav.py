"""A published CTX-vec2wav, read as data, and made into an experiment folder."""

import struct
from pathlib import Path
from typing import Dict

import numpy as np
import torch
from torch import Tensor

from icefall_discrete.base.guarded_pickle import read_checkpoint, tensors_of
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.targets.voices import VoiceTargets
from icefall_discrete.experiment.folder import CODEBOOKS_FILE, read_codebooks
from icefall_discrete.experiment.unit_hifigan import keep_vocoder
from icefall_discrete.nn.loading import require_finite
from icefall_discrete.systems.vocoder.ctx_vec2wav_names import from_published, input_width
from icefall_discrete.systems.vocoder.network import build_vocoder
from icefall_discrete.systems.vocoder.settings import TrainSettings

_EXPECTED = "give the generator's checkpoint, such as ctx_v2w.pkl"
_MATRIX = struct.Struct("<2s3sbibi")  # of Kaldi: a mark, the type, rows and columns, each behind its size
_TYPES = {b"DM ": "<f8", b"FM ": "<f4"}
_LEAST_DEVIATION = 1e-20


def read_generator(path: Path) -> Dict[str, Tensor]:
    """The weights of a checkpoint's generator. Raises ValueError, naming the file, if it has none."""
    loaded = read_checkpoint(path, advice=_EXPECTED)
    for name in ("model", "generator"):
        if isinstance(loaded, dict) and isinstance(loaded.get(name), dict):
            loaded = loaded[name]
    return tensors_of(loaded, str(path))


def read_statistics(path: Path, num_bins: int) -> Dict[str, Tensor]:
    """Mean and deviation (M,) of mel bins, by Kaldi's sums, a binary matrix (2, M + 1) as cmvn.ark is.

    Raises ValueError, naming the file, if it is none of so many bins.
    """
    data = path.read_bytes()
    wrong = ValueError(f"{path} holds no sums of {num_bins} mel bins as Kaldi writes them; give cmvn.ark.")
    if len(data) < _MATRIX.size:
        raise wrong
    mark, kind, _, rows, _, columns = _MATRIX.unpack_from(data)
    if mark != b"\0B" or kind not in _TYPES or (rows, columns) != (2, num_bins + 1):
        raise wrong
    values = np.frombuffer(data[_MATRIX.size :], _TYPES[kind]).astype(np.float64)
    if values.size != rows * columns or not values[num_bins] > 0:
        raise wrong
    sums, squares = values.reshape(2, -1)
    mean = sums[:-1] / sums[-1]
    deviation = np.sqrt(np.maximum(squares[:-1] / sums[-1] - mean**2, _LEAST_DEVIATION))
    return {"log_mel.mean": torch.from_numpy(mean).float(), "log_mel.deviation": torch.from_numpy(deviation).float()}


def write_experiment(exp_dir: Path, checkpoint: Path, statistics: Path, feature_dir: Path) -> TrainSettings:
    """Make `exp_dir` an experiment folder with the weights as averaged.pt, which the commands that speak take.

    Args:
      statistics: cmvn.ark, of the mel spectra. feature_dir: of the codes that the vocoder was made for, as extraction
        leaves it: spec.json, codebooks.safetensors, tokenizer/.
    Returns:
      the settings; those of the training have our defaults.
    Raises:
      ValueError: if weights, statistics and codes do not belong together; the folder is not made then.
    """
    weights = read_generator(checkpoint)
    require_finite(weights, str(checkpoint))
    spec, found = FeatureSpec.read(feature_dir / "spec.json"), from_published(weights, str(checkpoint))
    books = read_codebooks(feature_dir / CODEBOOKS_FILE)
    width = input_width(found.state)
    if books is None or sum(book.shape[1] for book in books) != width or len({book.shape[1] for book in books}) != 1:
        raise ValueError(
            f"{checkpoint} reads vectors of {width} values of each frame, which the codebooks in {feature_dir} do not "
            "give; give the features of the codes that it was made for, with their codebooks.safetensors."
        )
    settings = TrainSettings.from_dict({"model": found.settings}, str(checkpoint))
    network = build_vocoder(settings.model, spec, 1, books)
    told = read_statistics(statistics, network.front.prompt_bins)
    # As they are: a training of ours would standardise them.
    table = torch.cat([*books, books[0].new_zeros(1, books[0].shape[1])])
    network.load_trained({**found.state, **told, "input_embedding.table": table}, str(checkpoint))
    keep_vocoder(exp_dir, settings, VoiceTargets("speaker", {}), network, feature_dir, checkpoint)
    return settings
