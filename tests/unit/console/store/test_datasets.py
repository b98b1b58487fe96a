"""Data sets and versions, on both databases."""

import pytest
from console_actors import some_object
from console_databases import Clock

from lorafleet.console.domain.refusals import Conflict, NotFound
from lorafleet.console.store.ledger import SqlLedger


def test_versions_are_added_and_read(ledger: SqlLedger, clock: Clock) -> None:
    made = ledger.datasets.create("red", "Cyberpunk city", "images", "ann")
    assert made.id.startswith("cyberpunk-city-")
    assert (made.version, made.created_at) == (None, clock.at)
    files = [some_object("images/1.png"), some_object("metadata.csv")]
    first = ledger.datasets.add_version("red", made.id, "v1", files, 1, {"findings": []}, ["aws-store"], "ann")
    clock.advance(1)
    ledger.datasets.add_version("red", made.id, "v2", files[:1], 1, {}, ["aws-store", "gcp-store"], "bob")
    assert ledger.datasets.get("red", made.id).version == "v2"
    assert ledger.datasets.version("red", made.id, "v1") == first
    assert (first.files, first.report, first.stores, first.created_by) == (tuple(files), {"findings": []}, ("aws-store",), "ann")
    assert [each.version for each in ledger.datasets.versions("red", made.id)] == ["v2", "v1"]


def test_a_version_never_changes(ledger: SqlLedger) -> None:
    made = ledger.datasets.create("red", "set", "texts", "ann")
    first = ledger.datasets.add_version("red", made.id, "v1", [some_object("datasets/set/v1/a")], 1, {}, ["s"], "ann")
    for place in ("v1", "upload-2"):
        again = [some_object(f"datasets/set/{place}/a")]
        assert ledger.datasets.add_version("red", made.id, "v1", again, 1, {}, ["s"], "bob") == first
    with pytest.raises(Conflict, match="other files"):
        ledger.datasets.add_version("red", made.id, "v1", [some_object("datasets/set/v1/b")], 1, {}, ["s"], "ann")


def test_whoever_goes_back_to_what_it_was_has_that_as_the_newest(ledger: SqlLedger) -> None:
    made = ledger.datasets.create("red", "set", "texts", "ann")
    for version, name in (("v1", "a"), ("v2", "b"), ("v1", "a"), ("v1", "a")):
        files = [some_object(f"datasets/set/{version}/{name}")]
        ledger.datasets.add_version("red", made.id, version, files, 1, {}, ["s"], "ann")
        assert ledger.datasets.get("red", made.id).version == version
    assert [row.version for row in ledger.datasets.versions("red", made.id)] == ["v2", "v1"]
    # The second time v1 was the newest already: nothing happened.
    assert len(ledger.access.audit("red").rows) == 4


def test_a_name_is_a_teams_own(ledger: SqlLedger) -> None:
    ledger.datasets.create("red", "set", "images", "ann")
    with pytest.raises(Conflict, match="'set'"):
        ledger.datasets.create("red", "set", "images", "ann")
    assert ledger.datasets.create("blue", "set", "images", "ann").team == "blue"


def test_a_name_without_plain_letters_gets_an_id_too(ledger: SqlLedger) -> None:
    assert ledger.datasets.create("red", "赛博朋克", "images", "ann").id.startswith("set-")


def test_pages(ledger: SqlLedger) -> None:
    made = [ledger.datasets.create("red", f"set {number}", "images", "ann").id for number in range(5)]
    page = ledger.datasets.page("red", limit=3)
    assert [row.id for row in page.rows] == made[:1:-1]
    assert [row.id for row in ledger.datasets.page("red", page.after).rows] == [made[1], made[0]]
    assert ledger.datasets.page("blue").rows == ()


def test_what_is_not_there(ledger: SqlLedger) -> None:
    made = ledger.datasets.create("red", "set", "images", "ann").id
    for look in (
        lambda: ledger.datasets.get("red", "none"),
        lambda: ledger.datasets.get("blue", made),
        lambda: ledger.datasets.version("red", made, "v1"),
        lambda: ledger.datasets.add_version("blue", made, "v1", [], 0, {}, [], "ann"),
    ):
        with pytest.raises(NotFound):
            look()
