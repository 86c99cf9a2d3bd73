"""What a recipe's run.sh will do: stages as data, from the task's list in `stages/`, carried out by tools/recipe.sh.

Planning needs the standard library alone, so that mistakes are told before any environment is made. Relative paths are
relative to the recipe's folder, which is the working folder.
"""

import dataclasses
import re
import shlex
import subprocess
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

from icefall_discrete.experiment.folder_options import existing_part, why_unwritable
from icefall_discrete.experiment.stage_notes import CHANGED, DONE, StageNotes

_DIGEST = "digest of "
_LIST_STAGES = "--help lists them"
_INDENT = "    "
NOT_ASKED_FOR = "not asked for"


def digest_of(path: str) -> str:
    """A line of settings that stands for the digest of a file which an earlier stage makes; see `known_lines`."""
    return _DIGEST + path


def known_lines(settings: Tuple[str, ...]) -> Tuple[str, ...]:
    """Lines of settings as a marker holds them, with the digests of the files that there are."""
    return tuple(map(_known_line, settings))


def _known_line(line: str) -> str:
    path = Path(line.removeprefix(_DIGEST))
    if not line.startswith(_DIGEST) or not path.is_file():
        return line
    with path.open("rb") as file:
        printed = subprocess.run(["cksum"], stdin=file, capture_output=True, text=True, check=True).stdout
    return f"{path.name}={printed.strip()}"


@dataclasses.dataclass(frozen=True)
class Command:
    """A command line of a stage.

    arguments: the program and its arguments, each as it is.
    announced: what the log says before it, if anything.
    output: file that holds what it printed, once it has succeeded; empty: it prints to the terminal.
    """

    arguments: Tuple[str, ...]
    announced: str = ""
    output: str = ""

    def __str__(self) -> str:
        return shlex.join(self.arguments) + (f" >{shlex.quote(self.output)}" if self.output else "")


@dataclasses.dataclass(frozen=True)
class Stage:
    """A numbered stage that is done once.

    marker: file that says that it is done, and with which settings; empty: it is done whenever it is asked for.
    settings: lines `name=value`, all that its outcome depends on, those of the stages before it among them.
    outputs: files that it makes. reads: numbers of the stages whose outcome it reads.
    stale: files made under other settings that make room for its own.
    """

    number: int
    title: str
    marker: str
    settings: Tuple[str, ...]
    outputs: Tuple[str, ...] = ()
    commands: Tuple[Command, ...] = ()
    reads: Tuple[int, ...] = ()
    stale: Tuple[str, ...] = ()

    @property
    def settings_text(self) -> str:
        """The settings as a marker holds them, but for digests of files that are not there yet."""
        return "\n".join(known_lines(self.settings))


@dataclasses.dataclass(frozen=True)
class Plan:
    """The stages of a run.

    names: what the shell wants to know: names of variables and their values.
    notices: sentences for the log. old_words: by line of settings, how markers of before said the same.
    needs_search: a search that the environment must have, once it is made; empty: none in particular.
    shown: a file that is shown at the end, if it exists.
    """

    stages: Tuple[Stage, ...]
    names: Mapping[str, str]
    notices: Tuple[str, ...] = ()
    old_words: Mapping[str, str] = dataclasses.field(default_factory=dict)
    needs_search: str = ""
    shown: str = ""


@dataclasses.dataclass(frozen=True)
class StageRange:
    """The stages that were asked for, both ends included."""

    first: int
    last: int

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last

    def check(self, last_known: int) -> None:
        """Raise ValueError unless some stage of 0 to `last_known` is to be run."""
        if not 0 <= self.first <= last_known:
            raise ValueError(f"--stage is {self.first}, expected one of the stages 0 to {last_known}; {_LIST_STAGES}")
        if self.last < self.first:
            raise ValueError(
                f"--stop-stage {self.last} comes before --stage {self.first}, so that no stage would run; give a later "
                "--stop-stage, or an earlier --stage"
            )


def check_inputs(plan: Plan, asked: StageRange) -> None:
    """Raise ValueError if a stage would read what a stage before the first one made with other settings than now."""
    notes = StageNotes(plan.old_words)
    by_number: Dict[int, List[Stage]] = {}
    for stage in plan.stages:
        by_number.setdefault(stage.number, []).append(stage)
    for stage in plan.stages:
        read = [one for number in stage.reads if number not in asked for one in by_number.get(number, ())]
        for made in read if stage.number in asked else ():
            changed = notes.changes(made.marker, made.settings_text)
            if changed:
                raise ValueError(
                    f"stage {stage.number} reads what stage {made.number} ({made.title}) made with other settings: "
                    f"{'; '.join(changed).replace('is  ', 'is ')}. Run it again with --stage {made.number}, or give "
                    "the settings that it was made with."
                )


