"""result.json: everything that RESULTS.md says about one experiment, gathered from the files its stages left.

A figure whose file or field is absent is null, and an empty cell in the table; nothing is estimated.
"""

import itertools
import logging
import re
import shlex
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from icefall_discrete.base.atomic_files import PathLike
from icefall_discrete.base.environment import DIRTY, UNKNOWN, commits_in
from icefall_discrete.base.inside import path_inside
from icefall_discrete.base.json_files import read_object, write_json
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.checksums import read_figures
from icefall_discrete.experiment.run_options import TRAINING_SEED
from icefall_discrete.results.feature_kinds import origins_in
from icefall_discrete.results.result_shapes import require_result
from icefall_discrete.training.averages import read_summary
from icefall_discrete.training.train_config import TrainConfig

LOG = logging.getLogger(__name__)
Json = Dict[str, Any]
DEFAULT_RECIPE = "default"  # the one that is meant where none is named
_ADVICE = "it is not a result: score the experiment again, or move the file away"


def read_optional(path: PathLike) -> Json:
    """Read a JSON object, or {} if the file is absent (a stage that was not run)."""
    return read_object(path, "figures") if Path(path).is_file() else {}


def describe_features(feature_dir: PathLike, spec: FeatureSpec) -> Json:
    """What the features cost: nominal bits a second, measured bytes an hour and real-time factor of their extraction.

    Bytes and time are summed over the `extract-<split>.json` files of the splits that report.json is about (of all, if
    there is no report); other sets, such as noisy ones, may lie beside them. The entropy is that of report.json.
    """
    folder = Path(feature_dir)
    report = read_optional(folder / "report.json")
    files = [folder / f"extract-{split}.json" for split in report.get("splits", [])] or folder.glob("extract-*.json")
    made = [read_figures(path) if path.is_file() else {} for path in sorted(files)]
    return {
        "kind": spec.kind,
        "origins": origins_in(spec.provenance),
        "frame_rate_hz": spec.frame_rate_hz,
        "codebook_sizes": list(spec.codebook_sizes),
        "feature_dim": spec.feature_dim,
        "bits_per_second": spec.bits_per_second,
        "entropy_bits_per_second": report.get("entropy_bits_per_second"),
        "position_fraction_of_entropy": report.get("position_fraction_of_entropy"),
        "code_usage": report.get("code_usage"),
        "bytes_per_hour": _ratio(made, "bytes", "audio_sec", 3600.0),
        "extraction_rtf": _ratio(made, "wall_sec", "audio_sec", 1.0),
    }


def describe_training(exp_dir: PathLike) -> Json:
    """What training cost, from the trainer's train.json: epochs, audio seen, time, speed, parameters.

    `core_minutes` is processor time: less than minutes times threads where other work took its share of the machine.
    """
    path = Path(exp_dir) / "train.json"
    summary = read_summary(path) if path.is_file() else {}
    seen = [epoch["audio_sec"] for epoch in summary.get("epochs", []) if epoch.get("audio_sec") is not None]
    return {
        "epochs": summary.get("num_epochs"),
        "label_hours": summary.get("label_hours"),
        "stopped_by": summary.get("stopped_by"),
        "audio_hours": sum(seen) / 3600.0 if seen else None,
        "minutes": _minutes(summary.get("train_sec")),
        "core_minutes": _minutes(summary.get("cpu_sec")),
        "seconds_per_epoch": summary.get("train_sec_per_epoch"),
        "audio_sec_per_sec": _ratio(summary.get("epochs", []), "audio_sec", "train_sec", 1.0),
        "num_parameters": summary.get("num_params"),
        "backend": summary.get("backend"),
        "device": summary.get("device"),
        "num_threads": summary.get("num_threads"),
        "world_size": summary.get("world_size"),
    }


def _minutes(seconds: Optional[float]) -> Optional[float]:
    return None if seconds is None else seconds / 60.0


def _ratio(parts: List[Json], over: str, under: str, scale: float) -> Optional[float]:
    known = [part for part in parts if part.get(over) is not None and part.get(under)]
    return scale * sum(part[over] for part in known) / sum(part[under] for part in known) if known else None


def portable_command(command: str, root: PathLike) -> str:
    """A command line without this machine's folders: paths in `root` become relative, others keep their last part.

    So that a committed result neither tells whose machine it came from nor suggests a path that others lack.
    """
    inside = command.replace(f"{Path(root).resolve()}/", "")
    return re.sub(r"(?<![\w.])/(?:[^\s/'\"=,:]+/)*([^\s/'\"=,:]+)", r"<path>/\1", inside)


def row_name(result: Json) -> str:
    """File name of a result: `<feature type>_<recipe>_<device>[_seed-<N>][__<search>].json`.

    The default seed has no name.
    """
    search = f"__{result['search']}" if result.get("search") else ""
    seed = f"_seed-{seed_of(result)}" if seed_of(result) != TrainConfig.seed else ""
    return f"{result['feature_type']}_{result['recipe']}_{result['device']}{seed}{search}.json"


def seed_of(result: Json) -> int:
    """The seed of its training; results of before noted none, and had the default."""
    seed = (result.get("training") or {}).get("seed")
    return TrainConfig.seed if seed is None else seed


