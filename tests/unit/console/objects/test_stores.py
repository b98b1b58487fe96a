import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lorafleet.console.domain.refusals import Unprocessable
from lorafleet.console.objects.errors import ObjectDamaged, ObjectMissing, StoreError, StoreUnreachable
from lorafleet.console.objects.folder import FolderStore
from lorafleet.console.objects.stores import COPIES, Stores
from lorafleet.contracts.jobs import GrantedObject, Head, Method, ObjectGrant, PublishedObject
from lorafleet.contracts.problems import ConfigError

HOUR = timedelta(hours=1)
KEY = "jobs/a/attempts/1/step-10/lora.safetensors"


def item(key: str = KEY, data: bytes = b"weights") -> PublishedObject:
    return PublishedObject(key=key, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def wanted(key: str = KEY) -> GrantedObject:
    return GrantedObject(**item(key).model_dump())


class Fleet:
    """Two sites and a backup, as folders that can vanish and come back."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folders = {name: FolderStore(name, root / name) for name in ("aws", "gcp", "backup")}
        self.stores = Stores(self.folders, "aws", "backup", patience=60)

    def put(self, name: str, key: str = KEY, data: bytes = b"weights") -> None:
        self.folders[name].write(key, data, hashlib.sha256(data).hexdigest())

    def damage(self, name: str, data: bytes) -> None:
        (self.root / name / KEY).write_bytes(data)

    def kill(self, name: str) -> None:
        (self.root / name).rename(self.root / f"{name}-dead")
        # A new console: what the old one heard lately counts for a second.
        self.stores.close()
        self.stores = Stores(self.folders, "aws", "backup", patience=60)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path)
    yield fleet
    fleet.stores.close()


def test_home_and_backup_must_be_stores(fleet: Fleet) -> None:
    with pytest.raises(ConfigError, match="'azure'"):
        Stores(fleet.folders, "azure")
    with pytest.raises(ConfigError, match="'azure'"):
        Stores(fleet.folders, "aws", "azure")


@pytest.mark.parametrize(
    ("near", "dead", "targets"),
    [
        ("gcp", [], ["gcp", "aws"]),
        ("aws", [], ["aws", "backup"]),
        ("", [], ["aws", "backup"]),
        ("unknown", [], ["aws", "backup"]),
        ("gcp", ["aws"], ["gcp", "backup"]),
        ("gcp", ["gcp"], ["aws", "backup"]),
        ("gcp", ["aws", "backup"], ["gcp"]),
    ],
)
def test_where_a_site_writes(fleet: Fleet, near: str, dead: list[str], targets: list[str]) -> None:
    for name in dead:
        fleet.kill(name)
    grants = fleet.stores.grants_to_write(near, [wanted(), wanted("jobs/a/output/1/x")], HOUR)
    assert [(grant.key, grant.store) for grant in grants] == [(key, name) for key in (KEY, "jobs/a/output/1/x") for name in targets]
    assert {grant.method for grant in grants} == {Method.PUT}


def test_nobody_answers(fleet: Fleet) -> None:
    for name in fleet.folders:
        fleet.kill(name)
    with pytest.raises(StoreUnreachable, match="no store answers"):
        fleet.stores.grants_to_write("gcp", [wanted()], HOUR)
    with pytest.raises(StoreUnreachable, match="no store answers"):
        fleet.stores.grants_to_read("gcp", [KEY], HOUR)
    assert fleet.stores.verify([item()]) == ()


def test_a_writer_says_beforehand_what_it_writes(fleet: Fleet) -> None:
    with pytest.raises(Unprocessable, match="sha256"):
        fleet.stores.grants_to_write("gcp", [GrantedObject(key=KEY, size=3)], HOUR)


def test_reading_names_the_nearest_that_hold_it(fleet: Fleet) -> None:
    for name in fleet.folders:
        fleet.put(name)
    fleet.put("backup", "jobs/a/other")
    grants = fleet.stores.grants_to_read("gcp", [KEY, "jobs/a/other"], HOUR)
    assert [(grant.key, grant.store) for grant in grants] == [(KEY, "gcp"), (KEY, "aws"), ("jobs/a/other", "backup")]
    fleet.kill("gcp")
    assert [grant.store for grant in fleet.stores.grants_to_read("gcp", [KEY], HOUR)] == ["aws", "backup"]
    assert fleet.stores.find(KEY, "gcp").name == "aws"


def test_many_objects_at_once(fleet: Fleet) -> None:
    keys = [f"jobs/a/{number}" for number in range(32)]
    for key in keys:
        fleet.put("gcp", key)
        fleet.put("aws", key)
    assert [grant.key for grant in fleet.stores.grants_to_read("gcp", keys, HOUR)] == [key for key in keys for _ in range(2)]
    assert fleet.stores.verify([item(key) for key in keys]) == ("aws", "gcp")
    assert len(fleet.stores.mirror([item(key) for key in keys], "aws", "backup")) == 32


def test_one_that_dies_meanwhile_is_passed_over(fleet: Fleet) -> None:
    for name in fleet.folders:
        fleet.put(name)
    assert fleet.stores.reachable() == ("aws", "backup", "gcp")
    (fleet.root / "aws").rename(fleet.root / "aws-dead")
    assert fleet.stores.find(KEY).name == "backup"
    assert fleet.stores.verify([item()]) == ("backup", "gcp")
    assert fleet.stores.reachable() == ("backup", "gcp")


def test_what_nobody_holds_is_missing(fleet: Fleet) -> None:
    with pytest.raises(ObjectMissing, match="aws, backup, gcp do not"):
        fleet.stores.grants_to_read("", [KEY], HOUR)
    with pytest.raises(ObjectMissing):
        fleet.stores.find(KEY)


def test_published_is_what_is_whole_in_two_stores(fleet: Fleet) -> None:
    objects = [item(), item("jobs/a/attempts/1/step-10/state.json", b"{}")]
    fleet.put("gcp")
    fleet.put("gcp", objects[1].key, b"{}")
    fleet.put("aws")
    assert fleet.stores.verify(objects) == ("gcp",)
    fleet.put("aws", objects[1].key, b"{}")
    assert fleet.stores.verify(objects) == ("aws", "gcp")
    assert len(fleet.stores.verify(objects)) >= COPIES
    assert fleet.stores.verify(objects, ["gcp", "backup"]) == ("gcp",)


@pytest.mark.parametrize("damage", [b"wEights", b"weight", b""])
def test_a_damaged_copy_is_no_copy(fleet: Fleet, damage: bytes) -> None:
    fleet.put("aws")
    fleet.put("gcp")
    fleet.damage("gcp", damage)
    assert fleet.stores.verify([item()]) == ("aws",)


def test_files_are_written_to_two_stores_or_it_is_told(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"weights")
    assert fleet.stores.write([(item(), tmp_path / "file")]) == ("aws", "backup")
    assert fleet.stores.verify([item()]) == ("aws", "backup")
    fleet.kill("aws")
    assert fleet.stores.write([(item(), tmp_path / "file")], near="gcp") == ("gcp", "backup")
    fleet.kill("backup")
    with pytest.raises(StoreError, match=r"only 1 of the 2.*aws: the folder is not there.*backup: the folder is not there"):
        fleet.stores.write([(item(), tmp_path / "file")])


def test_a_store_that_refuses_is_passed_over(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"weights")
    # A file is where a folder would have to be.
    (fleet.root / "aws" / "jobs").write_text("in the way")
    assert fleet.stores.write([(item(), tmp_path / "file")]) == ("backup", "gcp")
    (fleet.root / "gcp" / "jobs").rename(tmp_path / "jobs")
    (fleet.root / "gcp" / "jobs").write_text("in the way")
    with pytest.raises(StoreError, match=r"only 1 of the 2.*aws/jobs.*in the way"):
        fleet.stores.write([(item("jobs/b/x"), tmp_path / "file")])


class Unsigned(FolderStore):
    """Its credentials cannot sign."""

    def grant(self, key: str, method: Method, **_: object) -> ObjectGrant:
        raise StoreError("access denied", where=key)


def test_a_store_that_cannot_sign_is_passed_over(fleet: Fleet) -> None:
    fleet.put("backup")
    fleet.put("aws")
    stores = Stores({**fleet.folders, "aws": Unsigned("aws", fleet.root / "aws")}, "aws", "backup")
    assert [grant.store for grant in stores.grants_to_write("aws", [wanted()], HOUR)] == ["backup", "gcp"]
    assert [grant.store for grant in stores.grants_to_read("aws", [KEY], HOUR)] == ["backup"]
    stores.close()


def test_a_file_that_changed_on_the_way_is_not_stored(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"others!")
    with pytest.raises(StoreError, match="only 0 of the 2"):
        fleet.stores.write([(item(), tmp_path / "file")])
    assert fleet.stores.verify([item()]) == ()


def test_a_second_copy_comes_back(fleet: Fleet) -> None:
    other = item("jobs/a/attempts/1/step-10/state.json", b"{}")
    fleet.put("aws")
    fleet.put("aws", other.key, b"{}")
    assert fleet.stores.mirror([item(), other], "aws", "gcp") == (item(), other)
    assert fleet.stores.verify([item(), other]) == ("aws", "gcp")
    assert fleet.stores.mirror([item(), other], "aws", "gcp") == ()
    fleet.damage("gcp", b"wEights")
    assert fleet.stores.mirror([item(), other], "aws", "gcp") == (item(),)
    assert fleet.stores.verify([item()]) == ("aws", "gcp")


def test_damage_is_not_copied(fleet: Fleet) -> None:
    fleet.put("aws")
    fleet.damage("aws", b"wEights")
    with pytest.raises(ObjectDamaged):
        fleet.stores.mirror([item()], "aws", "gcp")
    assert fleet.folders["gcp"].head(KEY) is None
    with pytest.raises(ObjectMissing):
        fleet.stores.mirror([item("jobs/a/none")], "aws", "gcp")


def head_of(fence: int, step: int) -> Head:
    key = f"jobs/a/attempts/{fence}/step-{step}/x"
    return Head(
        job="a",
        fence=fence,
        step=step,
        release=f"sha256:{'0' * 64}",
        format_version=1,
        objects=(item(key),),
        stores=("aws", "backup"),
        updated_at=datetime.now(UTC),
    )


def test_the_head_is_in_every_store_that_answers(fleet: Fleet) -> None:
    fleet.kill("gcp")
    head = head_of(1, 10)
    assert fleet.stores.write_head("a", head) == ("aws", "backup")
    for name in ("aws", "backup"):
        assert Head.model_validate_json(fleet.folders[name].read_bytes("jobs/a/HEAD.json", 10_000)) == head


def test_a_head_is_never_turned_back(fleet: Fleet) -> None:
    for fence, step, expected in ((1, 20, (1, 20)), (1, 10, (1, 20)), (2, 15, (2, 15)), (1, 30, (2, 15)), (2, 16, (2, 16))):
        assert fleet.stores.write_head("a", head_of(fence, step)) == ("aws", "backup", "gcp")
        there = Head.model_validate_json(fleet.folders["gcp"].read_bytes("jobs/a/HEAD.json", 10_000))
        assert (there.fence, there.step) == expected
    fleet.put("gcp", "jobs/a/HEAD.json", b"{broken")
    fleet.stores.write_head("a", head_of(1, 1))
    assert Head.model_validate_json(fleet.folders["gcp"].read_bytes("jobs/a/HEAD.json", 10_000)).step == 1
