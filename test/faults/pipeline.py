"""A toy corpus and every stage on it, as commands; each reads what those before it made."""

import json
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

from synthetic_codes import TINY_RECIPE
from toy_corpus import write_conf, write_manifest
from toy_fits import SMALL_CODEC, SMALL_HUBERT

from icefall_discrete.base.settings import to_dict

ROOT = Path(__file__).resolve().parents[2]
SPLITS = (("train", 14, 0), ("dev", 5, 1))
RECIPE = {
    **TINY_RECIPE,
    "train": {**TINY_RECIPE["train"], "save_every_n": 3, "average_period": 1, "device": "cpu"},
    "bpe": {"vocab_size": 30},
    "average": {"avg": 1},
    "decode": {"decoding_method": "greedy_search"},
}


class FaultStage(NamedTuple):
    """A stage of the toy pipeline.

    command: script and arguments. inputs: glob patterns of what it reads, in the working folder, to be changed.
    needs_k2: whether it needs k2.
    """

    name: str
    command: Tuple[str, ...]
    inputs: Tuple[str, ...]
    needs_k2: bool = False


def write_inputs(work: Path) -> None:
    """The toy corpus, feature types and the recipe."""
    for split, num_cuts, seed in SPLITS:
        write_manifest(work / "manifests", split, num_cuts, seed)
    conf = write_conf(work / "conf")
    (conf / "recipe.json").write_text(json.dumps(RECIPE))
    for name, kind, settings in (("codec", "trained_codec", SMALL_CODEC), ("hubert", "trained_hubert", SMALL_HUBERT)):
        (conf / f"{name}.json").write_text(json.dumps({"tokenizer": kind, **to_dict(settings)}))


def _flags(values: Dict[str, object]) -> List[str]:
    return [word for name, value in values.items() for word in (f"--{name}", str(value))]


def _stage(
    name: str, script: str, inputs: Tuple[str, ...], flags: Dict[str, object], needs_k2: bool = False
) -> FaultStage:
    path = ROOT / ("tools" if script.startswith("make_results") else "local") / script
    return FaultStage(name, (str(path), *_flags(flags)), inputs, needs_k2)


def _without_pairs(work: Path, manifests: Tuple[Path, Path]) -> List[FaultStage]:
    """Recognition from speech and text that are no pairs, and audio without silence for it."""
    codes, exp, voiced = work / "features" / "small_km", work / "unpaired", work / "voiced"
    cut = {"cuts": manifests[0], "audio-dir": voiced, "output": voiced / "toy_cuts_train.jsonl.gz"}
    small = {"steps": 6, "check-steps": 3, "save-steps": 2, "batch-size": 4, "clusters": 6, "pca-dim": 0}
    heard = {"exp-dir": exp, "feature-dir": codes}
    train = {**heard, "text-cuts": manifests[1], "num-seeds": 2, "min-words": 1, "device": "cpu", **small}
    reads = ("features/small_km/dev.*", "unpaired/*.json", "unpaired/pooling.safetensors", "unpaired/seeds/*/gen*")
    say = {**heard, "split": "dev", "all-seeds": "true", "pseudo-labels": exp / "said.jsonl.gz"}
    return [
        _stage("cut silence", "cut_silence.py", ("manifests/toy_cuts_train.jsonl.gz",), cut),
        _stage(
            "train without pairs", "train_unsupervised.py", ("features/small_km/[dt]*", "manifests/toy*dev*"), train
        ),
        _stage("say without pairs", "say_unsupervised.py", reads, say),
        _stage("score without pairs", "score_unsupervised.py", ("unpaired/said/*",), {**heard, "splits": "dev"}),
    ]


