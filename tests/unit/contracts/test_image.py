import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.contracts.image import ImageReference, digest12, parse_image

SHA = "sha256:" + "ab" * 32
PART = st.from_regex(r"[a-z0-9]{1,8}([._-][a-z0-9]{1,8})?", fullmatch=True)
PATHS = st.lists(PART, min_size=1, max_size=3).map("/".join)
HOSTS = st.sampled_from(
    ["", "localhost", "localhost:5000", "ghcr.io", "registry:5000", "123.dkr.ecr.eu-central-1.amazonaws.com", "[::1]:5000"]
)
TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True) | st.just("")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("lora-scripts:latest", ImageReference("lora-scripts", tag="latest")),
        ("lora-scripts", ImageReference("lora-scripts")),
        ("acme/lora", ImageReference("acme/lora")),
        (f"ghcr.io/acme/lora@{SHA}", ImageReference("acme/lora", "ghcr.io", digest=SHA)),
        (f"ghcr.io/acme/lora:v1@{SHA}", ImageReference("acme/lora", "ghcr.io", "v1", SHA)),
        # Without a tag the port is not one.
        ("registry:5000/x", ImageReference("x", "registry:5000")),
        ("registry:5000/x:v1", ImageReference("x", "registry:5000", "v1")),
        ("localhost/x", ImageReference("x", "localhost")),
        ("us-west1-docker.pkg.dev/project/fleet/trainer", ImageReference("project/fleet/trainer", "us-west1-docker.pkg.dev")),
    ],
)
def test_references_are_read_as_docker_reads_them(text: str, parts: ImageReference) -> None:
    assert parse_image(text) == parts
    assert str(parts) == text


@given(HOSTS, PATHS, TAGS, st.sampled_from(["", SHA]))
def test_what_is_printed_is_read_back(host: str, path: str, tag: str, digest: str) -> None:
    if not host and ("." in path.split("/")[0] or path.split("/")[0] == "localhost") and "/" in path:
        return
    reference = ImageReference(path, host, tag, digest)
    assert parse_image(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Lora",
        "Acme/lora",
        "a//b",
        "/a",
        "a/",
        "a:",
        "a@",
        f"a@{SHA[:-1]}",
        f"a@{SHA.upper()}",
        "a b",
        "https://ghcr.io/a",
        "a:v1:v2",
        "a\n",
        "a" * 256,
    ],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no image"):
        parse_image(text)


def test_only_a_digest_names_one_image_for_good() -> None:
    assert [parse_image(text).mutable for text in ("lora", "lora:v1", f"lora:v1@{SHA}", f"lora@{SHA}")] == [
        True,
        True,
        False,
        False,
    ]
    assert digest12(SHA) == "abababababab"


def test_pinning_replaces_the_tag() -> None:
    assert str(parse_image("ghcr.io/acme/lora:latest").pinned(SHA)) == f"ghcr.io/acme/lora@{SHA}"


def test_a_copy_keeps_name_and_digest() -> None:
    image = parse_image(f"ghcr.io/acme/lora@{SHA}")
    copy = image.copied_to("us-west1-docker.pkg.dev/project/fleet")
    assert str(copy) == f"us-west1-docker.pkg.dev/project/fleet/lora@{SHA}"
    with pytest.raises(ValueError, match="is no image"):
        image.copied_to("https://registry.example")
