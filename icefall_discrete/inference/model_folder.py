"""Model folders: what is handed on of a trained model, by a hub or by hand; data alone, and each file checked.

A folder holds model.json (its version, and the digest of each file), model.safetensors, config.json, spec.json, the
text pieces or other targets, codebooks, tokenizer/, recipe.json, and README.md, the card. It is an experiment folder:
whatever takes one takes it. Files that are no data, such as pickles, are neither written nor taken.
"""

import dataclasses
import re
import shlex
import shutil
from pathlib import Path, PurePosixPath
from typing import Any, Iterator, List, Mapping

import torch

from icefall_discrete.base.atomic_files import new_folder, require_new_folder, write_text
from icefall_discrete.base.json_files import read_object, write_json
from icefall_discrete.base.provenance import digest_of_file
from icefall_discrete.base.tensor_files import write_tensors
from icefall_discrete.data.targets.prompted_voices import FILE as PROMPTS_FILE
from icefall_discrete.experiment.checkpoint_choice import load_weights, resolve_choice
from icefall_discrete.experiment.folder import TOKENIZER_DIR, Experiment
from icefall_discrete.experiment.model_list import CONTENTS, DATA_SUFFIXES, VERSION, check_model_folder, read_contents
from icefall_discrete.experiment.transcription_files import kept_settings
from icefall_discrete.nn.loading import require_finite
from icefall_discrete.results.ledger import read_optional
from icefall_discrete.results.model_card import CardFacts, model_card
from icefall_discrete.training.averages import PUBLISHED

CARD = "README.md"
_FILES = ("spec.json", "bpe.model", "bpe.json", "codebooks.safetensors")
# Both are written into the card's head, which others read as YAML, and into a command.
_LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
_NAME = re.compile(r"\w[\w./+-]*")
# Of env.json: nothing that tells of the machine.
_MADE_BY = ("git", "commits", "versions")
# An absolute path, by itself or in a list or after the name of a setting, but nothing of an address.
_PLACE = re.compile(r"(?<![^=,:])/(?:[^/,:]+/)*([^/,:]+)/?")
_SETTINGS = ("config.json", "recipe.json")


def _listed_files(folder: Path) -> Iterator[Path]:
    """The files of a folder but its list, hidden ones left out."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") for part in parts) and parts != (CONTENTS,):
            yield path


def _paths_of_this_machine(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _paths_of_this_machine(one)
    elif isinstance(value, list):
        for one in value:
            yield from _paths_of_this_machine(one)
    elif isinstance(value, str) and PurePosixPath(value).is_absolute():
        yield value


def _without_places(value: Any) -> Any:
    """JSON in which what lies somewhere on this machine is called by its name alone."""
    if isinstance(value, dict):
        return {key: _without_places(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_places(one) for one in value]
    return _PLACE.sub(r"\1", value) if isinstance(value, str) else value


def _command_without_places(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError:  # not written by us: it goes whole or not at all
        return command if _without_places(command.split()) == command.split() else ""
    named = _without_places(words)
    return command if named == words else shlex.join(named)


def _copy_tokenizer(source: Path, target: Path) -> None:
    for path in _listed_files(source):
        if path.suffix not in DATA_SUFFIXES:
            raise ValueError(
                f"{path} is no file of data alone ({', '.join(DATA_SUFFIXES)}); such a tokenizer cannot be handed on "
                "in a model folder."
            )
        paths = sorted(set(_paths_of_this_machine(read_object(path)))) if path.suffix == ".json" else []
        if paths:
            raise ValueError(
                f"{path} names {paths[0]}, a place of this machine that nobody else has; make the tokenizer of a "
                "network that has a name on a hub, and extract again."
            )
        (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / path.relative_to(source))


def _languages(result: Mapping[str, Any]) -> List[str]:
    found = {language for scored in (result.get("sets") or {}).values() for language in scored.get("languages", {})}
    return sorted(found - {"unknown"})


def _require_plain(name: str, license_name: str) -> None:
    """Raise ValueError for what is no name of a model, or no identifier of a licence."""
    if not _LICENSE.fullmatch(license_name):
        raise ValueError(
            f"the license is {license_name!r}, expected an identifier as hubs know it, such as cc-by-4.0; correct it, "
            "or say 'other'."
        )
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a model, expected letters, digits and ._+-/; give one by --name.")


def make_model_folder(exp_dir: Path, to: Path, name: str, license_name: str) -> None:
    """Write the model folder of an experiment, of any system, with the average that its recipe decodes with.

    Args:
      to: a folder that is new. name: what the card calls the model. license_name: as hubs know it.
    Raises:
      ValueError, FileNotFoundError: if the experiment has no weights, its tokenizer is no data, or it holds audio.
    """
    require_new_folder(to)
    _require_plain(name, license_name)
    experiment = Experiment(exp_dir)
    settings = experiment.settings()  # of a folder that holds no experiment, that is to be said, not what it lacks
    if (exp_dir / PROMPTS_FILE).is_file():
        raise ValueError(
            f"{exp_dir / PROMPTS_FILE} holds recordings of speakers, and model folders hand on no audio; train a "
            "vocoder whose generator takes no prompts, such as vocos."
        )
    model = experiment.build_model()
    choice, _ = kept_settings(exp_dir)
    choice = resolve_choice(choice, exp_dir)
    weights = load_weights(choice, exp_dir)
    require_finite(weights, str(exp_dir))
    model.load_trained(weights, str(exp_dir))
    result, made_by = read_optional(exp_dir / "result.json"), read_optional(exp_dir / "env.json")
    made_by = {key: made_by[key] for key in _MADE_BY if key in made_by}
    if result.get("command"):
        result = {**result, "command": _command_without_places(str(result["command"]))}
    kept = {name: _without_places(read_object(exp_dir / name)) for name in _SETTINGS if (exp_dir / name).is_file()}
    begun_with = str((kept["config.json"].get("init") or {}).get("init_from") or "")
    num_parameters = sum(value.numel() for value in model.parameters())
    about = (name, license_name, settings.system, _languages(result), experiment.spec(), result, made_by)
    facts = CardFacts(*about, num_parameters, dataclasses.asdict(choice), begun_with)
    with new_folder(to) as unfinished:
        for file in _FILES:
            if (exp_dir / file).is_file():
                shutil.copyfile(exp_dir / file, unfinished / file)
        for file, values in kept.items():
            write_json(unfinished / file, values)
        experiment.targets().save(unfinished)
        if (exp_dir / TOKENIZER_DIR).is_dir():
            _copy_tokenizer(exp_dir / TOKENIZER_DIR, unfinished / TOKENIZER_DIR)
        write_tensors(unfinished / PUBLISHED, {key: value for key, value in weights.items() if torch.is_tensor(value)})
        write_json(unfinished / "env.json", made_by)
        write_text(unfinished / CARD, model_card(facts))
        digests = {path.relative_to(unfinished).as_posix(): digest_of_file(path) for path in _listed_files(unfinished)}
        write_json(unfinished / CONTENTS, {"version": VERSION, "files": digests})


def copy_model_folder(source: Path, to: Path) -> None:
    """Copy the files of a model folder that its list names, checked, to a folder that is new, whole or not at all."""
    names = read_contents(check_model_folder(source))
    with new_folder(to) as unfinished:
        for name in (CONTENTS, *names):
            (unfinished / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, unfinished / name)
