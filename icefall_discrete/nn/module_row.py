"""A torch.nn.ModuleList whose modules are all of one type."""

from typing import TYPE_CHECKING, Generic, Iterable, Iterator, TypeVar, overload

from torch import nn

M = TypeVar("M", bound=nn.Module)


class ModuleRow(nn.ModuleList, Generic[M]):
    """Modules in a row, by number: nn.ModuleList, of which a type checker knows what the modules are."""

    def __init__(self, modules: Iterable[M] = ()) -> None:
        super().__init__(modules)

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, idx: slice) -> "ModuleRow[M]": ...

        @overload
        def __getitem__(self, idx: int) -> M: ...

        def __getitem__(self, idx: "int | slice") -> "M | ModuleRow[M]": ...

        def __iter__(self) -> Iterator[M]: ...
