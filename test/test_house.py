"""The rules of the house that a machine can check, over every file that git would track."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Set, Tuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE_SUFFIXES = {".py", ".sh", ".json", ".md", ".toml", ".cfg", ".txt", ".yml", ".yaml", ""}
DATASETS = r"asterisk|fillets|librispeech|aishell|gigaspeech|wenetspeech|commonvoice|common_voice|yesno|ml_superb"
DATASETS += "|speech_?commands|iemocap|slurp|voxceleb|voicebank|libri2mix"


def _repository_files() -> List[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so it is unknown which files belong to the repository")
    names = listed.stdout.decode().split("\0")
    paths = [ROOT / name for name in names if name]
    return [path for path in paths if path.exists() or path.is_symlink()]


def _library_files() -> List[Path]:
    return sorted((ROOT / "icefall_discrete").rglob("*.py"))


def _python_files() -> List[Path]:
    return [path for path in _repository_files() if path.suffix == ".py"]


def _text_lines() -> Iterator[Tuple[str, str]]:
    """Place and text of each line of the repository's text files."""
    for path in _repository_files():
        if path.suffix in SOURCE_SUFFIXES and path.is_file() and path.name != "LICENSE":
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                yield f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}", line


def _code_files() -> List[Path]:
    folders = ("icefall_discrete", "local", "egs", "tools")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def _nodes() -> Iterator[Tuple[Path, ast.AST]]:
    """Each node of what is not a test, with its file."""
    for path in _code_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield path, node


def _place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def test_no_symbolic_links():
    assert not [str(path) for path in _repository_files() if path.is_symlink()]


def test_no_utils():
    nameless = ("utils", "util", "misc", "common", "helpers")
    assert not [str(path) for path in _repository_files() if path.stem in nameless]


def test_no_absolute_paths():
    # Built from parts, so that this line is not a finding.
    folders = "|".join(("home", "work", "root", "mnt", "Users", "farm"))
    pattern = re.compile(rf"(?<![\w.<>$}}\])/-])/({folders})/\w")
    assert not [place for place, line in _text_lines() if pattern.search(line)]


def test_argparse_only_in_flags():
    importing = [
        _place(path, node)
        for path in _python_files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and any(name.name == "argparse" for name in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "argparse")
    ]
    allowed = ("icefall_discrete/base/flags.py:", "test/base/test_settings.py:", "test/base/test_guarded_pickle.py:")
    assert not [place for place in importing if not place.startswith(allowed)]


def test_library_names_no_dataset():
    pattern = re.compile(DATASETS, re.IGNORECASE)
    named = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in _library_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert not named


def test_library_does_not_call_upwards():
    above = ("local", "egs", "tools", "test")
    upward = [
        _place(path, node)
        for path in _library_files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.level > 0 or (node.module or "").split(".")[0] in above)
    ]
    assert not upward, "relative imports, or imports of a stage or recipe"


# Each room imports from those above it in this list, and from itself.
ROOMS = (
    *("base", "text", "audio", "metrics", "data", "nn", "losses", "tokenizers", "lm", "decoding", "onnx"),
    *("training", "systems", "extraction", "experiment", "results", "inference", "export"),
)


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports() -> Dict[str, Set[str]]:
    """Modules of the library, each with those of the library that it imports anywhere in its text."""
    paths = {_module_name(path): path for path in _library_files()}
    found: Dict[str, Set[str]] = {name: set() for name in paths}
    for name, path in paths.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                imported = [f"{node.module}.{alias.name}" for alias in node.names]
                found[name].update(one if one in paths else node.module for one in imported)
            elif isinstance(node, ast.Import):
                found[name].update(alias.name for alias in node.names)
        found[name] &= set(paths) - {name, "icefall_discrete"}
    return found


def test_every_folder_of_the_library_is_a_room():
    folders = {path.name for path in (ROOT / "icefall_discrete").iterdir() if (path / "__init__.py").is_file()}
    assert folders == set(ROOMS)


def test_rooms_import_in_one_direction():
    places = {room: place for place, room in enumerate(ROOMS)}
    wrong = []
    for name, imported in _imports().items():
        room = name.split(".")[1] if "." in name else ""
        for other in imported if room in places else ():
            if places.get(other.split(".")[1], len(ROOMS)) > places[room]:
                wrong.append(f"{name} imports {other}")
    assert not wrong


# What a system stands on besides what all systems share, beside their folders.
BUILT_ON = {
    # A language model of units that says text too, scored as a recogniser's, and units of texts, as of text to speech.
    "speech_lm": {"unit_lm", "asr", "tts"},
    "tts": {"vocoder"},  # its speech is a vocoder's, and is heard and shown as that
    "enhancement": {"vocoder"},  # speech is scored as a vocoder's
    "perceptual": {"enhancement", "vocoder"},  # networks from codes to codes; speech is scored as a vocoder's
    "vocoder": {"asr"},  # what a recogniser hears is scored and shown as a recogniser's
}


