#!/usr/bin/env python3
"""Extraction of k-means units from a model of HuBERT large's size, against the plain loop that most scripts are.

The model has random weights. The plain loop takes one utterance at a time through the defaults of transformers: the
hidden states of all layers are kept, then the wanted one is held against the centroids. Ours is the library's
`extract`, utterance by utterance and, with `--batch-duration`, several at once, of whose codes some are held against
those of utterances alone. With `--device cuda` all run there. Each runs in a fresh process, on one utterance for each
of its processes to warm up and once more, then on all: the difference is free of the time that importing and loading
take, and gives audio seconds a second.
"""

import dataclasses
import functools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

import numpy as np
import soundfile
import torch
from lhotse import MonoCut, Recording

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.settings import setting
from icefall_discrete.data.cuts import load_cuts, write_cuts
from icefall_discrete.extraction import extract as extraction
from icefall_discrete.tokenizers import load_tokenizer

FEATURE_TYPE = "large"


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """What is measured."""

    cuts: str = setting(
        "egs/asterisk/ASR/data/manifests/asterisk_cuts_test.jsonl.gz", "manifest to take cuts from; empty: of noise"
    )
    num_cuts: int = setting(20, "number of cuts")
    min_sec: float = setting(2.0, "duration of the shortest")
    max_sec: float = setting(3.0, "duration of the longest")
    num_layers: int = setting(24, "layers of the network", minimum=1)
    dim: int = setting(1024, "dimension of its layers, of 64 in each attention head", minimum=64)
    layer: int = setting(24, "layer whose units are wanted")
    num_clusters: int = setting(2000, "entries of the codebook")
    device: str = setting("cpu", "where networks run: cpu, cuda, or cuda:N")
    dtype: Tuple[str, ...] = setting(
        ("float32",), "numbers that ours computes in: the first ones alone, with --batch-duration each"
    )
    batch_duration: float = setting(
        0.0, "seconds of padded audio that ours takes at once, in one more variant; 0: none", minimum=0
    )
    repeats: int = setting(1, "times that each variant is run; the median counts")
    clock: str = setting(
        "wall", "wall, or cpu: processor time of all processes, for a busy machine", choices=("wall", "cpu")
    )
    variant: str = setting("", "used by the benchmark itself: run this variant and print what it took")
    work_dir: str = setting("", "used by the benchmark itself: folder of the model and the cuts")


class Variant(NamedTuple):
    """Who encodes, in how many processes of how many threads, how many seconds at once, and in which numbers."""

    kind: str
    processes: int
    threads: int
    batch_duration: float = 0.0
    dtype: str = "float32"

    @property
    def name(self) -> str:
        """As the table shows it."""
        at_once = f", {self.batch_duration:g} s at once" if self.batch_duration else ""
        numbers = f", {self.dtype}" if self.dtype != "float32" else ""
        return f"{self.kind}, {self.processes} x {self.threads} threads{at_once}{numbers}"


def variants(config: BenchConfig) -> List[Variant]:
    """The plain loop on all cores, ours with a process on each; then both on one core, and ours side by side.

    A device is one process's: there the plain loop, ours, and ours side by side.
    """
    cores = len(os.sched_getaffinity(0)) if config.device == "cpu" else 1
    first = config.dtype[0]
    found = [
        Variant("plain", 1, cores),
        Variant("ours", cores, 1, dtype=first),
        Variant("plain", 1, 1),
        Variant("ours", 1, 1, dtype=first),
    ]
    if config.batch_duration:
        found += [Variant("ours", 1, 1, config.batch_duration, dtype) for dtype in config.dtype]
    return list(dict.fromkeys(found))


def make_model(work_dir: Path, config: BenchConfig) -> None:
    """Write a random model, random centroids and the feature type that names them."""
    from transformers import HubertConfig, HubertModel

    torch.manual_seed(0)
    large = HubertConfig(
        hidden_size=config.dim,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.dim // 64,
        intermediate_size=4 * config.dim,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        conv_bias=True,
    )
    HubertModel(large).save_pretrained(work_dir / "model")
    (work_dir / "model" / "preprocessor_config.json").write_text(json.dumps({"do_normalize": True}))
    np.save(
        work_dir / "centroids.npy", np.random.default_rng(0).standard_normal((config.num_clusters, config.dim), "f4")
    )
    values = {
        "tokenizer": "ssl_kmeans",
        "model": str(work_dir / "model"),
        "layer": config.layer,
        "num_clusters": config.num_clusters,
        "kmeans_path": str(work_dir / "centroids.npy"),
    }
    (work_dir / f"{FEATURE_TYPE}.json").write_text(json.dumps(values))


@torch.no_grad()
def run_plain(cuts: List[MonoCut], work_dir: Path, config: BenchConfig) -> None:
    """The plain loop; codes are written one file each."""
    from transformers import HubertModel

    model = HubertModel.from_pretrained(work_dir / "model").eval().to(config.device)
    centroids = torch.from_numpy(np.load(work_dir / "centroids.npy", allow_pickle=False)).to(config.device)
    for cut in cuts:
        audio = torch.from_numpy(cut.load_audio()).to(config.device)
        audio = (audio - audio.mean()) / torch.sqrt(audio.var() + 1e-7)
        states = model(audio, output_hidden_states=True).hidden_states[config.layer][0]
        np.save(work_dir / f"{cut.id}.npy", torch.cdist(states, centroids).argmin(dim=1).cpu().numpy())


