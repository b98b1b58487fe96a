from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.contracts.problems import ConfigError
from trainer.storage.locations import Location, check_name, parse_location

PARTS = st.text(st.characters(exclude_characters="/?", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8).filter(
    lambda part: part not in (".", "..")
)
KEYS = st.lists(PARTS, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("text", "scheme", "bucket", "key"),
    [
        ("s3://models/base/v1-5.safetensors", "s3", "models", "base/v1-5.safetensors"),
        ("s3://models", "s3", "models", ""),
        ("s3://models/", "s3", "models", ""),
        ("S3://models/a/", "s3", "models", "a"),
        ("gs://my.bucket_1/a b/ü#1%20", "gs", "my.bucket_1", "a b/ü#1%20"),
        ("az://container/a", "az", "container", "a"),
        ("file:///data/a%20b", "file", "", "/data/a b"),
        ("file://localhost/data", "file", "", "/data"),
        ("./data/style", "file", "", "data/style"),
        ("/data", "file", "", "/data"),
    ],
)
def test_places_are_read(text: str, scheme: str, bucket: str, key: str) -> None:
    location = parse_location(text)
    assert location == Location(scheme, bucket, key)
    assert location.is_local == (scheme == "file")
    assert parse_location(str(location)) == location


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gcs://bucket/a", "unknown kind of location"),
        ("https://host/a", "unknown kind of location"),
        ("s3:/bucket/a", "two slashes"),
        ("s3://", "the bucket is missing"),
        ("s3:///a", "the bucket is missing"),
        ("s3://bucket_ä!/a", "is no bucket name"),
        ("s3://bucket/a/../b", "'..'"),
        ("s3://bucket/a//b", "empty"),
        ("s3://bucket/a\nb", "control character"),
        ("file://host/a", "read as a machine's name"),
        ("", "empty"),
    ],
)
def test_what_is_no_place_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_location(text)


@pytest.mark.parametrize(
    "text",
    [
        "s3://AKIAKEY:hunter2@bucket/a",
        "az://container/a?sv=2020&sig=hunter2",
        "s3://bucket/a?X-Amz-Signature=hunter2",
        "https://user:hunter2@host/a?hunter2",
        "ftp://user:hunter2@host",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_location(text)
    assert "hunter2" not in str(caught.value)
    assert "AKIAKEY" not in str(caught.value)


@given(st.sampled_from(["s3", "gs", "az"]), KEYS)
def test_a_remote_place_reads_back_what_it_says(scheme: str, key: str) -> None:
    location = Location(scheme, "bucket", key)
    assert parse_location(str(location)) == location


@given(KEYS.filter(bool))
def test_a_file_url_reads_back_what_it_says(key: str) -> None:
    assert parse_location(f"file:///{quote(key)}").local_path == Path("/", key)


@given(st.text(max_size=20))
def test_a_name_never_leads_out_of_its_folder(name: str) -> None:
    try:
        check_name(name, where="")
    except ConfigError:
        with pytest.raises(ConfigError):
            Location("s3", "bucket", "a").child(name)
        return
    path = parse_location("/root/folder").child(name).local_path
    assert path.is_relative_to("/root/folder")
    assert path != Path("/root/folder")
    assert ".." not in path.parts


@pytest.mark.parametrize("name", ["", "/etc/passwd", "..", "a/../../b", "a//b", "a/", "./a", "a\x00b", "a\nb"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="the name"):
        check_name(name, where="s3://bucket")


def test_names_and_children() -> None:
    assert parse_location("s3://bucket/a").child("b/c") == Location("s3", "bucket", "a/b/c")
    assert parse_location("s3://bucket").child("b") == Location("s3", "bucket", "b")
    assert parse_location("s3://bucket").name == "bucket"
    assert parse_location("s3://bucket/a/b").name == "b"
    assert parse_location("/data/a/").child("b").local_path == Path("/data/a/b")
