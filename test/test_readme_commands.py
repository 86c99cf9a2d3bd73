"""Every command and every Python example of a document works as it is written.

The shell itself reads a document's blocks, loops and variables included, and records the commands of ours; run.sh then
makes a dry run of each, and scripts check their flags, as the variable ICEFALL_DISCRETE_ONLY_FLAGS asks for.
"""

import ast
import builtins
import importlib
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_documents import DOCUMENTS, ROOT

from icefall_discrete import command
from icefall_discrete.base.flags import ONLY_FLAGS
from icefall_discrete.base.spec import FeatureSpec

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:[\w./]*/)?(?:run|run_noise|setup_env|\w+)\.(?:sh|py) [^`]*|icefall-discrete [^`]*)`")
OURS = re.compile(
    r"(?:(?:torchrun|python) )?(?<![\w./-])(?:[\w./]*/)?"
    r"(?:(?:run|run_noise|setup_env|new_corpus|self_train)\.sh|\w+\.py)(?= |$|\")"
)
OTHERS_EXPERIMENT = re.compile(r"--init-from \.\./\.\./(\w+/\w+/exp/\w+)")
OF_RECIPE = re.compile(r"((?:egs/\w+/\w+/|\./|))run\.sh ((?:.*\\\n)*.*)")  # with the lines that a command goes on in
HEARING_OR_SPEAKING = re.compile(r"--(?:recogniser|vocoder|classifier|verifier)-exp-dir (\S+)")
FOLDERS = ("local", "tools", "tools/benchmark", "test", "icefall_discrete/results")
RECORDER = """record() { printf '%s\\0' "$PWD" "$@" END; }
. () { :; }
find() { :; }
torchrun() { record torchrun "$@"; }
SLURM_ARRAY_TASK_ID=3
"""


def written(document):
    """The shell's text of a document: its blocks, and commands with flags between backquotes, a line each."""
    text = document.read_text(encoding="utf-8")
    blocks = [block for kind, block in BLOCK.findall(text) if kind in ("bash", "sh")]
    inline = [one for one in INLINE.findall(BLOCK.sub("", text)) if re.search(r"^\S+ (\S+ )*-", one)]
    return blocks + inline


def as_shell(text):
    """Without what stands for something else: further flags, a value of several, what may be left out, a name."""
    text = re.sub(r"(\s--(?:exp-dir|feature-dir|batch)) \.\.\.", r"\1 x", text)
    text = re.sub(r" \.\.\.(?=\s|$)", "", text)
    text = re.sub(r"(?<=[ =])(\w+)(\|\w+)+(?=\s|$)", r"\1", text)
    text = re.sub(r"[ \[]\[?(--[\w-]+ \w+)\]", r" \1", text)
    return re.sub(r"<[a-z][^<>\n]*>", "x", text)


def recorded(document, tree):
    """Our commands of a document, as the shell splits them: folder, then words."""
    here = tree / document.parent.relative_to(ROOT)
    here = here if (here / "run.sh").exists() else tree / "egs" / "asterisk" / "ASR"
    at_top = document.parent in (ROOT, ROOT / "docs")  # until a block goes somewhere else, where the next ones go on
    found = []
    for text in written(document):
        text = as_shell(text).replace("--dl-dir /data", f"--dl-dir {tree}")
        script = RECORDER + OURS.sub(lambda one: f"record {one[0]}", text)
        script = re.sub(r"(^|\| )icefall-discrete", r"\1record icefall-discrete", script, flags=re.MULTILINE)
        folder = tree if at_top and "./run.sh" not in text.split("cd ")[0] else here
        done = subprocess.run(["bash", "-eu"], input=script, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{text}\n{done.stderr}"
        fields = done.stdout.split("\0")[:-1]
        while fields:
            end = fields.index("END")
            found.append(fields[:end])
            fields = fields[end + 1 :]
    return found


def script_of(name, folder, tree):
    """The file that a command names: as it stands, or one of ours by its name alone."""
    places = [folder / name, tree / name, *(tree / one / name for one in FOLDERS)]
    return next((path for path in places if path.is_file()), None)


def ended_by(main):
    """The status with which it ends the program."""
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def check_python(path, words, monkeypatch):
    """Run a script of ours to where its flags are checked, in this process: it imports torch, which takes seconds."""
    monkeypatch.setattr(sys, "argv", [str(path), *words])
    monkeypatch.setattr(sys, "path", [str(path.parent), *sys.path])
    code = ended_by(lambda: runpy.run_path(str(path), run_name="__main__"))
    assert code in (0, None), f"{path.name} {' '.join(words)}"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The repository without data, so that nothing that a document says leaves a trace."""
    folder = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "egs", folder / "egs", ignore=shutil.ignore_patterns("data", "exp", "download", "results"))
    for name in ("icefall_discrete", "local", "tools", "test", "requirements"):
        (folder / name).symlink_to(ROOT / name)
    for env in ("k2", "portable"):  # as if installed: what there is room for is the machine's matter
        (folder / ".venv" / env).mkdir(parents=True)
        (folder / ".venv" / env / ".complete").touch()
    (folder / "egs" / "asterisk" / "ASR" / "musan_cuts.jsonl.gz").touch()  # of the user
    (folder / "from_icefall").mkdir()  # made by a command that only has its flags checked
    for document in DOCUMENTS:  # trainings that others begin with
        for place in OTHERS_EXPERIMENT.findall(document.read_text(encoding="utf-8")):
            (folder / "egs" / place).mkdir(parents=True, exist_ok=True)
    for document in DOCUMENTS:
        for place, said in (one for block in map(as_shell, written(document)) for one in OF_RECIPE.findall(block)):
            here = folder / (place if place.startswith("egs/") else document.parent.relative_to(ROOT))
            if (here / "run.sh").is_file():
                make_what_it_reads(here, said)
    return folder


def make_what_it_reads(here, said):
    """Alignments, texts, what hears and what speaks, as `said` behind a recipe's run.sh names them."""
    for name in re.findall(r"--(?:decode\.)?alignments (\S+)", said):
        (here / name).mkdir(exist_ok=True)
    for name in re.findall(r"--lm-text (\S+)", said):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text("one two\n", encoding="utf-8")
    for name in re.findall(r"--voices (\S+)", said):
        (here / name).touch()
    experiments = HEARING_OR_SPEAKING.findall(said)
    if experiments:
        own = re.findall(r"^feature_type=(\S+)", (here / "run.sh").read_text(encoding="utf-8"), re.MULTILINE)
        units = re.findall(r"--feature-type (\S+)", said) or own
    for name in experiments:
        (here / name).mkdir(parents=True, exist_ok=True)
        (here / name / "config.json").write_text("{}")
        FeatureSpec(units[0], "codes", 16000, 50.0, 1, (500,), 0).write(here / name / "spec.json")


COMMANDS = [document for document in DOCUMENTS if written(document)]


@pytest.mark.parametrize("document", COMMANDS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_work(document, tree, monkeypatch):
    monkeypatch.setenv(ONLY_FLAGS, "1")
    for folder, *words in map(list, dict.fromkeys(map(tuple, recorded(document, tree)))):  # each once
        if words[0] == "torchrun":
            words = words[next(i for i, word in enumerate(words) if word.endswith(".py")) :]
        if words[0] == "python":
            words = words[1:]
        monkeypatch.chdir(folder)
        if words[0] == "icefall-discrete":
            monkeypatch.setattr(sys, "argv", words)
            assert ended_by(command.main) in (0, None), words
            continue
        path = script_of(words[0], Path(folder), tree)
        assert path is not None, f"{words[0]} does not exist"
        assert os.access(path, os.X_OK), f"{path} cannot be executed"
        if path.suffix == ".py":
            check_python(path, words[1:], monkeypatch)
        elif path.parent.name != "test":
            done = subprocess.run([str(path), *words[1:]], cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


SCRIPTS = sorted(path for one in ("local", "tools", "tools/benchmark") for path in (ROOT / one).glob("*.py"))


@pytest.mark.parametrize(
    "path", [one for one in SCRIPTS if "ScriptParser" in one.read_text()], ids=lambda one: one.stem
)
def test_every_script_says_what_it_takes(path, monkeypatch):
    assert os.access(path, os.X_OK) and path.read_text().startswith("#!")
    check_python(path, ["--help"], monkeypatch)


def unknown_names(tree):
    """Names that an example uses and nothing in it, nor Python, defines."""
    nodes = list(ast.walk(tree))
    known = {*dir(builtins)}
    for node in nodes:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            known |= {(name.asname or name.name).partition(".")[0] for name in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            known.add(node.name)
        elif isinstance(node, ast.arg):
            known.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            known.add(node.id)
    return sorted({node.id for node in nodes if isinstance(node, ast.Name)} - known)


EXAMPLES = [
    pytest.param(kind, text, id=f"{path.relative_to(ROOT)}-{number}")
    for path in DOCUMENTS
    for number, (kind, text) in enumerate(BLOCK.findall(path.read_text(encoding="utf-8")))
    if kind in ("python", "json")
]


@pytest.mark.parametrize("kind, text", EXAMPLES)
def test_examples_are_whole(kind, text):
    if kind == "json":
        assert json.loads(text)
        return
    example = ast.parse(text)
    assert unknown_names(example) == []
    for node in ast.walk(example):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []
