#!/usr/bin/env python3
r"""Record what the program computes, so that a change of its code can be shown to change no result.

    tools/record_behaviour.py --root CHECKOUT --python .venv/portable/bin/python --work-dir FOLDER --output new.json \
        --corpus-dir egs/asterisk/ASR/download/asterisk [--against older.json]

Runs the stages of egs/asterisk with a tiny part of the corpus, on one thread of the CPU, and writes hashes of weights
and codes, losses in full, and texts. With --against the recording is compared with an older one: each difference is
printed, and the exit status is 1 if there is one; without --root nothing is recorded, only compared. With
--experiments-of, the --work-dir of an older recording, its experiments, language models and fitted tokenizers are used
instead of new ones: old folders must give the old results. A recording that was interrupted goes on with the parts that
it lacks. Let nobody edit the checkout meanwhile.
"""

import dataclasses
import logging
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from behaviour import reading
from behaviour.commands import Commands
from behaviour.comparison import compare_records
from behaviour.parts import PARTS, Recorder

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.json_files import read_json, write_json
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting

LOG = logging.getLogger("record_behaviour")


@dataclasses.dataclass(frozen=True)
class RecordConfig:
    """What is recorded, where, and what it is compared with."""

    root: str = setting("", "checkout whose code is recorded; empty: only compare --output with --against")
    python: str = setting(sys.executable, "interpreter to record with; this library need not be installed in it")
    corpus_dir: str = setting("", "corpus folder, as stage 0 of egs/asterisk makes it")
    work_dir: str = setting("", "folder for data and experiments of the recording")
    output: str = setting("", "JSON file of the recording")
    against: str = setting("", "older recording to compare with")
    experiments_of: str = setting("", "work folder of an older recording whose experiments and tokenizers are used")
    parts: Tuple[str, ...] = setting((), "parts to record, by commas; a name before a dot stands for all behind it")


def chosen_parts(wanted: Tuple[str, ...], has_k2: bool, with_old_experiments: bool) -> List[str]:
    """Names of the parts to record, in their order.

    Raises:
      ValueError: if there is no such part.
    """
    unknown = [name for name in wanted if not any(name in (part, part.split(".")[0]) for part in PARTS)]
    if unknown:
        raise ValueError(f"unknown part {', '.join(unknown)}; known: {', '.join(PARTS)}.")
    return [
        name
        for name, part in PARTS.items()
        if (not wanted or name in wanted or name.split(".")[0] in wanted)
        and (has_k2 or not part.needs_k2)
        and not (with_old_experiments and part.makes_experiments)
    ]


def cpu_name() -> str:
    """Model of the processor: other ones may round differently."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.processor())


def git_state(root: Path) -> Optional[str]:
    """The commit of a checkout."""
    told = subprocess.run(["git", "-C", str(root), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return told.stdout.strip() or None


def made_by(config: RecordConfig, root: Path, commands: Commands) -> Dict[str, Any]:
    """What a recording was made with; the work folder is bound to the code, as commands leave out what is done."""
    code = reading.code_digest(root)
    stamp = Path(config.work_dir) / "code.txt"
    if stamp.is_file() and stamp.read_text(encoding="utf-8").strip() != code:
        raise ValueError(f"{config.work_dir} was made by other code than that of {root}; choose another --work-dir.")
    write_text(stamp, code + "\n")
    return {
        "code": code,
        "git": git_state(root),
        "versions": commands.interpreter["versions"],
        "cpu": cpu_name(),
        "old_experiments": bool(config.experiments_of),
    }


def record(config: RecordConfig) -> None:
    """Record the parts that the output file lacks."""
    root, output = Path(config.root).resolve(), Path(config.output)
    # Not resolved, since a link in an environment's bin folder tells the interpreter which environment it is.
    commands = Commands(Path(config.python).absolute(), root, Path(config.work_dir).resolve() / "commands")
    try:
        made = made_by(config, root, commands)
        kept: Dict[str, Any] = read_json(output) if output.is_file() else {"made": made, "parts": {}}
        if kept["made"] != made:
            raise ValueError(f"{output} was recorded from other code or elsewhere; choose another --output.")
        recorder = Recorder(
            commands,
            root,
            Path(config.corpus_dir).resolve(),
            Path(config.work_dir).resolve(),
            Path(config.experiments_of or config.work_dir).resolve(),
        )
        names = chosen_parts(config.parts, commands.has_k2, bool(config.experiments_of))
        for number, name in enumerate(names, 1):
            where = f"{number} of {len(names)}, {name}"
            if name in kept["parts"]:
                LOG.info(f"{where}: recorded already")
                continue
            began = time.monotonic()
            sections = PARTS[name].record(recorder, name)
            seconds = round(time.monotonic() - began, 1)
            if reading.code_digest(root) != made["code"]:
                raise RuntimeError(f"the code of {root} changed while {name} was recorded; record a clone of it anew.")
            kept["parts"][name] = {"seconds": seconds, "sections": sections}
            write_json(output, kept)
            LOG.info(f"{where}: {sum(map(len, sections.values()))} values in {seconds} s")
    finally:
        commands.close()


def compare(output: Path, against: Path) -> bool:
    """Print how the recordings differ; returns whether they agree."""
    new = read_json(output)
    found = compare_records(read_json(against), new)
    for note in found.notes:
        print(f"note: {note}")
    for difference in found.differences:
        print(f"DIFFERENT: {difference}")
    if found.differences:
        print(f"{output} differs from {against}: {len(found.differences)} lines above.")
    else:
        print(f"{output} agrees with {against}: {len(new['parts'])} parts.")
    return not found.differences


def main() -> None:
    """Record, compare, or both."""
    config = config_from_flags(RecordConfig, __doc__)
    needed = ["output"] + (["work_dir", "corpus_dir"] if config.root else ["against"])
    absent = [f"--{name.replace('_', '-')}" for name in needed if not getattr(config, name)]
    if absent:
        raise ValueError(f"{', '.join(absent)} must be given; see --help.")
    if config.root:
        record(config)
    if config.against and not compare(Path(config.output), Path(config.against)):
        sys.exit(1)


if __name__ == "__main__":
    run_script(main)
