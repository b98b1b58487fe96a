"""Teams' secrets: sealed before they are stored, opened for attempts only."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from lorafleet.console.domain.records import SecretRecord
from lorafleet.console.domain.sealing import Sealer, Unreadable
from lorafleet.console.ports import Secrets
from lorafleet.console.settings import PREVIOUS_SECRET_VARIABLE

PURPOSE = "team secrets"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """A team's secrets by name, and the names of those that no key at hand opens."""

    values: Mapping[str, SecretStr]
    unreadable: tuple[str, ...]


class TeamSecrets:
    """What the API does with secrets."""

    def __init__(self, store: Secrets, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer

    def put(self, team: str, name: str, value: SecretStr, actor: str) -> SecretRecord:
        """Keep a secret. Raises Conflict where the team has too many."""
        return self._store.put(team, name, self._sealer.seal(value.get_secret_value(), team, name), actor)

    def records(self, team: str) -> Sequence[SecretRecord]:
        """By name, still sealed."""
        return self._store.of_team(team)

    def readable(self, record: SecretRecord) -> bool:
        """Whether attempts can still be given it."""
        return self._open(record) is not None

    def remove(self, team: str, name: str, actor: str) -> None:
        """Forget a secret. Raises NotFound."""
        self._store.remove(team, name, actor)

    def opened(self, team: str) -> Opened:
        """For an attempt of a job of this team, and nobody else."""
        found = {record.name: self._open(record) for record in self._store.of_team(team)}
        values = {name: value for name, value in found.items() if value is not None}
        return Opened(values, tuple(name for name, value in found.items() if value is None))

    def rotate(self) -> None:
        """Seal anew what lies under an older key, and warn of what no key at hand opens. Several consoles may do it at once."""
        for record in self._store.every():
            value = self._open(record)
            if value is not None and not self._sealer.is_newest(record.sealed):
                self._store.reseal(record, self._sealer.seal(value.get_secret_value(), record.team, record.name))
        if lost := self.count_unreadable():
            _log.warning("%d secrets of teams are sealed under another key: give the old one as %s", lost, PREVIOUS_SECRET_VARIABLE)

    def count_unreadable(self) -> int:
        """How many secrets of all teams no key at hand opens."""
        return sum(not self.readable(record) for record in self._store.every())

    def _open(self, record: SecretRecord) -> SecretStr | None:
        try:
            return SecretStr(self._sealer.open(record.sealed, record.team, record.name))
        except Unreadable:
            return None
