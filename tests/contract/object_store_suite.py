"""What every object store of the console must do. A test module subclasses :class:`ObjectStoreContract` and says where its store is."""

import hashlib
import io
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from lorafleet.console.objects.errors import ObjectDamaged, ObjectMissing, StoreError
from lorafleet.console.objects.store import ObjectFacts, Store, as_file
from lorafleet.contracts.jobs import Method, ObjectGrant
from lorafleet.contracts.problems import ConfigError

LARGE = bytes(range(256)) * (12 << 12)
KEY = "datasets/cats/v1/pictures of cats/猫 + 100%.png"
HOUR = timedelta(hours=1)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(store: Store, key: str, data: bytes) -> None:
    store.write(key, data, sha256(data))


def follow_put(grant: ObjectGrant, data: bytes) -> int:
    return httpx.put(grant.url.get_secret_value(), content=data, headers=grant.headers, trust_env=False).status_code


class ObjectStoreContract:
    """Fixture ``store`` is the one under test, empty."""

    grants_are_http = True
    grants_bind_content = True

    def test_what_was_written_is_read_back(self, store: Store) -> None:
        for data in (b"", b"x", LARGE):
            put(store, KEY, data)
            assert store.head(KEY) == ObjectFacts(KEY, len(data))
            assert store.digest(KEY) == sha256(data)
            assert b"".join(store.read(KEY)) == data
            assert store.read_bytes(KEY, len(data)) == data

    def test_a_file_is_written_as_a_stream(self, store: Store) -> None:
        store.write(KEY, io.BytesIO(LARGE), sha256(LARGE))
        assert store.digest(KEY) == sha256(LARGE)

    def test_reading_starts_anywhere(self, store: Store) -> None:
        put(store, KEY, LARGE)
        for start in (1, len(LARGE) - 1, len(LARGE), len(LARGE) + 7):
            assert b"".join(store.read(KEY, start)) == LARGE[start:]

    def test_what_is_not_there(self, store: Store) -> None:
        assert store.head("jobs/a/x") is None
        assert store.digest("jobs/a/x") is None
        assert list(store.list("jobs/")) == []
        store.delete("jobs/a/x")
        with pytest.raises(ObjectMissing, match="jobs/a/x"):
            store.read_bytes("jobs/a/x", 10)
        put(store, "jobs/a/x", b"1")
        assert store.head("jobs/a") is None

    def test_a_large_object_is_no_small_one(self, store: Store) -> None:
        put(store, KEY, b"12345")
        with pytest.raises(StoreError, match="more than 4 bytes"):
            store.read_bytes(KEY, 4)

    @pytest.mark.parametrize("size", [10, 7 << 20])
    def test_damaged_bytes_never_become_visible(self, store: Store, size: int) -> None:
        with pytest.raises(ObjectDamaged):
            store.write(KEY, io.BytesIO(b"a" * size), sha256(b"b" * size))
        assert store.head(KEY) is None
        assert list(store.list("")) == []
        put(store, KEY, b"old")
        with pytest.raises(ObjectDamaged):
            store.write(KEY, b"a" * size, sha256(b"b" * size))
        assert store.read_bytes(KEY, 10) == b"old"

    def test_a_source_that_breaks_off_leaves_nothing(self, store: Store) -> None:
        def blocks() -> Iterator[bytes]:
            yield b"a" * (6 << 20)
            raise RuntimeError("the source broke off")

        with pytest.raises(RuntimeError, match="broke off"):
            store.write(KEY, as_file(blocks()), sha256(b"a" * (6 << 20)))
        assert store.head(KEY) is None
        assert list(store.list("")) == []

    def test_an_object_is_replaced_whole(self, store: Store) -> None:
        versions = [bytes([number]) * (3 << 20) for number in range(3)]
        put(store, KEY, versions[0])
        seen, stop = set[str](), threading.Event()

        def look() -> None:
            while not stop.is_set():
                seen.add(sha256(b"".join(store.read(KEY))))

        looker = threading.Thread(target=look)
        looker.start()
        for version in versions[1:]:
            put(store, KEY, version)
        stop.set()
        looker.join()
        assert seen
        assert seen <= {sha256(version) for version in versions}

    def test_one_of_several_creators_wins(self, store: Store) -> None:
        won: list[int] = []
        gate = threading.Barrier(6)

        def create(number: int) -> None:
            gate.wait()
            if store.create("jobs/a/claim", b"%d" % number):
                won.append(number)

        threads = [threading.Thread(target=create, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert store.read_bytes("jobs/a/claim", 10) == b"%d" % won[0]
        assert store.create("jobs/a/claim", b"late") is False

    def test_listing_is_sorted_and_by_whole_parts(self, store: Store) -> None:
        for key in ("jobs/b/2", "jobs/a/10/x", "jobs/a/1", "jobs/ab/1", "datasets/a/1"):
            put(store, key, key.encode())
        assert [facts.key for facts in store.list("jobs/a/")] == ["jobs/a/1", "jobs/a/10/x"]
        assert [facts.key for facts in store.list("")] == ["datasets/a/1", "jobs/a/1", "jobs/a/10/x", "jobs/ab/1", "jobs/b/2"]
        assert [facts.size for facts in store.list("datasets/")] == [12]
        store.delete("jobs/a/1")
        assert [facts.key for facts in store.list("jobs/a/")] == ["jobs/a/10/x"]
        with pytest.raises(ConfigError, match="slash"):
            list(store.list("jobs/a"))

    @pytest.mark.parametrize(
        "key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "a\\b", "a\nb", "a\0b", "a/", "x" * 1025]
    )
    def test_a_key_that_is_none_is_refused_everywhere(self, store: Store, key: str) -> None:
        for ask in (
            lambda: store.head(key),
            lambda: store.digest(key),
            lambda: list(store.read(key)),
            lambda: put(store, key, b"x"),
            lambda: store.create(key, b"x"),
            lambda: store.delete(key),
            lambda: store.grant(key, Method.GET, lifetime=HOUR),
        ):
            with pytest.raises(ConfigError):
                ask()

    def test_it_gives_a_sign_of_life(self, store: Store) -> None:
        store.probe()

    def test_a_grant_says_what_it_is(self, store: Store) -> None:
        before = datetime.now(UTC)
        grant = store.grant(KEY, Method.GET, lifetime=HOUR)
        assert (grant.key, grant.method, grant.store) == (KEY, Method.GET, store.name)
        assert timedelta(minutes=59) < grant.expires_at - before <= HOUR + timedelta(seconds=5)
        assert grant.url.get_secret_value() not in repr(grant)

    def test_a_grant_lets_a_stranger_write_and_read(self, store: Store) -> None:
        if not self.grants_are_http:
            pytest.skip("its grants are paths")
        put_grant = store.grant(KEY, Method.PUT, lifetime=HOUR, size=len(LARGE), sha256=sha256(LARGE))
        get_grant = store.grant(KEY, Method.GET, lifetime=HOUR)
        assert follow_put(put_grant, LARGE) in (200, 201)
        assert store.digest(KEY) == sha256(LARGE)
        address = get_grant.url.get_secret_value()
        answer = httpx.get(address, headers={**get_grant.headers, "range": "bytes=3-9"}, trust_env=False)
        assert (answer.status_code, answer.content) == (206, LARGE[3:10])
        assert httpx.get(address, trust_env=False).content == LARGE

    def test_a_grant_is_for_one_method_key_and_time(self, store: Store) -> None:
        if not self.grants_are_http:
            pytest.skip("its grants are paths")
        put(store, KEY, b"mine")
        put(store, "jobs/a/other", b"secret")
        grant = store.grant(KEY, Method.GET, lifetime=HOUR)
        address = grant.url.get_secret_value()
        parts = urlsplit(address)
        other = parts._replace(path=unquote(parts.path).replace(KEY, "jobs/a/other")).geturl()
        assert httpx.get(other, trust_env=False).status_code == 403
        assert httpx.get(address.split("?")[0], trust_env=False).status_code == 403
        assert follow_put(grant, b"theirs") == 403
        assert httpx.delete(address, trust_env=False).status_code == 403
        assert store.read_bytes(KEY, 10) == b"mine"

    def test_the_store_holds_a_writer_to_the_content(self, store: Store) -> None:
        if not self.grants_bind_content:
            pytest.skip("its signed URLs cannot; the console reads back what was written")
        grant = store.grant(KEY, Method.PUT, lifetime=HOUR, size=4, sha256=sha256(b"good"))
        assert follow_put(grant, b"evil") == 422
        assert follow_put(grant, b"too long") == 413
        assert follow_put(grant, b"few") == 422
        assert store.head(KEY) is None
        assert follow_put(grant, b"good") == 201
        assert store.read_bytes(KEY, 4) == b"good"