def commits_of(result: Json) -> List[str]:
    """The commits that trained and decoded it; "unknown" where it does not say."""
    trained = trained_by(result)
    decoded = (result.get("decoding") or {}).get("git") or trained[-1]
    return list(dict.fromkeys((*trained, decoded)))


def trained_by(result: Json) -> List[str]:
    """The commits that trained it, in their order: several, where it was gone on with by another."""
    return commits_in(result.get("environment") or {})


def is_dirty(result: Json) -> bool:
    """Whether it was made by files that no commit holds."""
    return any(commit.endswith(DIRTY) for commit in commits_of(result))


# Options of a run's command that say where files are and how work is shared out, or that the row's name shows.
_NO_OTHER_RUN = ("nj", "env", "dl-dir", "data-dir", "exp-dir", "results-dir")
# The same of commands of single stages.
_NO_OTHER_STAGE = (
    *("exp-dir", "feature-dir", "lang-dir", "shar-dir", "conf-dir", "recipe-config", "results-dir", "splits"),
    *("num-threads", "master-port", "device"),
)
_NOT_IN = {"train": (), "decode": ("max-duration",)}  # batches decide about what is learnt, not about what is found
_RECIPES = "egs/"  # where the commands of runs begin
_IN_THE_NAME = (
    *("feature-type", "recipe", "languages", "precision", "decoding-method", "lm", "lm-scale"),
    TRAINING_SEED,
)


def asked_by(command: str) -> List[Tuple[str, str]]:
    """What a command of run.sh asks for, sorted, without where files are and how work is shared out."""
    return _options_in(command, _NO_OTHER_RUN)


def _options_in(command: str, passed_over: Sequence[str]) -> List[Tuple[str, str]]:
    """The options of a command with their values, sorted, without some."""
    words = [part for word in shlex.split(command) for part in (word.split("=", 1) if word[:2] == "--" else (word,))]
    pairs = [(name[2:], value) for name, value in itertools.pairwise(words) if name.startswith("--")]
    return sorted(pair for pair in pairs if pair[0] not in passed_over)


def what_was_run(result: Json) -> Json:
    """What another row of the same name must have too: options of its run or, without one, of its stages."""
    command = result.get("command") or ""
    if command.startswith(_RECIPES):
        return {"run": _options_in(command, (*_NO_OTHER_RUN, *_IN_THE_NAME))}
    stages = result.get("commands") or {}
    texts = {name: stage for name, stage in stages.items() if isinstance(stage, str)}  # joined rows have lists
    options = {name: _options_in(stage, (*_NO_OTHER_STAGE, *_NOT_IN.get(name, ()))) for name, stage in texts.items()}
    return {**options, "epochs": (result.get("training") or {}).get("epochs")}


def add_to_ledger(ledger_dir: PathLike, result: Json) -> Path:
    """Add the result to the folder of results that RESULTS.md is made from, in place of its older self.

    Raises ValueError if the row of its name was made by a command with other settings.
    """
    path = path_inside(Path(ledger_dir), row_name(result), "the name of a result")
    before = read_result(path) if path.is_file() else {}
    was, now = what_was_run(before), what_was_run(result)
    if before and any(was[name] != now[name] for name in set(was) & set(now)):
        raise ValueError(
            f"{path} is the result of another run: it was made by '{before.get('command')}', this one by "
            f"'{result.get('command')}'. Give this one a "
            "recipe file of its own, or another --results-dir; or move that file away, to replace it."
        )
    write_json(path, result)
    return path


def read_result(path: PathLike) -> Json:
    """Read the result.json of an experiment, or a file of the ledger. Raises ValueError, with the key, for another."""
    result = read_object(path, "a result")
    try:
        require_result(result, str(path))
    except ValueError as error:
        raise ValueError(f"{error}; {_ADVICE}.") from None
    return result


def read_ledger(paths: Sequence[PathLike]) -> List[Json]:
    """Read result files, ordered by recipe, device, falling bit rate, name, search, seed; not by the order of `paths`.

    Raises:
      ValueError: if a file is not a result, or two files hold the same row.
    """
    rows: Dict[str, Json] = {}
    for path in paths:
        row = read_result(path)
        if row_name(row) in rows:
            raise ValueError(f"{path}: its row ({row_name(row)}) stands in another file too; remove one of them.")
        rows[row_name(row)] = row
    return sorted(rows.values(), key=_order)


def traceable(rows: Sequence[Json]) -> List[Json]:
    """The results of which commit and features are known; the others are named in the log and left out of tables."""
    known = []
    for row in rows:
        unknown = [name for name, is_known in _origins(row).items() if not is_known]
        if unknown:
            LOG.warning(
                "result %s is left out: its %s is unknown, so that nobody could repeat it; run it in a git clone, on "
                "features with their spec.json.",
                row_name(row),
                " and ".join(unknown),
            )
            continue
        known.append(row)
    return known


def _origins(row: Json) -> Dict[str, bool]:
    return {"commit": UNKNOWN not in commits_of(row), "spec": bool((row.get("features") or {}).get("kind"))}


def _order(row: Json) -> Any:
    bits = (row.get("features") or {}).get("bits_per_second") or 0.0
    return row["recipe"], row["device"], -bits, row["feature_type"], row.get("search") or "", seed_of(row)
