"""What was asked for, held against what there is, before anything is made: options, recipe, machine, folders."""

import functools
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Sequence, Tuple

from icefall_discrete.base.device import check_name
from icefall_discrete.base.feature_types import read_feature_settings
from icefall_discrete.base.hub_names import names_no_place
from icefall_discrete.base.json_files import read_json, read_object
from icefall_discrete.base.names import known_names
from icefall_discrete.base.settings import KIND
from icefall_discrete.base.settings_digest import digests_of
from icefall_discrete.base.weights import require_known_weights
from icefall_discrete.experiment.environment_choice import ENVIRONMENTS, needed_gigabytes
from icefall_discrete.experiment.feature_stages import TaskFacts
from icefall_discrete.experiment.fitted_recipe import Facts, fitted_recipe, has_conditions
from icefall_discrete.experiment.folder_options import require_folder
from icefall_discrete.experiment.machine import free_gigabytes, num_cores, num_gpus
from icefall_discrete.experiment.recipe_check import check_recipe
from icefall_discrete.experiment.recipe_files import DEFAULT_SIZE, model_size_file
from icefall_discrete.experiment.run_options import FEATURES, Choice, RunOptions
from icefall_discrete.experiment.stage_flags import FLAGS_FILE, TOKENIZERS, StageFlags, check_feature_type, dashed
from icefall_discrete.systems import DEFAULT_SYSTEM

TRAINING = 6  # the stage
Flags = Mapping[str, str]
_PROCESSES_A_CORE = 16  # more would only fill the memory
# Settings, by their sections, that mean nothing where training begins with weights of its own.
_OF_A_BEGINNING = (
    ("init", "init_modules"),
    ("init", "frozen_modules"),
    ("init", "frozen_steps"),
    ("model.adaptation", "lora_r"),
    ("model.adaptation", "adapter_dim"),
    ("train", "first_batch_count"),
)
# Systems that learn from codes alone, with a feature type for each; and from samples alone, which this tokenizer gives.
_FROM_CODES = {
    **dict.fromkeys(("discrete_bert", "unit_lm", "speech_lm", "enhancement", "tts"), "mfcc_km500"),
    "perceptual": "speechtokenizer",
}
_FROM_SAMPLES, _SAMPLES = ("wav2vec2", "predictive_coding"), "waveform"
# From samples where that is the front end too, else from features.
_FROM_EITHER = ("hubert",)
_MANY_HOURS = 1e6  # above every condition of a recipe


def check_options(flags: StageFlags, options: RunOptions, handed: Mapping[str, Tuple[str, str]]) -> None:
    """Raise ValueError for options, of those that are handed to stages, that their stage would not take."""
    for option, (stage, flag) in handed.items():
        value = getattr(options, option)
        if value:
            flags.check(stage, flag, value, dashed(option))
    if not options.speed_factors.replace(",", " ").split():
        raise ValueError("--speed-factors is empty, expected at least one speed; 1.0 alone makes no copies.")


def check_request(facts: TaskFacts) -> Tuple[str, ...]:
    """Raise ValueError for what no stage would accept, beside the recipe.

    Returns sentences about what will go on, but perhaps not as it was meant.
    """
    facts.asked.range.check(facts.asked.last_stage)
    tokenizers = read_json(Path(facts.asked.root) / "local" / FLAGS_FILE)[TOKENIZERS]
    for file, _ in digests_of(facts.choice.feature_files, [FEATURES]):
        values = read_feature_settings(file, [FEATURES])
        check_feature_type(tokenizers, values, str(file))
        _check_what_is_heard(facts, str(values.get("tokenizer")))
        require_known_weights(values, str(file))
    _check_languages(facts)
    if "decode" in facts.scripts:
        _check_checkpoints(facts)
    absent = _what_is_absent(facts)
    options, last = facts.options, facts.asked.range.last
    for option, path, first in (
        ("dl-dir", facts.asked.values.get("dl_dir", ""), 0),
        ("data-dir", options.data_dir, 1),
        ("exp-dir", facts.exp_dir, TRAINING),
        ("results-dir", facts.results_dir, 8),
    ):
        if path and last >= first and (first or facts.asked.range.first == 0):
            require_folder(option, path)
    if not options.data_dir:
        raise ValueError("--data-dir is empty, expected a folder.")
    notices = _check_machine(facts)
    _check_space(facts)
    return (*notices, *absent)


def check_choice(choice: Choice, flags: StageFlags, system: str, sections: Mapping[str, str], train: Flags) -> None:
    """Raise ValueError for a recipe of another system, or with what no stage takes.

    Args:
      system, sections: of the task, as in its module of `stages/`. train: the flags that are passed on to training.
    """
    said = choice.recipe.get("system", DEFAULT_SYSTEM)
    if said != system:
        raise ValueError(f"{choice.recipe_file} is a recipe of system {said}; these stages are of {system}")
    size = train.get("model-size")
    conf_dirs = [Path(train["conf-dir"])] if "conf-dir" in train else []
    check_recipe(Path(choice.recipe_file), flags, sections, conf_dirs)
    if size is not None:
        try:
            model_size_file(size, conf_dirs)
        except ValueError as error:
            raise ValueError(f"--model-size: {error}") from None
    if not has_conditions(Path(choice.recipe_file)):  # which may choose another size
        named = size or str(choice.recipe.get("model_size", DEFAULT_SIZE))
        below = {"model": read_object(model_size_file(named, conf_dirs))}
        flags.check_of_kinds("train", train, functools.partial(_chosen_kind, [below, choice.recipe], train))


