#!/usr/bin/env python3
"""Our k-means against scikit-learn's: distortion, time, and memory as the stream of frames grows.

On the same frames: ours (base/clustering.py), on `--device` too if it is no CPU, KMeans (Lloyd to convergence, all
frames), and MiniBatchKMeans with the settings of fairseq's simple_kmeans. Times are of one fit each, distortion is the
mean squared distance of a frame to its centroid. Memory is the peak of a fresh process that samples a stream and
clusters the sample.
"""

import dataclasses
import json
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

import numpy as np
import torch
from sklearn.cluster import KMeans, MiniBatchKMeans

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from icefall_discrete.audio.reading import load_samples
from icefall_discrete.base.clustering import FrameSample, distortion, fit_centroids
from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.settings import setting
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.quantizers.kmeans import KmeansConfig

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
FAIRSEQ = {
    "init": "k-means++",
    "max_iter": 100,
    "batch_size": 10000,
    "tol": 0.0,
    "max_no_improvement": 100,
    "n_init": 20,
    "reassignment_ratio": 0.0,
}


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """Frames and clusters."""

    cuts: str = setting(
        "egs/asterisk/ASR/data/manifests/asterisk_cuts_test.jsonl.gz",
        "manifest whose MFCCs are clustered; empty: a mixture",
    )
    frames: int = setting(20000, "frames M: at most, if of cuts; else of 2 V Gaussians")
    dim: int = setting(39, "dimensions D of the mixture")
    clusters: int = setting(200, "clusters V")
    memory_mib: int = setting(16, "memory for the sample, in the part that measures memory")
    device: str = setting("cpu", "one more that ours computes on: cuda or cuda:N")
    only: Tuple[str, ...] = setting((), "ways to measure, by the start of their names; all that there are")
    growth: Tuple[int, ...] = setting((1, 4, 16), "sizes of the stream, in multiples of what the sample holds; 0: none")
    seed: int = setting(0, "of frames and fits")
    clock: str = setting("wall", "wall, or cpu: processor time, for a busy machine", choices=tuple(CLOCKS))
    stream: int = setting(0, "used by the benchmark itself: fit on a stream of this size and print the memory")


def mixture(num_frames: int, config: BenchConfig) -> Iterator[np.ndarray]:
    """Chunks (T, D) of frames from Gaussians whose sizes differ."""
    generator = np.random.default_rng(config.seed)
    count = 2 * config.clusters
    means = generator.standard_normal((count, config.dim)).astype(np.float32)
    shares = generator.dirichlet(np.full(count, 0.5))
    scales = generator.uniform(0.2, 0.8, (count, 1)).astype(np.float32)
    for start in range(0, num_frames, 500):
        chosen = generator.choice(count, min(500, num_frames - start), p=shares)
        noise = generator.standard_normal((len(chosen), config.dim), dtype=np.float32)
        yield means[chosen] + scales[chosen] * noise


def mfcc_frames(config: BenchConfig) -> np.ndarray:
    """MFCCs (M, 39) of the cuts, standardised as the feature type mfcc_km500 does."""
    tokenizer = load_tokenizer("mfcc_km500")
    found, count = [], 0
    for cut in load_cuts(config.cuts):
        found.append(tokenizer.frames(load_samples(cut, tokenizer.sample_rate_hz)).numpy())
        count += len(found[-1])
        if count >= config.frames:
            break
    frames = np.concatenate(found)[: config.frames]
    return (frames - frames.mean(axis=0)) / frames.std(axis=0)


def ours(frames: np.ndarray, config: BenchConfig, device: str) -> np.ndarray:
    """Centroids by the library on a device, with the defaults of its settings."""
    defaults = KmeansConfig()
    passes = (defaults.num_restarts, defaults.num_passes, defaults.num_full_passes, defaults.num_breaths)
    return fit_centroids(frames, config.clusters, *passes, config.seed, torch.device(device))[0]


def of_sklearn(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Centroids by a model of scikit-learn."""
    return lambda frames: model.fit(frames).cluster_centers_.astype(np.float32)


def print_fits(frames: np.ndarray, config: BenchConfig) -> None:
    """Fit by each way on the same frames, and print the table."""
    fits = {
        "ours": lambda data: ours(data, config, "cpu"),
        f"ours on {config.device}": lambda data: ours(data, config, config.device),
        "KMeans, one start": of_sklearn(KMeans(config.clusters, n_init=1, random_state=config.seed)),
        "MiniBatchKMeans as fairseq": of_sklearn(
            MiniBatchKMeans(config.clusters, compute_labels=False, random_state=config.seed, **FAIRSEQ)
        ),
    }
    if torch.device(config.device).type == "cpu":
        del fits[f"ours on {config.device}"]
    else:
        fit_centroids(frames[:100], 10, 1, 1, 1, 0, config.seed, torch.device(config.device))  # wakes the device
    fits = {name: fit for name, fit in fits.items() if not config.only or name.startswith(config.only)}
    print("| k-means | s | times the time of the first | distortion | against the first |")
    print("|---|---|---|---|---|")
    first: Optional[Tuple[float, float]] = None
    for name, fit in fits.items():
        begun = CLOCKS[config.clock]()
        centroids = fit(frames)
        seconds, score = CLOCKS[config.clock]() - begun, distortion(frames, centroids)
        first = first or (seconds, score)
        relative = score / first[1] - 1
        print(f"| {name} | {seconds:.2f} | {seconds / first[0]:.2f} | {score:.4f} | {relative:+.2%} |", flush=True)


def fit_stream(config: BenchConfig) -> Dict[str, float]:
    """Sample a stream of `config.stream` frames, cluster the sample; frames seen and peak memory in MiB."""
    capacity = config.memory_mib * 2**20 // (4 * config.dim)
    sample = FrameSample(capacity, config.dim, config.seed)
    for chunk in mixture(config.stream, config):
        sample.add(chunk)
    fit_centroids(sample.frames, config.clusters, 1, 1, 1, 1, config.seed)
    return {"seen": sample.num_seen, "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def print_memory(config: BenchConfig) -> None:
    """Fit on longer and longer streams, each in a fresh process, and print the table."""
    capacity = config.memory_mib * 2**20 // (4 * config.dim)
    print(f"\n| frames seen, of which the sample holds {capacity} | peak MiB |")
    print("|---|---|")
    for times in config.growth:
        flags = ["--stream", str(times * capacity), "--memory-mib", str(config.memory_mib), "--clusters", "50"]
        command = [sys.executable, __file__, *flags, "--dim", str(config.dim)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"| {found['seen']} ({times} x) | {found['mib']:.0f} |")


def main() -> None:
    """Measure and print the tables."""
    config = config_from_flags(BenchConfig, __doc__)
    warnings.simplefilter("ignore")
    if config.stream:
        print(json.dumps(fit_stream(config)))
        return
    frames = mfcc_frames(config) if config.cuts else np.concatenate(list(mixture(config.frames, config)))
    what = "MFCCs" if config.cuts else "a mixture"
    print(f"{len(frames)} frames of {what}, {frames.shape[1]} dimensions, {config.clusters} clusters, ", end="")
    print(f"{config.clock} time, {torch.get_num_threads()} threads")
    print_fits(frames, config)
    if any(config.growth):
        print_memory(config)


if __name__ == "__main__":
    main()
