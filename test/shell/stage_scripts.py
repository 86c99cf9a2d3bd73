"""A recipe in a folder of its own whose run.sh and tools are the real ones, and whose stages are quick stand-ins."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FEATURE_TYPE = {"tokenizer": "fbank", "num_mel_bins": 80, "frame_shift_sec": 0.01}
RECIPE = {"bpe": {"vocab_size": 30, "language_token": True, "by_language": True}, "train": {"num_epochs": 2}}
SCORING = {"drop": ["uh", "um"], "equal": {"ok": "okay"}}

# Writes what the real stage writes, as files of a line for each time it was run; notes in calls.txt that it was.
STAND_IN = """
import os, sys
from pathlib import Path
name = Path(__file__).stem
flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
with open(os.environ["CALLS"], "a") as calls:
    calls.write(name + "\\n")
if os.environ.get("FAIL") == name:
    sys.exit("error: asked to fail")
folder, made = {
    "prepare": ("--data-dir", [f"manifests/toy_cuts_{split}.jsonl.gz" for split in ("train", "dev", "test")]),
    "fit_tokenizer": ("--out-dir", ["fitted.txt"]),
    "extract_codes": ("--out-dir", [flags.get("--split", "") + ".jsonl.gz", flags.get("--split", "") + ".codes"]),
    "check_cuts": ("--feature-dir", ["report.txt"]),
    "train_bpe": ("--lang-dir", ["bpe.model"]),
    "train": ("--exp-dir", ["epoch-1.pt"]),
    "decode": ("--exp-dir", [flags.get("--decoding-method", "") + "/recogs.txt"]),
}.get(name, ("", []))
for file in made:
    path = Path(flags[folder], file)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as stream:
        stream.write(name + "\\n")
"""
STAGES = ("fit_tokenizer", "extract_codes", "check_cuts", "train_bpe", "train", "decode", "score")

RUN_SH = """#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
. "$ROOT/tools/recipe_options.sh"
feature_type=toy                       # conf/features/<name>.json
subset=                                # keep so many utterances
. "$ROOT/tools/parse_options.sh"
corpus=toy title=Toy train_split=train dev_splits=dev test_splits=test
corpus_options=${TOY_OPTIONS-} known_languages="en xx"
. "$ROOT/tools/recipe.sh"
corpus_stage "corpus" "$data_dir/.done-0" "" -- true
manifests_stage "manifests" python local/prepare.py --data-dir "$data_dir"
run_stages
"""


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


class ToyRecipe:
    """`run` runs its run.sh; `calls` are the stages that were run since the last time it was asked."""

    def __init__(self, root):
        self.here = root / "egs" / "toy" / "ASR"
        self.calls_file = root / "calls.txt"
        for path in (ROOT / "tools").glob("*.sh"):
            write(root / "tools" / path.name, path.read_text())
        exports = f'export PATH="{Path(sys.executable).parent}:$PATH"\n'
        exports += f'export PYTHONPATH="{ROOT}${{PYTHONPATH:+:$PYTHONPATH}}"\n'
        write(root / "venv" / "exports.sh", exports)
        write(root / "tools" / "setup_env.sh", f"#!/bin/sh\necho {root}/venv\n").chmod(0o755)
        for name in (*STAGES, "export_shar"):
            write(root / "local" / f"{name}.py", STAND_IN)
        (root / "icefall_discrete").symlink_to(ROOT / "icefall_discrete")
        for name in ("plan.py", "flags.json"):
            shutil.copy(ROOT / "local" / name, root / "local" / name)
        write(root / "tools" / "make_results.py", STAND_IN)
        write(self.here / "local" / "prepare.py", STAND_IN)
        write(self.here / "run.sh", RUN_SH)
        self.feature_type = write(self.here / "conf" / "features" / "toy.json", json.dumps(FEATURE_TYPE))
        self.recipe = write(self.here / "conf" / "recipes" / "default.json", json.dumps(RECIPE))
        self.scoring = write(self.here / "conf" / "scoring.json", json.dumps(SCORING))

    def run(self, *arguments, **variables):
        """Run run.sh; its exit status and what it printed."""
        environment = {**os.environ, "CALLS": str(self.calls_file), **variables}
        command = ["bash", str(self.here / "run.sh"), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)

    def calls(self):
        """Names of the stages run since, in order."""
        found = self.calls_file.read_text().split() if self.calls_file.exists() else []
        self.calls_file.unlink(missing_ok=True)
        return found
