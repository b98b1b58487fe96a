"""Plug-ins: each kind of part is a registry that a package extends by an entry point, without touching the loop.

The groups are ``lorafleet.families``, ``.optimizers``, ``.schedulers``, ``.losses``, ``.augmentations`` and ``.loggers``.
Built-in parts are named here as ``module:attribute`` and imported only when chosen.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, cast

from lorafleet.contracts.problems import ConfigError

Part = TypeVar("Part", bound=Callable[..., Any])


class Registry(Generic[Part]):
    """Named parts of one kind.

    A third-party part may not take a built-in name: a configuration must mean the same on every machine.
    """

    def __init__(self, kind: str, built_in: Mapping[str, str]) -> None:
        self.kind = kind
        self.group = f"lorafleet.{kind}"
        self._built_in = dict(built_in)

    def names(self) -> list[str]:
        """Every name that :meth:`get` knows now, sorted."""
        return sorted({*self._built_in, *(point.name for point in entry_points(group=self.group))})

    def get(self, name: str) -> Part:
        """The part of that name.

        Raises:
            ConfigError: no such part, or the package that brings it cannot be imported.
        """
        if name in self._built_in:
            module, _, attribute = self._built_in[name].partition(":")
            return cast(Part, getattr(import_module(module), attribute))
        for point in entry_points(group=self.group, name=name):
            try:
                return cast(Part, point.load())
            except Exception as error:
                raise ConfigError(f"plug-in '{name}' ({point.value}) cannot be loaded: {error}") from error
        names = self.names()
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names)}"
        raise ConfigError(f"there is no '{name}' among the {self.kind}", hint=hint)
