"""A command group that imports a command only when it is called."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from lorafleet.contracts.problems import UnavailableError, UsageError

_OWN_PACKAGES = ("lorafleet", "pipelines", "trainer")


@dataclass(frozen=True)
class LazyCommand:
    """``target`` is ``module:attribute`` of a function or a ``typer.Typer``; ``extra`` is what it needs installed."""

    target: str
    help: str
    extra: str


class LazyGroup(TyperGroup):
    """A group whose subclass names its commands in ``table``; its help is made from that alone."""

    table: ClassVar[Mapping[str, LazyCommand]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands' names, in the table's order."""
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:
        """Import a command."""
        lazy = self.table.get(cmd_name)
        if lazy is None:
            return None
        module, _, attribute = lazy.target.partition(":")
        found = getattr(import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            application = typer.Typer(rich_markup_mode=None, add_completion=False)
            application.command(name=cmd_name)(found)
            found = application
        command = typer.main.get_command(found)
        assert isinstance(command, TyperCommand | TyperGroup)
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """See ``TyperGroup``.

        Raises:
            UsageError: there is no such command.
        """
        if args[0] not in self.table and not ctx.resilient_parsing:
            near = get_close_matches(args[0], self.table, n=1)
            raise UsageError(
                f"there is no command '{args[0]}'",
                hint=f"did you mean '{near[0]}'?" if near else f"commands: {', '.join(self.table)}",
            )
        # Set again by the caller, but only after the import, which may fail for want of an extra.
        ctx.invoked_subcommand = args[0]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Import and run a command.

        Raises:
            UnavailableError: the command's extra is not installed.
        """
        try:
            return super().invoke(ctx)
        except ImportError as error:
            missing = _missing(ctx.invoked_subcommand, self.table[ctx.invoked_subcommand], error)
            if missing is None:
                raise
            raise missing from error

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the table into the help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in self.table.items()])


def _missing(command: str, lazy: LazyCommand, error: ImportError) -> UnavailableError | None:
    """What to tell of a failed import, or None where it is a defect of our own, whose traceback is wanted."""
    package = (error.name or "").partition(".")[0]
    if not package or package in _OWN_PACKAGES:
        return None
    reason = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be imported: {error}"
    return UnavailableError(f"'{command}' needs {package}, which {reason}", hint=f"pip install 'lorafleet[{lazy.extra}]'")
