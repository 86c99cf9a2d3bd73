"""Models by name: in a folder, or on the hub of Hugging Face, fetched from there once. Only `push` sends anything."""

from pathlib import Path
from typing import Any, Optional

from icefall_discrete.base.hub_names import is_hub_name
from icefall_discrete.base.script import one_sentence
from icefall_discrete.experiment.model_list import DATA_SUFFIXES, check_model_folder

_PATTERNS = [f"*{suffix}" for suffix in DATA_SUFFIXES]


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(f"models of a hub need huggingface_hub; pip install huggingface_hub ({error}).") from error
    return huggingface_hub


def require_id(name: str) -> str:
    """The name of a model on a hub. Raises ValueError if it is none."""
    if not is_hub_name(name):
        raise ValueError(f"'{name}' is no model on a hub, expected ORG/NAME of letters, digits and ._-; correct it.")
    return name


def fetched(name: str, revision: Optional[str] = None, cache_dir: Optional[Path] = None, offline: bool = False) -> Path:
    """The folder of a model of the hub on this machine; what is missing is fetched, files of data alone.

    Args:
      name: ORG/NAME. revision: commit, tag or branch; None: the newest. cache_dir: None: huggingface_hub's own.
      offline: ask no network (as the variable HF_HUB_OFFLINE=1 does).
    Raises:
      ValueError: if the hub, or the cache, does not have it.
    """
    hub = _library()
    require_id(name)
    try:
        folder = hub.snapshot_download(
            name,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=offline,
            allow_patterns=_PATTERNS,
        )
    except Exception as error:  # the library's own, and those of whatever it reaches the network with
        at = f" at {revision}" if revision else ""
        where = "on this machine" if offline else "from the hub"
        raise ValueError(
            f"cannot get the model {name}{at} {where}: {one_sentence(error)[:300].rstrip('.')}. Check its name and the "
            "network, or fetch it elsewhere with `icefall-discrete pull` and give the folder."
        ) from error
    return Path(folder)


def model_dir(
    name: str, revision: Optional[str] = None, cache_dir: Optional[Path] = None, offline: bool = False
) -> Path:
    """The checked folder of a model: that on this machine, if there is one, else that of the hub; see `fetched`."""
    if Path(name).is_file():
        raise ValueError(f"{name} is a file, expected a model folder, or ORG/NAME on a hub; give one of them.")
    folder = Path(name) if Path(name).is_dir() else fetched(name, revision, cache_dir, offline)
    return check_model_folder(folder)


def upload(folder: Path, name: str, is_private: bool) -> str:
    """Send a model folder to the hub; returns its address.

    Raises:
      ValueError: if the hub does not take it, as without a token.
    """
    hub = _library()
    check_model_folder(folder)
    require_id(name)
    try:
        api = hub.HfApi()
        api.create_repo(name, private=is_private, exist_ok=True)
        done = api.upload_folder(folder_path=str(folder), repo_id=name, allow_patterns=_PATTERNS)
    except Exception as error:  # as in fetched
        raise ValueError(
            f"cannot send {folder} to {name}: {one_sentence(error)[:300].rstrip('.')}. Log in with `hf auth login`, "
            "check the name and the network, and run the same command again."
        ) from error
    return str(done)