def _chosen_kind(layers: Sequence[Mapping[str, Any]], train: Flags, name: str) -> Optional[str]:
    """The kind of a choice, such as `model.encoder`, that a flag, or else the last of the layers, names."""
    found = next((train[flag] for flag in (name, name.rpartition(".")[2]) if flag in train), None)
    for layer in layers if found is None else ():
        value: Any = layer
        for key in name.replace("-", "_").split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        kind = value.get(KIND) if isinstance(value, Mapping) else value
        found = kind if isinstance(kind, str) else found
    return found


def _check_what_is_heard(facts: TaskFacts, tokenizer: str) -> None:
    """Raise ValueError where a system learns from codes or from samples, and the feature type has others."""
    sources = Path(facts.asked.root) / "icefall_discrete" / "tokenizers" / "frames"
    # A tokenizer called as a source of frames gives these frames as they are.
    has_codes = not (sources / f"{tokenizer}.py").is_file()
    hears_either = facts.system in _FROM_EITHER
    of_codes = facts.system in _FROM_CODES
    of_samples = facts.system in _FROM_SAMPLES or (hears_either and _front_end(facts) == _SAMPLES)
    of_features = hears_either and not of_samples
    no_features = has_codes or tokenizer == _SAMPLES
    if (of_codes and not has_codes) or (of_samples and tokenizer != _SAMPLES) or (of_features and no_features):
        wanted, such_as = ("samples", "waveform") if of_samples else ("features", "fbank")
        wanted, such_as = ("codes", _FROM_CODES[facts.system]) if of_codes else (wanted, such_as)
        raise ValueError(
            f"{facts.choice.recipe_file} is a recipe of system {facts.system}, which learns from {wanted}"
            f"{f' by front end {_front_end(facts)}' if hears_either else ''}, and feature "
            f"type '{facts.choice.feature_name}' is made by tokenizer {tokenizer}; give another one, such as "
            f"--feature-type {such_as}"
        )


def _front_end(facts: TaskFacts) -> Optional[str]:
    """The kind of front end of the recipe, or of a flag, conditions of the recipe aside."""
    train = facts.passed.get("train", {})
    size = train.get("model-size", str(facts.choice.recipe.get("model_size", DEFAULT_SIZE)))
    conf_dirs = [Path(train["conf-dir"])] if "conf-dir" in train else []
    below = {"model": read_object(model_size_file(size, conf_dirs))}
    return _chosen_kind([below, facts.choice.recipe], train, "model.front-end")


def _check_languages(facts: TaskFacts) -> None:
    known = facts.corpus.known_languages.split()
    in_recipe = facts.choice.section("filter").get("languages", [])
    said = [("--languages has", one) for one in facts.options.languages.split(",") if facts.options.languages]
    said += [(f"{facts.choice.recipe_file}: filter.languages has", one) for one in in_recipe]
    for number, (where, language) in enumerate(said):
        if not language or (known and language not in known):
            raise ValueError(f"{where} '{language}'; {known_names(known, language)}")
        if (where, language) in said[:number]:
            raise ValueError(f"{where} '{language}' twice; leave one of them out")


def _check_checkpoints(facts: TaskFacts) -> None:
    """Of flags: a recipe's average may be of more epochs than there are, and is then of fewer."""
    passed, train = facts.passed.get("decode", {}), facts.choice.section("train")
    said = train.get("num_epochs", facts.flags.default("train", "num-epochs"))
    epochs = int(facts.options.num_epochs or facts.passed.get("train", {}).get("num-epochs", said))
    for flag in ("epoch", "avg"):
        value = int(passed.get(flag, 0))
        if value > epochs and not (Path(facts.exp_dir) / f"epoch-{value}.pt").is_file():
            raise ValueError(
                f"--{flag} is {value}, expected at most {epochs}, the epochs that are trained (num_epochs)."
            )


def _said_of_training(facts: TaskFacts, section: str, name: str) -> Any:
    """What a flag, or else the recipe, says of a setting of training; None if neither does."""
    flags = facts.passed.get("train", {})
    found = next((value for flag, value in flags.items() if flag.rpartition(".")[2] == name.replace("_", "-")), None)
    if found is None:
        value: Any = facts.choice.recipe
        for key in (*section.split("."), name):
            value = value.get(key) if isinstance(value, Mapping) else None
        found = value
    return None if found in ("0", "") else found


