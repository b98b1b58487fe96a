"""Both shelves by one suite, and what a draft's shelf alone does: any console goes on, nothing is copied, stores come and go."""

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from threading import Thread

import pytest

from lorafleet.console.dataset_versions import DatasetVersions
from lorafleet.console.domain.records import Principal, Role, VersionRecord
from lorafleet.console.domain.refusals import Conflict, NotFound
from lorafleet.console.loops import ABANDONED_AFTER, LAST_WRITES, clear_drafts
from lorafleet.console.objects.folder import FolderStore
from lorafleet.console.objects.stores import Stores
from lorafleet.console.store.ledger import SqlLedger, open_ledger
from lorafleet.console.uploads.intake import Intake
from lorafleet.console.uploads.limits import Limits
from lorafleet.console.uploads.refusals import UploadRefused
from lorafleet.console.uploads.shelves import FolderShelf
from tests.unit.console.uploads.conftest import Picture, add

WHO = Principal("someone", "red", Role.TRAINER)
LIMITS = Limits(min_free_bytes=0)
Open = Callable[[], Intake]


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    by_name = {name: FolderStore(name, tmp_path / "stores" / name) for name in ("a", "b", "c")}
    with closing(Stores(by_name, "a")) as found:
        yield found


@pytest.fixture
def consoles(ledger: SqlLedger, stores: Stores, tmp_path: Path) -> list[DatasetVersions]:
    """Two, each with a disk of its own."""
    return [DatasetVersions(tmp_path / f"console-{number}", ledger, stores, LIMITS) for number in (1, 2)]


@pytest.fixture
def dataset(ledger: SqlLedger) -> str:
    return ledger.datasets.create("red", "cats", "images", "someone").id