def run_ours(cuts: List[MonoCut], work_dir: Path, variant: Variant, config: BenchConfig) -> Dict[str, int]:
    """The library's extraction; of how many codes it was seen whether going together changed them, and of how many."""
    extraction.BATCH_SEC = 0.0  # a cut is a batch, so that few cuts can be divided
    make = functools.partial(load_tokenizer, FEATURE_TYPE, [work_dir])
    settings = extraction.ExtractionConfig(
        nj=variant.processes,
        device=config.device,
        dtype=variant.dtype,
        batch_duration=variant.batch_duration,
        max_flipped_fraction=1.0,  # told, not judged
    )
    with tempfile.TemporaryDirectory() as out_dir:
        figures = extraction.extract(cuts, make, Path(out_dir), "bench", settings)
    return {key: figures.get("together", {}).get(key, 0) for key in ("checked", "flipped")}


def run_variant(variant: Variant, num_cuts: int, config: BenchConfig) -> Dict[str, float]:
    """Encode the first cuts in this process; seconds by both clocks, audio, and flips."""
    work_dir = Path(config.work_dir)
    torch.set_num_threads(variant.threads)
    cuts = list(load_cuts(work_dir / "cuts.jsonl.gz"))[:num_cuts]
    begun, before, flips = time.perf_counter(), processor_seconds(), {"checked": 0, "flipped": 0}
    if variant.kind == "plain":
        run_plain(cuts, work_dir, config)
    else:
        flips = run_ours(cuts, work_dir, variant, config)
    return {
        "wall": time.perf_counter() - begun,
        "cpu": processor_seconds() - before,
        "audio": sum(cut.duration for cut in cuts),
        **flips,
    }


def processor_seconds() -> float:
    """Of this process and of those that it has ended."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in usage)


def run_twice(variant: Variant, config: BenchConfig) -> Dict[str, float]:
    """One utterance for each process, twice, then all: what the others took, flips, and the largest process in MiB."""
    _, few = (run_variant(variant, variant.processes, config) for _ in range(2))
    many = run_variant(variant, config.num_cuts, config)
    whose = [resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN][: 2 if variant.processes > 1 else 1]
    biggest = max(resource.getrusage(who).ru_maxrss for who in whose)
    more = {key: many[key] - few[key] for key in ("wall", "cpu", "audio")}
    return {**more, "checked": many["checked"], "flipped": many["flipped"], "mib": biggest / 1024}


def in_fresh_process(index: int, config: BenchConfig, work_dir: Path) -> Dict[str, float]:
    """Run a variant in a process of its own, which is as a stage would find it."""
    taken = {"variant": index, "work_dir": work_dir, "dtype": ",".join(config.dtype)}
    taken.update({name: getattr(config, name) for name in ("num_cuts", "layer", "device", "batch_duration")})
    flags = [part for name, value in taken.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, __file__, *flags]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{variants(config)[index].name} failed: {done.stderr.splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(index: int, config: BenchConfig, work_dir: Path) -> Tuple[float, float, str]:
    """Audio seconds a second of a variant, without import and loading, the memory of its largest process, and flips."""
    runs = [in_fresh_process(index, config, work_dir) for _ in range(config.repeats)]
    rate = statistics.median(run["audio"] / run[config.clock] for run in runs)
    flips = f"{runs[-1]['flipped']:.0f} of {runs[-1]['checked']:.0f}" if runs[-1]["checked"] else ""
    return rate, max(run["mib"] for run in runs), flips


def noise_cuts(config: BenchConfig, folder: Path) -> List[MonoCut]:
    """Cuts of white noise, their durations spread evenly from the shortest to the longest, in a mixed order."""
    generator = np.random.default_rng(0)
    found = []
    for index, seconds in enumerate(
        generator.permutation(np.linspace(config.min_sec, config.max_sec, config.num_cuts))
    ):
        path = folder / f"noise-{index}.wav"
        soundfile.write(path, 0.1 * generator.standard_normal(round(16000 * seconds)), 16000)
        found.append(Recording.from_file(path).to_cut())
    return found


def chosen_cuts(config: BenchConfig, folder: Path) -> List[MonoCut]:
    """The cuts that are encoded.

    Raises:
      ValueError: if the manifest has too few of the wanted durations.
    """
    if not config.cuts:
        return noise_cuts(config, folder)
    fitting = [cut for cut in load_cuts(config.cuts) if config.min_sec <= cut.duration <= config.max_sec]
    if len(fitting) < config.num_cuts:
        raise ValueError(f"{config.cuts} has only {len(fitting)} cuts of {config.min_sec} to {config.max_sec} s.")
    return fitting[: config.num_cuts]


def main() -> None:
    """Measure and print the table."""
    config = config_from_flags(BenchConfig, __doc__)
    if config.variant:
        print(json.dumps(run_twice(variants(config)[int(config.variant)], config)))
        return
    with tempfile.TemporaryDirectory() as folder:
        cuts = chosen_cuts(config, Path(folder))
        make_model(Path(folder), config)
        write_cuts(Path(folder) / "cuts.jsonl.gz", cuts)
        seconds = sum(cut.duration for cut in cuts)
        where = f"{config.device}, torch {torch.__version__}"
        print(f"{len(cuts)} utterances, {seconds:.0f} s, layer {config.layer} of {config.num_layers}, {where}")
        print(f"| variant | audio s a second ({config.clock}) | times the first | MiB | codes unlike those alone |")
        print("|---|---|---|---|---|")
        base = 0.0
        for index, variant in enumerate(variants(config)):
            rate, memory, flips = measure(index, config, Path(folder))
            base = base or rate
            print(f"| {variant.name} | {rate:.2f} | {rate / base:.2f} | {memory:.0f} | {flips} |", flush=True)


if __name__ == "__main__":
    main()