def _is_wanted(facts: TaskFacts) -> Iterator[str]:
    """Sentences about what is said of weights of another training, or of pseudo-labels, where none are named."""
    for section, name in _OF_A_BEGINNING if not _said_of_training(facts, "init", "init_from") else ():
        value = _said_of_training(facts, section, name)
        if value:
            yield (
                f"{section}.{name} is {value}, which is for weights of another training, and none are named; give "
                "--init-from, an experiment folder or a checkpoint."
            )
    share = _said_of_training(facts, "loader", "pseudo_share")
    if share and not facts.options.teacher and "pseudo-labels" not in facts.passed.get("train", {}):
        yield f"loader.pseudo_share is {share}, but nothing has pseudo-labels; give --teacher, which says them."


def _what_is_absent(facts: TaskFacts) -> Tuple[str, ...]:
    """Sentences about models that training is to begin with or to learn from, and that a dry run does not find.

    Raises ValueError if it is none: other runs may make them first, and only then.
    """
    said = facts.choice.section("init").get("init_from", "")
    name = facts.passed.get("train", {}).get("init-from", said)
    teacher, absent = facts.options.teacher, []
    if TRAINING in facts.asked.range and teacher and not Path(teacher).exists():
        absent.append(f"--teacher {teacher} does not exist; paths are relative to the recipe's folder.")
    if name and TRAINING in facts.asked.range and not Path(name).exists() and not names_no_place(name):
        absent.append(
            f"--init-from {name} does not exist; paths are relative to the recipe's folder, and a model of a hub is "
            "ORG/NAME."
        )
    if TRAINING in facts.asked.range:
        absent += _is_wanted(facts)
    if absent and facts.asked.values.get("dry_run") != "true":
        raise ValueError(absent[0])
    return tuple(absent)


def _check_machine(facts: TaskFacts) -> Tuple[str, ...]:
    options, gpus = facts.options, num_gpus()
    if options.env not in ENVIRONMENTS:
        raise ValueError(f"--env is '{options.env}', expected one of them; {known_names(ENVIRONMENTS, options.env)}")
    check_name(options.device)
    passed = {stage: facts.passed.get(stage, {}).get("device", "") for stage in ("fit", "extract", "train", "decode")}
    passed["train"] = passed["train"] or str(facts.choice.section("train").get("device", ""))
    for name, device in (("--device", options.device), *((f"--{stage}.device", one) for stage, one in passed.items())):
        number = int(device.partition(":")[2] or 0)
        if device.startswith("cuda") and gpus is not None and number >= gpus:
            there = f"{gpus} GPU" if gpus else "no GPU that CUDA could use"
            raise ValueError(f"{name} is {device}, but this machine has {there}; use cpu or auto.")
    _check_processes("--nj", int(options.nj))
    if options.dtype == "float16" and (options.device == "cpu" or gpus == 0):
        raise ValueError("--dtype float16 is for CUDA, and --device is the CPU; use bfloat16 or float32.")
    if facts.asked.range.last >= TRAINING and not Path(f"{facts.exp_dir}/.done-6").exists():
        return _check_training(facts, passed["train"], gpus)
    return ()


def _check_processes(option: str, number: int) -> None:
    most = _PROCESSES_A_CORE * num_cores()
    if number > most:
        raise ValueError(f"{option} is {number}, expected at most {most} with {num_cores()} processor cores.")


def _check_training(facts: TaskFacts, device: str, gpus: Optional[int]) -> Tuple[str, ...]:
    """Processes against GPUs or cores."""
    on_cpu = device == "cpu" or gpus == 0
    option, processes = _processes(facts, "cpu" if on_cpu else "cuda")
    if not on_cpu and gpus is not None and processes > gpus:
        raise ValueError(f"{option} is {processes}, but this machine has {gpus} GPU; each process needs its own.")
    if on_cpu:
        _check_processes(option, processes)
    if on_cpu and processes > num_cores():
        return (f"{option} {processes}: so many processes share {num_cores()} processor cores, and are slow",)
    return ()


def _processes(facts: TaskFacts, device: str) -> Tuple[str, int]:
    """Who says how many processes train, and how many: the option, or the recipe for any amount of audio."""
    if facts.options.world_size:
        return "--world-size", int(facts.options.world_size)
    recipe = Path(facts.choice.recipe_file)
    fitted = [fitted_recipe(recipe, Facts(hours, device)) for hours in (0.0, _MANY_HOURS)]
    most = max(int(one.get("train", {}).get("world_size", 1)) for one in fitted)
    return f"train.world_size of {recipe}", most


def _check_space(facts: TaskFacts) -> None:
    """Raise ValueError if there is certainly too little room for the environment that would be installed."""
    root, env = Path(facts.asked.root), facts.options.env
    needed = needed_gigabytes(root, env)
    free = free_gigabytes(root / ".venv")
    if free < needed:
        raise ValueError(
            f"the Python environment that would be installed in {root / '.venv'} takes about {needed:g} GB, and "
            f"{free:.1f} GB are free there; free some space first."
        )
