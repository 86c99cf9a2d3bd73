"""Find a class by the name of the file that holds it, import it only when asked for, and name the known ones.

Adding a class is adding a file: no list is kept by hand.
"""

import importlib
import inspect
import pkgutil
from typing import Dict, List, Mapping, Type, TypeVar

B = TypeVar("B")


def modules_in(package: str) -> Dict[str, str]:
    """Modules that lie in `package`, by name, with their dotted paths; folders are left out."""
    paths = importlib.import_module(package).__path__
    return {one.name: f"{package}.{one.name}" for one in pkgutil.iter_modules(paths) if not one.ispkg}


def packages_in(package: str) -> List[str]:
    """Dotted paths of the folders in `package`, sorted."""
    paths = importlib.import_module(package).__path__
    return sorted(f"{package}.{one.name}" for one in pkgutil.iter_modules(paths) if one.ispkg)


def find_class(modules: Mapping[str, str], name: str, base: Type[B]) -> Type[B]:
    """Return the concrete subclass of `base` that the module called `name` among `modules` (name: path) defines.

    Raises:
      ValueError: if there is no such module (the message lists the known ones), or it defines not exactly one.
    """
    if name not in modules:
        raise ValueError(f"unknown {base.__name__} '{name}'; known: {', '.join(sorted(modules))}.")
    module = importlib.import_module(modules[name])
    found = [
        cls
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, base) and cls.__module__ == module.__name__ and not inspect.isabstract(cls)
    ]
    if len(found) != 1:
        raise ValueError(f"{module.__name__} defines {len(found)} {base.__name__} classes, expected exactly one.")
    return found[0]