def test_systems_import_no_other_system_but_what_they_are_built_on():
    start = "icefall_discrete.systems."
    systems = {path.name for path in (ROOT / "icefall_discrete" / "systems").iterdir() if path.is_dir()}
    found: Dict[str, Set[str]] = {}
    for name, imported in _imports().items():
        own = name[len(start) :].split(".")[0] if name.startswith(start) else ""
        if own in systems:
            others = {other[len(start) :].split(".")[0] for other in imported if other.startswith(start)}
            found.setdefault(own, set()).update((others & systems) - {own})
    assert {own: others for own, others in found.items() if others} == BUILT_ON


def test_modules_import_in_no_circle():
    imports = _imports()
    # Whoever imports nothing that is left can be taken away; what stays in the end imports itself by others.
    while free := [name for name, imported in imports.items() if not imported & set(imports)]:
        for name in free:
            del imports[name]
    assert not sorted(imports)


def test_no_keyword_bags():
    bags = [
        f"{_place(path, node)} {node.name}"
        for path, node in _nodes()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.args.kwarg is not None
    ]
    assert not bags


def test_no_bare_except_and_no_os_system():
    found = []
    for path in _python_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            bare = isinstance(node, ast.ExceptHandler) and node.type is None
            shell = isinstance(node, ast.Attribute) and node.attr == "system" and ast.unparse(node.value) == "os"
            if bare or shell:
                found.append(_place(path, node))
    assert not found


def _data_that_runs(source: str) -> List[ast.AST]:
    """Nodes that may run what a file says: unpickling, evaluating, a shell, an archive unpacked as it wants."""
    unpacking = ("extractall", "unpack_archive", *(["extract"] if "tarfile" in source else []))
    return [node for node in ast.walk(ast.parse(source)) if _runs_data(node, unpacking)]


def _runs_data(node: ast.AST, unpacking: Tuple[str, ...]) -> bool:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
        imported = [name.name for name in node.names] if isinstance(node, ast.ImportFrom) else []
        unpickles = names == ["pickle"] and bool({"load", "loads", "Unpickler"} & {*imported})
        return unpickles or bool({"cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"} & {*names})
    if not isinstance(node, ast.Call):
        return False
    named = {word.arg: word.value for word in node.keywords}
    called = ast.unparse(node.func)
    forbidden = ("eval", "exec", "__import__", "compile", "torch.load", "torch.jit.load", "os.system", "os.popen")
    shells = ("subprocess.getoutput", "subprocess.getstatusoutput", "yaml.load", "safe_extract")
    # lhotse's readers believe what a manifest names; load_cuts does not.
    manifests = (
        "load_manifest",
        "load_manifest_lazy",
        "CutSet.from_file",
        "CutSet.from_jsonl",
        "CutSet.from_jsonl_lazy",
    )
    unpickling = ("pickle.load", "pickle.loads", "pickle.Unpickler", "pandas.read_pickle", "joblib.load")
    if (
        called in (*forbidden, *shells, *manifests, *unpickling)
        or ast.unparse(named.get("shell", ast.Constant(False))) != "False"
    ):
        return True
    if ast.unparse(named.get("trust_remote_code", ast.Constant(False))) != "False":
        return True
    if called.endswith(("np.load", "numpy.load")) or "allow_pickle" in named:
        return ast.unparse(named.get("allow_pickle", ast.Constant(True))) != "False"
    return called.rsplit(".", 1)[-1] in unpacking and "filter" not in named


def test_nothing_in_a_file_is_run():
    found = [
        f"{_place(path, node)} {ast.unparse(node)[:80]}"
        for folder in ("icefall_discrete", "local", "tools", "egs")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in _data_that_runs(path.read_text(encoding="utf-8"))
    ]
    assert not found


@pytest.mark.parametrize(
    "line",
    [
        *("torch.load('a.pt', weights_only=True)", "torch.jit.load('a.pt')", "pickle.loads(data)", "eval(text)"),
        *("np.load('a.npy')", "np.load('a.npy', allow_pickle=True)", "archive.extractall(folder)", "os.system('ls')"),
        *("subprocess.run('ls', shell=True)", "from pickle import loads", "import joblib", "exec(text)"),
        *("import tarfile\ntarfile.open('a.tar').extract('b')", "shutil.unpack_archive('a.zip')"),
        *("__import__(name)", "subprocess.getoutput(text)", "safe_extract(tar, path)", "CutSet.from_file(path)"),
        *("AutoModel.from_pretrained(folder, trust_remote_code=True)", "yaml.load(text)"),
    ],
)
def test_what_may_run_a_file_is_found(line):
    assert _data_that_runs(line)


