"""Find a class by the name of the file that holds it, import it only when asked for, and name the known ones."""

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import List, Type, TypeVar

B = TypeVar("B")


def known_names(room: ModuleType) -> List[str]:
    """Names of the modules in package `room`, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(room.__path__))


def find_class(room: ModuleType, name: str, base: Type[B]) -> Type[B]:
    """Return the concrete subclass of `base` defined in module `name` of package `room`.

    Raises:
      ValueError: if there is no such module (the message lists the known ones), or it defines not exactly one.
    """
    candidates = known_names(room)
    if name not in candidates:
        raise ValueError(f"unknown {base.__name__} '{name}'; known: {', '.join(candidates)}.")
    module = importlib.import_module(f"{room.__name__}.{name}")
    found = [
        cls
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, base) and cls.__module__ == module.__name__ and not inspect.isabstract(cls)
    ]
    if len(found) != 1:
        raise ValueError(f"{module.__name__} defines {len(found)} {base.__name__} classes, expected exactly one.")
    return found[0]
