"""Teams' secrets as sealed text."""

from collections.abc import Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from lorafleet.console.domain.records import SecretRecord
from lorafleet.console.domain.refusals import Conflict, NotFound
from lorafleet.console.store import chain, rows
from lorafleet.console.store.database import Database
from lorafleet.console.store.schema import team_secrets
from lorafleet.contracts.team_secrets import MAX_SECRETS


class SqlSecrets:
    """:class:`lorafleet.console.ports.Secrets`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, team: str, name: str, sealed: str, actor: str) -> SecretRecord:
        """Keep a secret in the place of the one of its name. Raises Conflict."""
        others = select(func.count()).select_from(team_secrets).where(team_secrets.c.team == team, team_secrets.c.name != name)
        with self._database.write() as transaction:
            if transaction.number(others) >= MAX_SECRETS:
                raise Conflict(f"team {team} has {MAX_SECRETS} secrets", hint="remove one that is not used any more")
            record = SecretRecord(team, name, sealed, transaction.now, actor)
            changed = {"ciphertext": sealed, "updated_at": transaction.now, "updated_by": actor}
            dialect = postgresql if transaction.postgres else sqlite
            statement = dialect.insert(team_secrets).values(team=team, name=name, **changed)
            transaction.execute(statement.on_conflict_do_update(index_elements=["team", "name"], set_=changed))
            chain.append(transaction, team, actor, "secret.set", name)
        return record

    def of_team(self, team: str) -> Sequence[SecretRecord]:
        """By name."""
        with self._database.read() as transaction:
            found = transaction.all(select(team_secrets).where(team_secrets.c.team == team).order_by(team_secrets.c.name))
        return [rows.secret(row) for row in found]

    def remove(self, team: str, name: str, actor: str) -> None:
        """Forget a secret. Raises NotFound."""
        with self._database.write() as transaction:
            gone = transaction.execute(delete(team_secrets).where(team_secrets.c.team == team, team_secrets.c.name == name))
            if gone.rowcount == 0:
                raise NotFound(f"there is no secret {name}")
            chain.append(transaction, team, actor, "secret.remove", name)

    def every(self) -> Sequence[SecretRecord]:
        """Of all teams."""
        with self._database.read() as transaction:
            return [rows.secret(row) for row in transaction.all(select(team_secrets))]

    def reseal(self, record: SecretRecord, sealed: str) -> bool:
        """Exchange the sealed text, unless it is another one by now."""
        same = (
            team_secrets.c.team == record.team,
            team_secrets.c.name == record.name,
            team_secrets.c.ciphertext == record.sealed,
        )
        with self._database.write() as transaction:
            return transaction.execute(update(team_secrets).where(*same).values(ciphertext=sealed)).rowcount == 1