def absent_input(plan: Plan, asked: StageRange) -> str:
    """A sentence about what a stage would read, and a stage that is not asked for never made; empty: all is there.

    Only files that a stage says it makes are looked for, so that data which was made by hand is taken.
    """
    notes = StageNotes(plan.old_words)
    for stage in plan.stages:
        made = [one for one in plan.stages if one.number in stage.reads and one.number not in asked]
        for one in made if stage.number in asked and not _is_done(stage, notes) else ():
            missing = [path for path in one.outputs if not Path(path).exists()]
            if missing:
                return (
                    f"stage {stage.number} ({stage.title}) reads {missing[0]}, which stage {one.number} ({one.title}) "
                    f"makes, and it does not exist; begin with --stage {_first_absent(plan, one)}."
                )
    return ""


def _is_done(stage: Stage, notes: StageNotes) -> bool:
    return bool(stage.marker) and notes.state(stage.marker, stage.settings_text, stage.outputs)[0] == DONE


def _first_absent(plan: Plan, stage: Stage) -> int:
    """The number of a stage whose files are absent, or of the first one that it reads whose files are absent too."""
    # Stages 0 and 1 are the recipe's own, and say nothing of what they read.
    reads = stage.reads or tuple(range(stage.number))
    read = [one for one in plan.stages if one.number in reads and one.number < stage.number]
    absent = [one for one in read if any(not Path(path).exists() for path in one.outputs)]
    return min([stage.number, *(_first_absent(plan, one) for one in absent)])


def check_folders(plan: Plan, asked: StageRange) -> None:
    """Raise ValueError if a stage is to be run that cannot write where it should."""
    notes = StageNotes(plan.old_words)
    for stage in plan.stages:
        if not stage.marker or stage.number not in asked:
            continue
        if notes.state(stage.marker, stage.settings_text, stage.outputs)[0] != DONE:
            folder = existing_part(Path(stage.marker).parent)
            why = why_unwritable(folder)
            if why:
                raise ValueError(
                    f"stage {stage.number} ({stage.title}) writes to {Path(stage.marker).parent}, and {folder} cannot "
                    f"be written to ({why}); make it writable, or choose other folders (--exp-dir, --data-dir)"
                )


def describe(plan: Plan, asked: StageRange) -> str:
    """The plan as text: each stage, whether it is to be run and why, and its command lines."""
    notes = StageNotes(plan.old_words)
    lines = list(plan.notices)
    for stage in plan.stages:
        state = NOT_ASKED_FOR
        changed: List[str] = []
        if stage.number in asked and not stage.marker:
            state = "to be run"
        elif stage.number in asked:
            state, changed = notes.state(stage.marker, stage.settings_text, stage.outputs)
        lines.append(f"Stage {stage.number}: {stage.title}: {state}")
        lines += [f"{_INDENT}{change}" for change in changed]
        lines += [f"{_INDENT}{command}" for command in stage.commands]
    return "\n".join(lines)


class ToldStage(NamedTuple):
    """What `describe` says of a stage: its number, its state, and its command lines, without what they print to."""

    number: int
    state: str
    commands: Tuple[Tuple[str, ...], ...]

    @property
    def is_done(self) -> bool:
        """Whether it would be left out."""
        return self.state == DONE

    @property
    def settings_changed(self) -> bool:
        """Whether it was done with other settings, and would be done again."""
        return self.state == CHANGED


def told_stages(text: str) -> List[ToldStage]:
    """What `describe` told, and a dry run printed."""
    stages: List[ToldStage] = []
    for line in text.splitlines():
        begun = re.match(r"Stage (\d+): .*: (.*)$", line)
        if begun:
            stages.append(ToldStage(int(begun[1]), begun[2], ()))
        elif stages and line.startswith(_INDENT) and not line.startswith((f"{_INDENT}was ", f"{_INDENT}is  ")):
            words = [word for word in shlex.split(line) if not word.startswith(">")]
            stages[-1] = stages[-1]._replace(commands=(*stages[-1].commands, tuple(words)))
    return stages


Record = Sequence[str]


def records_of(plan: Plan) -> List[Record]:
    """The plan for tools/recipe.sh: one record after the other, to be followed in this order."""
    records: List[Record] = [("name", name, value) for name, value in plan.names.items()]
    records += [("same", line, before) for line, before in plan.old_words.items()]
    records += [("say", notice) for notice in plan.notices]
    records.append(("environment", plan.needs_search))
    for stage in plan.stages:
        records.append(
            ("stage", str(stage.number), stage.title, stage.marker, "\n".join(stage.settings), *stage.outputs)
        )
        if stage.stale:
            records.append(("stale", *stage.stale))
        records += [("run", command.announced, command.output, *command.arguments) for command in stage.commands]
        records.append(("done",))
    return records


def joined(records: Sequence[Record]) -> str:
    """Records as one text: of each its number of fields and its fields, each ended by a NUL."""
    fields = [field for record in records for field in (str(len(record)), *record)]
    return "".join(f"{field}\0" for field in fields)


def parted(text: str) -> List[List[str]]:
    """The records of a text that `joined`, or the shell, made."""
    fields = text.split("\0")[:-1]
    records, at = [], 0
    while at < len(fields):
        count = int(fields[at])
        records.append(fields[at + 1 : at + 1 + count])
        at += 1 + count
    return records
