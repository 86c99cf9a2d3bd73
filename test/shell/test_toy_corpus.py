"""A corpus is a folder without model code: run.sh and local/prepare.py, in a tree of its own, run every real stage.

The corpus is of speech without text, whose speakers are told apart.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from stage_scripts import ROOT, write

RUN_SH = """#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
. "$ROOT/tools/recipe_options.sh"
feature_type=tones_km16                # conf/features/<name>.json
. "$ROOT/tools/parse_options.sh"
corpus=tones title=Tones train_split=train dev_splits=dev test_splits=test corpus_options=
. "$ROOT/tools/recipe.sh"
manifests_stage "manifests" python local/prepare.py "$data_dir"
run_stages
"""
PREPARE = """
import sys
from pathlib import Path

import numpy as np
import soundfile
from lhotse import MonoCut, Recording, SupervisionSegment

from icefall_discrete.data.manifests import write_split

RATE = 16000
data_dir = Path(sys.argv[1])
(data_dir / "audio").mkdir(parents=True, exist_ok=True)
generator = np.random.default_rng(0)
for split, number in (("train", 12), ("dev", 3), ("test", 3)):
    cuts = []
    for speaker, pitch in (("low", 200), ("middle", 900), ("high", 3000)):
        for index in range(number):
            name = f"{split}-{speaker}-{index}"
            path = data_dir / "audio" / f"{name}.wav"
            time = np.arange(int(RATE * generator.uniform(0.6, 1.2))) / RATE
            tone = 0.3 * np.sin(2 * np.pi * pitch * time) + 0.01 * generator.standard_normal(len(time))
            soundfile.write(path, tone, RATE)
            recording = Recording.from_file(path, recording_id=name)
            about = SupervisionSegment(name, name, 0.0, recording.duration, speaker=speaker)
            cuts.append(MonoCut(name, 0.0, recording.duration, 0, supervisions=[about], recording=recording))
    write_split(data_dir / "manifests", "tones", split, cuts, required=("speaker",))
"""
FEATURES = {"tokenizer": "mfcc_kmeans", "num_clusters": 16}
MODEL = {
    "downsampling_factor": [1, 2],
    "encoder_dim": [32, 32],
    "num_encoder_layers": [1, 1],
    "encoder_unmasked_dim": [32],
    "num_heads": [2],
    "query_head_dim": [8],
    "value_head_dim": [8],
    "feedforward_dim": [64],
    "cnn_module_kernel": [7],
    "warmup_batches": 20.0,
    "front_end": "conv1d",
    "embedding_dim": 16,
}
RECIPE = {
    "description": "Who speaks.",
    "system": "classification",
    "target": {"fact": "speaker"},
    "model": MODEL,
    "loader": {"max_duration": 8.0, "num_buckets": 2},
    "augment": {"augment_start_epoch": 99},
    "train": {"num_epochs": 8, "average_period": 1, "lr_warmup_batches": 5.0, "ref_duration": 4.0},
    "average": {"avg": 2},
}


def tree(root):
    """The tools, stages and library, and beside them a recipe of two files of code."""
    for path in (ROOT / "tools").glob("*.sh"):
        write(root / "tools" / path.name, path.read_text())
    shutil.copy(ROOT / "tools" / "make_results.py", root / "tools" / "make_results.py")
    exports = f'export PATH="{Path(sys.executable).parent}:$PATH"\n'
    exports += f'export PYTHONPATH="{ROOT}${{PYTHONPATH:+:$PYTHONPATH}}" OMP_NUM_THREADS=1\n'
    write(root / "venv" / "exports.sh", exports)
    write(root / "tools" / "setup_env.sh", f"#!/bin/sh\necho {root}/venv\n").chmod(0o755)
    for name in ("icefall_discrete", "local"):
        (root / name).symlink_to(ROOT / name)
    here = root / "egs" / "tones" / "SID"
    write(here / "run.sh", RUN_SH)
    write(here / "local" / "prepare.py", PREPARE)
    write(here / "conf" / "features" / "tones_km16.json", json.dumps(FEATURES))
    write(here / "conf" / "recipes" / "default.json", json.dumps(RECIPE))
    return here


def test_a_corpus_without_text_goes_through_all_stages(tmp_path):
    here = tree(tmp_path)
    command = ["bash", str(here / "run.sh"), "--nj", "1", "--speed-factors", "1.0", "--train.device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ}, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (found,) = here.glob("exp/*/result.json")
    result = json.loads(found.read_text())
    assert result["sets"]["test"]["accuracy"]["rate"] > 60.0 and result["sets"]["test"]["num_utterances"] == 9
    assert "test: accuracy" in done.stdout and "test accuracy %" in (here / "RESULTS.md").read_text()
    assert sorted(path.name for path in here.rglob("*.py")) == ["prepare.py"]
    again = subprocess.run(command, capture_output=True, text=True, env={**os.environ}, timeout=60)
    assert again.returncode == 0 and "Nothing to do" in again.stdout