@pytest.fixture(params=["folder", "sqlite", "postgresql"])
def reopened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Each call goes on with the same upload, as another request does."""
    if request.param == "folder":
        yield lambda: Intake(FolderShelf(tmp_path / "staging"), LIMITS)
        return
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "console.db")
    url = f"sqlite:///{tmp_path / 'console.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    stores: Stores = request.getfixturevalue("stores")
    with closing(open_ledger(url)) as ledger, ExitStack() as stack:
        pair = [DatasetVersions(tmp_path / f"console-{number}", ledger, stores, LIMITS) for number in (1, 2)]
        dataset = ledger.datasets.create("red", "cats", "images", "someone").id
        draft, turns = pair[0].begin(WHO, dataset), cycle(reversed(pair))
        yield lambda: stack.enter_context(next(turns).draft(WHO, dataset, draft))


def test_what_one_request_adds_the_next_one_has(reopened: Open, picture: Picture) -> None:
    (cat,) = add(reopened(), "cat.png", picture())
    add(reopened(), "cat.txt", b"a cat at night")
    (dog,) = add(reopened(), "dog.png", picture())
    add(reopened(), "metadata.csv", b"file_name,text\ndog.png,a dog\n")
    assert reopened().captions() == {cat: "a cat at night", dog: "a dog"}
    reopened().set_captions({dog: "by hand"})
    prepared = reopened().finish()
    assert (prepared.rows, {cat, dog} <= {file.name for file in prepared.files}) == (2, True)


def test_the_same_again_changes_nothing_and_another_of_the_name_is_refused(reopened: Open, picture: Picture) -> None:
    data = picture()
    assert add(reopened(), "cat.png", data) == add(reopened(), "cat.png", data)
    with pytest.raises(UploadRefused, match="another file of this name"):
        add(reopened(), "cat.png", picture())
    assert len(reopened().captions()) == 1


def test_a_file_is_taken_out_with_what_belongs_to_it_alone(reopened: Open, picture: Picture) -> None:
    (cat,) = add(reopened(), "cat.png", picture())
    add(reopened(), "cat.txt", b"a cat")
    (dog,) = add(reopened(), "dog.png", picture())
    add(reopened(), "dog.txt", b"a dog")
    reopened().set_captions({cat: "by hand"})
    reopened().remove(cat)
    with pytest.raises(UploadRefused, match="no such file"):
        reopened().remove(cat)
    assert reopened().captions() == {dog: "a dog"}
    assert reopened().finish().report["findings"] == [
        each for each in reopened().finish().report["findings"] if each["code"] != "caption-without-image"
    ]
    assert len(add(reopened(), "cat.png", picture())) == 1
    reopened().remove(dog)
    assert set(reopened().captions().values()) == {""}


def test_several_add_at_once(reopened: Open, picture: Picture) -> None:
    intakes = [reopened() for _ in range(6)]
    threads = [Thread(target=add, args=(each, f"{number}.png", picture())) for number, each in enumerate(intakes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reopened().captions()) == 6


def drafted(console: DatasetVersions, dataset: str, draft: str, files: dict[str, bytes]) -> list[str]:
    with console.draft(WHO, dataset, draft) as intake:
        return [file for name, data in files.items() for taken in intake.add(name, io.BytesIO(data)) for file in [taken.file]]


def objects(stores: Stores, name: str, dataset: str) -> set[str]:
    return {facts.key for facts in stores.by_name[name].list(f"datasets/{dataset}/")}


def version(console: DatasetVersions, dataset: str, files: dict[str, bytes]) -> VersionRecord:
    draft = console.begin(WHO, dataset)
    drafted(console, dataset, draft, files)
    return console.finish(WHO, dataset, draft)


def test_a_draft_becomes_a_version_without_copying(
    consoles: list[DatasetVersions], dataset: str, stores: Stores, picture: Picture, ledger: SqlLedger
) -> None:
    first, second = consoles
    draft = first.begin(WHO, dataset)
    (cat, _) = drafted(first, dataset, draft, {"cat.png": picture(), "cat.txt": b"a cat"})
    before = objects(stores, "a", dataset)
    assert before == {f"datasets/{dataset}/{draft}/{cat}"} == objects(stores, "b", dataset)
    record = second.finish(WHO, dataset, draft)
    assert {key for key in objects(stores, "a", dataset) - before} == {
        f"datasets/{dataset}/{record.version}/{name}" for name in ("metadata.csv", ".contents.json")
    }
    assert record.stores == ("a", "b")
    assert stores.verify(record.files) == ("a", "b")
    assert second.captions(record) == {cat: "a cat"}
    with pytest.raises(NotFound):
        first.finish(WHO, dataset, draft)
    # A version's files are no abandoned draft's.
    clear_drafts(ledger, stores)
    assert stores.verify(record.files) == ("a", "b")


def test_a_file_that_comes_while_the_draft_is_finished_is_not_lost(
    consoles: list[DatasetVersions], dataset: str, picture: Picture, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = consoles
    draft = first.begin(WHO, dataset)
    drafted(first, dataset, draft, {"cat.png": picture()})
    late = {"dog.png": picture()}
    with monkeypatch.context() as patch:
        patch.setattr("lorafleet.console.dataset_versions.reach", lambda _: drafted(second, dataset, draft, late))
        with pytest.raises(Conflict, match="changed while it was being finished"):
            first.finish(WHO, dataset, draft)
    assert ledger.datasets.versions("red", dataset) == []
    assert len(first.captions(first.finish(WHO, dataset, draft))) == 2


def test_a_new_version_goes_on_from_the_last_one(
    consoles: list[DatasetVersions], dataset: str, stores: Stores, picture: Picture
) -> None:
    first, second = consoles
    old = version(first, dataset, {"cat.png": picture(), "dog.png": picture(), "cat.txt": b"a cat", "dog.txt": b"a dog"})
    draft = second.begin(WHO, dataset, old)
    (owl,) = drafted(first, dataset, draft, {"owl.png": picture()})
    with second.draft(WHO, dataset, draft) as intake:
        dog = next(file for file, text in intake.captions().items() if text == "a dog")
        intake.set_captions({owl: "an owl"})
        intake.remove(dog)
    new = first.finish(WHO, dataset, draft)
    assert set(first.captions(new).values()) == {"a cat", "an owl"}
    kept = set(old.files) & set(new.files)
    assert [item for item in kept if item.key.endswith(".png")]
    assert dog in old.by_name
    assert dog not in new.by_name
    assert stores.verify(new.files) == ("a", "b")
    assert second.captions(old)[dog] == "a dog"


def test_taking_one_file_out_makes_a_version_and_leaves_no_draft(
    consoles: list[DatasetVersions], dataset: str, stores: Stores, picture: Picture, ledger: SqlLedger
) -> None:
    old = version(consoles[0], dataset, {"cat.png": picture(), "dog.png": picture(), "cat.txt": b"a cat"})
    cat = next(file for file, text in consoles[0].captions(old).items() if text == "a cat")
    new = consoles[1].without(WHO, old, cat)
    assert len(consoles[0].captions(new)) == 1
    before = objects(stores, "a", dataset)
    with pytest.raises(UploadRefused, match="no such file"):
        consoles[1].without(WHO, new, cat)
    assert ledger.drafts.dropped(timedelta(0))
    assert objects(stores, "a", dataset) == before


def test_a_text_set_goes_on_too(consoles: list[DatasetVersions], ledger: SqlLedger, stores: Stores) -> None:
    texts = ledger.datasets.create("red", "texts", "texts", "someone").id
    old = version(consoles[0], texts, {"a.jsonl": b'{"text": "neon"}\n', "b.txt": b"rain over the city"})
    draft = consoles[1].begin(WHO, texts, old)
    drafted(consoles[0], texts, draft, {"c.jsonl": b'{"text": "more"}\n'})
    new = consoles[1].finish(WHO, texts, draft)
    assert (old.rows, new.rows) == (2, 3)
    assert stores.verify(new.files) == ("a", "b")


def test_the_same_content_again_is_the_same_version(
    consoles: list[DatasetVersions], dataset: str, picture: Picture, ledger: SqlLedger
) -> None:
    data = {"cat.png": picture()}
    first = version(consoles[0], dataset, data)
    assert version(consoles[1], dataset, data) == first
    assert [row.version for row in ledger.datasets.versions("red", dataset)] == [first.version]


def test_files_that_came_while_other_stores_answered_are_brought_together(
    consoles: list[DatasetVersions], dataset: str, stores: Stores, picture: Picture, tmp_path: Path
) -> None:
    draft = consoles[0].begin(WHO, dataset)
    drafted(consoles[0], dataset, draft, {"cat.png": picture()})
    away = Stores({name: store for name, store in stores.by_name.items() if name != "a"}, "b")
    with closing(away):
        other = DatasetVersions(tmp_path / "cut-off", consoles[0]._ledger, away, LIMITS)
        drafted(other, dataset, draft, {"dog.png": picture()})
    record = consoles[1].finish(WHO, dataset, draft)
    assert len(record.stores) >= 2
    assert set(stores.verify(record.files)) >= set(record.stores)


def test_what_is_dropped_or_abandoned_leaves_nothing_behind(
    consoles: list[DatasetVersions], dataset: str, stores: Stores, picture: Picture, ledger: SqlLedger, clock: object
) -> None:
    dropped, abandoned, alive = (consoles[0].begin(WHO, dataset) for _ in range(3))
    for draft in (dropped, abandoned, alive):
        drafted(consoles[0], dataset, draft, {"cat.png": picture()})
    consoles[1].drop(WHO, dataset, dropped)
    with pytest.raises(NotFound), consoles[0].draft(WHO, dataset, dropped):
        pass
    clear_drafts(ledger, stores)
    # Whoever began to write before the end may still be at it.
    assert len(objects(stores, "a", dataset)) == 3
    clock.advance((ABANDONED_AFTER - timedelta(hours=2)).total_seconds())  # type: ignore[attr-defined]
    drafted(consoles[1], dataset, alive, {"dog.png": picture()})
    clear_drafts(ledger, stores)
    assert {key.split("/")[2] for key in objects(stores, "b", dataset)} == {abandoned, alive}
    clock.advance(timedelta(hours=2).total_seconds())  # type: ignore[attr-defined]
    clear_drafts(ledger, stores)
    with pytest.raises(NotFound):
        consoles[0].finish(WHO, dataset, abandoned)
    clock.advance(LAST_WRITES.total_seconds())  # type: ignore[attr-defined]
    clear_drafts(ledger, stores)
    clear_drafts(ledger, stores)
    assert {key.split("/")[2] for name in "abc" for key in objects(stores, name, dataset)} == {alive}
    assert consoles[0].finish(WHO, dataset, alive).rows == 2


def test_another_teams_draft_is_not_there(consoles: list[DatasetVersions], dataset: str) -> None:
    draft = consoles[0].begin(WHO, dataset)
    stranger = Principal("other", "blue", Role.ADMIN)
    with pytest.raises(NotFound), consoles[0].draft(stranger, dataset, draft):
        pass
    with pytest.raises(NotFound):
        consoles[0].finish(stranger, dataset, draft)
    with pytest.raises(NotFound):
        consoles[0].drop(stranger, dataset, draft)
