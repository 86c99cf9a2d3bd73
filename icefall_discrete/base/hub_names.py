"""What models are called on the hub of Hugging Face."""

import re
from pathlib import Path

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_name(name: str) -> bool:
    """Whether `name` could be that of a model on a hub, ORG/NAME."""
    return _ID.fullmatch(name) is not None


def names_no_place(name: str) -> bool:
    """Whether `name` is meant for a hub: ORG/NAME, and no folder of this machine is called ORG."""
    return is_hub_name(name) and not Path(name).parent.exists()
