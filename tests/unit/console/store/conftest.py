import pytest
from console_actors import Actors
from console_databases import Clock

from lorafleet.console.store.ledger import SqlLedger


@pytest.fixture
def actors(ledger: SqlLedger, clock: Clock) -> Actors:
    return Actors(ledger, clock)