def test_what_runs_no_file_is_let_be():
    lines = ("model.eval()", "np.load('a.npy', allow_pickle=False)", "fbank.extract(samples)", "ast.literal_eval(text)")
    assert not [line for line in lines if _data_that_runs(line)]


# Scripts of ours, which a script may source (or say that one may); what else it would source could be anybody's.
_OWN_SCRIPTS = re.compile(
    r"""(\.|source)\s+"?\\?\$(\{?(ROOT|HERE|venv)\}?(/\.\.)*/(tools/)?[\w.]+\.sh"?|\(tools/setup_env\.sh\)/exports\.sh)"""
)
_SHELLS = r"(ba|da|z|k)?sh"


def _runs_text(line: str) -> bool:
    """Whether a line of bash may run what a file, an option or a download says."""
    code = re.sub(r"(^|\s)#.*", "", line)
    begins = r"(^|[;&|(]|\$\(|\b(then|do|else|if|while)\b|!)\s*"
    if re.search(rf"{begins}eval\b", code) or re.search(rf"\|\s*(sudo\s+)?{_SHELLS}\b", code):
        return True
    if re.search(rf"\b{_SHELLS}\s+(-\w*\s+)*-\w*c\b", code) or re.search(rf"\b{_SHELLS}\s+<\(", code):
        return True
    sourced = re.search(rf"{begins}(\.|source)\s+\S", code)
    return bool(sourced and not _OWN_SCRIPTS.search(code))


def test_no_script_runs_text():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in _repository_files()
        if path.suffix == ".sh" and path.is_file()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if _runs_text(line)
    ]
    assert not found


@pytest.mark.parametrize(
    "line",
    [
        *(
            'eval "$command"',
            "if eval $x; then",
            "x=$(eval echo 1)",
            "curl -s https://a.org/b | sh",
            "cat a | sudo bash",
        ),
        *(
            '. "$config"',
            "source conf/path.sh",
            '[ -f "$1" ] && . "$1"',
            'bash -c "$x"',
            "sh -ec 'a'",
            "bash <(curl a)",
        ),
    ],
)
def test_scripts_that_run_text_are_found(line):
    assert _runs_text(line)


def test_scripts_that_run_none_are_let_be():
    lines = ('. "$ROOT/tools/recipe.sh"', "# eval", "model.eval", '--eval-parts "$eval_parts"', 'tar -xzf "$a" # | sh')
    assert not [line for line in lines if _runs_text(line)]


def test_no_message_advises_to_delete():
    """What a user wrote, or days have made, is moved aside."""
    found = [
        f"{_place(path, node)} {node.value[:80]!r}"
        for path in _code_files()
        for node in _spoken(ast.parse(path.read_text(encoding="utf-8")))
        if re.search(r"\bdelete\b", node.value)
    ]
    assert not found


def _spoken(tree: ast.AST) -> Iterator[ast.Constant]:
    """Texts in raise statements and in constants: what may be said to a user; docstrings are not."""
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            yield node


def test_logs_are_not_filled_by_progress_bars():
    """A bar that says how often it is drawn does not heed tools/stages.sh, which draws seldom into a file."""
    found = [
        _place(path, node) for path, node in _nodes() if isinstance(node, ast.keyword) and node.arg == "mininterval"
    ]
    assert not found


def test_files_are_written_with_the_mode_of_any_new_file():
    """Not by functions whose files only their owner can read."""
    found = [
        f"{_place(path, node)} {ast.unparse(node)[:80]}"
        for path, node in _nodes()
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rsplit(".", 1)[-1] in ("save_file", "save_model", "NamedTemporaryFile", "mkstemp")
    ]
    assert not found


def test_no_demo_under_main_in_the_library():
    assert not [path.name for path in _library_files() if "__main__" in path.read_text(encoding="utf-8")]


def test_scripts_can_be_run_as_documents_write_them():
    folders = ("local", "tools", "egs")
    scripts = [path for path in _python_files() if path.relative_to(ROOT).parts[0] in folders]
    scripts = [path for path in scripts if "__main__" in path.read_text(encoding="utf-8")]
    assert scripts
    assert not [
        str(path.relative_to(ROOT))
        for path in scripts
        if not (os.access(path, os.X_OK) and path.read_text(encoding="utf-8").startswith("#!/usr/bin/env python3\n"))
    ]


def test_test_files_have_unique_names():
    names = [path.name for path in (ROOT / "test").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
    assert not list((ROOT / "test").rglob("__init__.py"))


def test_ruff_is_clean():
    if shutil.which("ruff", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("ruff is not installed in this environment")
    command = [Path(sys.executable).parent / "ruff", "check", "--no-cache", "--output-format", "concise", ROOT]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
