import json
from pathlib import Path

import pytest

from lorafleet.console.objects.bucket import BucketStore
from lorafleet.console.objects.config import StoreConfig, open_store
from lorafleet.console.objects.folder import FolderStore
from lorafleet.console.objects.http_folder import HttpFolderStore
from lorafleet.console.objects.secret_files import make_secret
from lorafleet.contracts.jobs import Method
from lorafleet.contracts.problems import ConfigError
from tests.contract.object_store_suite import HOUR


def private(path: Path, data: object) -> Path:
    path.touch(mode=0o600)
    path.write_text(json.dumps(data))
    return path


def test_a_folder(tmp_path: Path) -> None:
    store = open_store(StoreConfig("home", (tmp_path / "a folder").as_uri()))
    assert isinstance(store, FolderStore)
    assert store.root == tmp_path / "a folder"


def test_a_served_folder(tmp_path: Path) -> None:
    make_secret(tmp_path / "secret")
    store = open_store(StoreConfig("home", "http://127.0.0.1:9", tmp_path / "secret"))
    assert isinstance(store, HttpFolderStore)
    with pytest.raises(ConfigError, match="needs its secret"):
        open_store(StoreConfig("home", "http://127.0.0.1:9"))


def test_buckets_sign_without_asking_anybody(tmp_path: Path) -> None:
    keys = private(tmp_path / "s3", {"access_key_id": "id", "secret_access_key": "very secret"})
    store = open_store(StoreConfig("home", "s3://bucket/some/prefix/", keys, {"region": "eu-central-1"}))
    assert isinstance(store, BucketStore)
    grant = store.grant("jobs/a/x", Method.PUT, lifetime=HOUR, size=1)
    assert grant.url.get_secret_value().startswith("https://s3.eu-central-1.amazonaws.com/bucket/some/prefix/jobs/a/x?X-Amz-")
    assert grant.headers == {}
    account = private(tmp_path / "az", {"account_name": "account", "account_key": "a2V5"})
    azure = open_store(StoreConfig("other", "az://container", account))
    assert azure.grant("jobs/a/x", Method.PUT, lifetime=HOUR).headers == {"x-ms-blob-type": "BlockBlob"}
    assert azure.grant("jobs/a/x", Method.GET, lifetime=HOUR).headers == {}


@pytest.mark.parametrize(
    ("name", "url", "settings", "message"),
    [
        ("Home!", "file:///folder", {}, "no name of a store"),
        ("home", "file:///", {}, "is no store"),
        ("home", "file://server/folder", {}, "is no store"),
        ("home", "ftp://host/x", {}, "is no store"),
        ("home", "s3://", {}, "is no store"),
        ("home", "relative/folder", {}, "is no store"),
        ("home", "s3://user:hush@bucket", {}, "credentials and queries"),
        ("home", "s3://bucket?x=1", {}, "credentials and queries"),
        ("home", "s3://bucket/a/../b", {}, "no name of an object"),
        ("home", "s3://bucket", {"secret_access_key": "hush"}, "is a secret"),
        ("home", "s3://bucket", {"endpoint": "http://minio.example.com"}, "plain http"),
        ("home", "s3://bucket", {"no_such_setting": "hush"}, "do not fit together"),
    ],
)
def test_what_is_no_store(name: str, url: str, settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        open_store(StoreConfig(name, url, None, settings))
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("content", [[], {"a": 1}, "text"])
def test_a_secret_file_that_is_none(tmp_path: Path, content: object) -> None:
    with pytest.raises(ConfigError, match="no JSON object"):
        open_store(StoreConfig("home", "s3://bucket", private(tmp_path / "secret", content)))
