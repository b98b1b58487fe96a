import os
from datetime import timedelta
from pathlib import Path

import pytest

from lorafleet.console.objects.bucket import BucketStore
from lorafleet.console.objects.errors import StoreError, StoreUnreachable
from lorafleet.console.objects.folder import FolderStore
from lorafleet.console.objects.store import Store
from lorafleet.console.objects.stores import Stores
from lorafleet.contracts.jobs import GrantedObject, PublishedObject
from tests.contract.object_store_suite import KEY, LARGE, ObjectStoreContract, follow_put, put, sha256
from tests.engines.conftest import S3Server
from tests.engines.tcp_proxy import Fault, TcpProxy


def settings(server: S3Server, port: int | None = None) -> dict[str, str]:
    return {
        "endpoint": f"http://127.0.0.1:{port or server.port}",
        "region": "us-east-1",
        "access_key_id": server.access_key,
        "secret_access_key": server.secret_key,
    }


class TestBucket(ObjectStoreContract):
    """The console's bucket store over a real S3 server."""

    grants_bind_content = False

    @pytest.fixture
    def store(self, s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Store:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        return BucketStore("home", "s3", bucket, "some/folder", settings(s3_server), allow_http=True)

    def test_damage_on_the_disk_is_seen(self, store: Store, s3_server: S3Server, bucket: str) -> None:
        put(store, KEY, b"good")
        good = store.digest(KEY)
        (s3_server.root / bucket / "some" / "folder" / KEY).write_bytes(b"evil")
        assert store.digest(KEY) != good

    def test_wrong_keys_and_buckets_are_told_without_secrets(self, s3_server: S3Server, bucket: str) -> None:
        wrong = {**settings(s3_server), "secret_access_key": "guessed-secret"}
        with pytest.raises(StoreError, match="access denied") as denied:
            BucketStore("home", "s3", bucket, "", wrong, allow_http=True).read_bytes(KEY, 1)
        assert "guessed-secret" not in str(denied.value)
        assert s3_server.access_key not in str(denied.value)
        gone = BucketStore("home", "s3", "no-such-bucket", "", settings(s3_server), allow_http=True)
        with pytest.raises(StoreError, match="no such bucket"):
            put(gone, KEY, b"x")

    def test_published_in_a_bucket_and_a_folder(self, store: Store, s3_server: S3Server, bucket: str, tmp_path: Path) -> None:
        item = PublishedObject(key="jobs/a/attempts/1/step-2/x", size=len(LARGE), sha256=sha256(LARGE))
        stores = Stores({"aws": store, "backup": FolderStore("backup", tmp_path / "backup")}, "aws", "backup", patience=60)
        to_bucket, to_folder = stores.grants_to_write("aws", [GrantedObject(**item.model_dump())], timedelta(minutes=5))
        assert follow_put(to_bucket, LARGE) == 200
        assert to_folder.store == "backup"
        assert stores.verify([item]) == ("aws",)
        assert stores.mirror([item], "aws", "backup") == (item,)
        assert stores.verify([item]) == ("aws", "backup")
        (s3_server.root / bucket / "some" / "folder" / item.key).write_bytes(LARGE[:-1] + b"!")
        assert stores.verify([item]) == ("backup",)
        assert stores.mirror([item], "backup", "aws") == (item,)
        assert stores.verify([item]) == ("aws", "backup")
        stores.close()

    def test_an_upload_that_breaks_off_is_not_visible(self, store: Store, s3_server: S3Server, bucket: str) -> None:
        proxy = TcpProxy(s3_server.port)
        flaky = BucketStore("home", "s3", bucket, "some/folder", settings(s3_server, proxy.port), allow_http=True)
        proxy.faults.append(Fault("drop", "up", 1 << 20))
        put(flaky, KEY, LARGE)
        assert proxy.met
        assert store.read_bytes(KEY, len(LARGE)) == LARGE
        proxy.close()
        with pytest.raises(StoreUnreachable):
            flaky.probe()
        with pytest.raises(StoreUnreachable):
            put(flaky, KEY, b"x")
        assert store.read_bytes(KEY, len(LARGE)) == LARGE
