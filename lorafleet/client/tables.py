"""Lists as tables for people."""

from collections.abc import Sequence

from rich.table import Column, Table
from rich.text import Text

from lorafleet.contracts.console_api import DatasetView, JobRow, SecretView


def jobs_table(rows: Sequence[JobRow]) -> Table:
    """Jobs."""
    table = Table(_whole("id"), "state", "step", "loss", "site", "submitted", "waiting for", box=None)
    for row in rows:
        steps = f"{row.step}/{row.total_steps}" if row.total_steps else ""
        loss = "" if row.loss is None else f"{row.loss:.4f}"
        state = "unknown" if row.unknown_since is not None else row.state.value
        table.add_row(
            *map(Text, (row.id, state, steps, loss, row.site or "", f"{row.submitted_at:%Y-%m-%d %H:%M}", row.waiting_for))
        )
    return table


def datasets_table(rows: Sequence[DatasetView]) -> Table:
    """Data sets."""
    table = Table(_whole("id"), "name", "kind", _whole("version"), "made", box=None)
    for row in rows:
        table.add_row(*map(Text, (row.id, row.name, row.kind, row.version or "", f"{row.created_at:%Y-%m-%d %H:%M}")))
    return table


def secrets_table(rows: Sequence[SecretView]) -> Table:
    """Secrets, which have no values here."""
    table = Table("name", "set", "by", "", box=None)
    for row in rows:
        state = "" if row.readable else "cannot be decrypted any more: set it anew"
        table.add_row(*map(Text, (row.name, f"{row.updated_at:%Y-%m-%d %H:%M}", row.updated_by, state)))
    return table


def _whole(name: str) -> Column:
    """A column that other commands want a value of: whatever else there is gives way first."""
    return Column(name, no_wrap=True)
