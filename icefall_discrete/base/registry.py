"""Find a class by the name of the file that holds it, import it only when asked for, and name the known ones.

Adding a class is adding a file: no list is kept by hand.
"""

import importlib
import inspect
import pkgutil
from abc import ABC, abstractmethod
from typing import Any, Dict, List, Mapping, Type, TypeVar

from icefall_discrete.base.names import known_names

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
        raise ValueError(f"unknown {base.__name__} '{name}'; {known_names(sorted(modules), name)}")
    module = importlib.import_module(modules[name])
    found = [
        cls
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, base) and cls.__module__ == module.__name__ and not inspect.isabstract(cls)
    ]
    if len(found) != 1:
        raise ValueError(f"{module.__name__} defines {len(found)} {base.__name__} classes, expected exactly one.")
    return found[0]


class Kinds(ABC):
    """Classes to choose from by name, found when they are asked for."""

    @abstractmethod
    def names(self) -> List[str]:
        """All kinds, sorted."""

    @abstractmethod
    def find(self, name: str) -> type:
        """The class of kind `name`. Raises ValueError, with the known kinds and the nearest, if there is none."""

    @abstractmethod
    def name_of(self, cls: type) -> str:
        """The kind that `cls` is. Raises ValueError if it is none."""

    def _only(self, name: str, found: List[Any]) -> Any:
        """The one that was found for `name`, or the error that it is unknown."""
        if found:
            return found[0]
        raise ValueError(f"unknown kind '{name}'; {known_names(self.names(), name)}")


class ListedKinds(Kinds):
    """Kinds of a list, for the few classes of one file."""

    def __init__(self, classes: Mapping[str, type]) -> None:
        self._classes = dict(classes)

    def names(self) -> List[str]:
        """See `Kinds`."""
        return sorted(self._classes)

    def find(self, name: str) -> type:
        """See `Kinds`."""
        return self._only(name, [cls for kind, cls in self._classes.items() if kind == name])

    def name_of(self, cls: type) -> str:
        """See `Kinds`."""
        return self._only(cls.__name__, [kind for kind, one in self._classes.items() if one is cls])


class ModuleKinds(Kinds):
    """Each of some modules is a kind: its class is the subclass of `base` that the module defines."""

    def __init__(self, package: str, base: type) -> None:
        self._package, self._base = package, base

    @abstractmethod
    def _modules(self) -> Dict[str, str]:
        """Dotted paths of the modules by kind."""

    def names(self) -> List[str]:
        """See `Kinds`."""
        return sorted(self._modules())

    def find(self, name: str) -> type:
        """See `Kinds`."""
        modules = self._modules()
        return find_class(modules, self._only(name, [kind for kind in modules if kind == name]), self._base)

    def name_of(self, cls: type) -> str:
        """See `Kinds`."""
        return self._only(cls.__name__, [kind for kind, path in self._modules().items() if path == cls.__module__])


class FolderKinds(ModuleKinds):
    """Each folder of a package is a kind, with its class in config.py: adding a kind is adding a folder."""

    def _modules(self) -> Dict[str, str]:
        return {path.rpartition(".")[2]: f"{path}.config" for path in packages_in(self._package)}


class FileKinds(ModuleKinds):
    """Each file of a package is a kind, but its contract.py: adding a kind is adding a file."""

    def _modules(self) -> Dict[str, str]:
        return {name: path for name, path in modules_in(self._package).items() if name != "contract"}