def stages(work: Path) -> List[FaultStage]:
    """All stages, in an order in which each finds what it reads."""
    features, lang, exp = work / "features" / "small_km", work / "lang", work / "exp"
    train, dev = (work / "manifests" / f"toy_cuts_{split}.jsonl.gz" for split, _, _ in SPLITS)
    audio = "audio/train/*.wav"
    manifests, codes = "manifests/toy_cuts_*.jsonl.gz", "features/small_km/*"
    made: List[FaultStage] = []

    def add(name: str, script: str, inputs: Tuple[str, ...], flags: Dict[str, object], needs_k2: bool = False) -> None:
        made.append(_stage(name, script, inputs, flags, needs_k2))

    source = {"feature-type": "small_km", "conf-dir": work / "conf"}
    fit = {"cuts": train, "out-dir": features}
    add("fit", "fit_tokenizer.py", (manifests, f"manifests/{audio}", "conf/small_km.json"), {**source, **fit})
    for split, cuts, factors in (("dev", dev, "1.0"), ("train", train, "0.9 1.0")):
        flags = {**source, "cuts": cuts, "split": split, "out-dir": features, "speed-factors": factors}
        inputs = (manifests, "manifests/audio/*/*.wav", "conf/small_km.json", codes)
        add(f"extract {split}", "extract_codes.py", inputs, flags)
    add("check", "check_cuts.py", (codes,), {"feature-dir": features, "splits": "train,dev"})
    add("bpe", "train_bpe.py", (manifests,), {"cuts": train, "lang-dir": lang, "vocab-size": 30})
    texts = {"cuts": train, "dev-cuts": dev, "lang-dir": lang}
    small = {"lm-dim": 16, "lm-layers": 1, "lm-num-epochs": 2, "lm-warmup-batches": 5}
    add("ngram lm", "train_lm.py", (manifests, "lang/*"), {**texts, "lm-dir": work / "lm_ngram"})
    lstm = {**texts, "lm-dir": work / "lm_lstm", "lm-type": "lstm", **small}
    add("neural lm", "train_lm.py", (manifests, "lang/*"), lstm)
    graphs = {"cuts": train, "lang-dir": lang, "graph-dir": work / "graphs"}
    add("graphs", "compile_graphs.py", (manifests, "lang/*"), graphs, True)
    add("shar", "export_shar.py", (codes,), {"feature-dir": features, "shar-dir": work / "shar", "shard-size": 9})
    recipe = {"recipe-config": work / "conf" / "recipe.json", "exp-dir": exp}
    flags = {**recipe, "feature-dir": features, "lang-dir": lang, "conf-dir": work / "conf", "backend": "torch"}
    add("train", "train.py", (codes, "lang/*", "conf/recipe.json"), flags)
    add("average", "average.py", ("exp/epoch-*.pt", "conf/recipe.json"), recipe)
    reads = ("exp/epoch-*.pt", "exp/*.json", "exp/bpe.model", codes)
    lm = {"lm": work / "lm_lstm", "decoding-method": "modified_beam_search", "lm-scale": 0.2}
    add("decode", "decode.py", reads, {**recipe, "feature-dir": features, "splits": "dev", "device": "cpu"})
    decode = {**recipe, **lm, "feature-dir": features, "splits": "dev", "device": "cpu"}
    add("decode with lm", "decode.py", (*reads, "lm_lstm/*"), decode)
    score = {"exp-dir": exp, "results-dir": work / "results", "run-command": "toy"}
    add("score", "score.py", ("exp/greedy_search/*", codes), score)
    results = {"results-dir": work / "results", "output": work / "RESULTS.md", "test-split": "dev"}
    add("results", "make_results.py", ("results/*.json",), results)
    noise = {"cuts": dev, "train-cuts": train, "audio-dir": work / "noisy", "snrs": "10", "kinds": "white,babble"}
    add("noise", "make_noisy.py", (manifests, f"manifests/{audio}"), noise)
    made += _without_pairs(work, (train, dev))
    for name in ("codec", "hubert"):
        own = {"feature-type": name, "conf-dir": work / "conf", "cuts": train, "out-dir": work / "features" / name}
        add(f"train {name}", "fit_tokenizer.py", (manifests, f"manifests/{audio}", f"conf/{name}.json"), own)
    return made
