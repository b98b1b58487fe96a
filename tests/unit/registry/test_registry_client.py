"""The client against a registry that misbehaves."""

import io
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from loopback_registry import Fault, LoopbackRegistry

from lorafleet.contracts.image import ImageReference
from lorafleet.image.keys import SigningKey
from lorafleet.image.signing import sign
from lorafleet.registry.credentials import Login
from lorafleet.registry.errors import Damaged, Failed, NotHeld, Refused, RegistryError, Unreachable
from lorafleet.registry.manifests import Descriptor, digest_of, read_manifest
from lorafleet.registry.repository import Registries, Repository
from lorafleet.registry.signatures import verify
from tests.contract.registry_suite import HASTE, LAYER, attach, push_image

CONTENT = bytes(range(256)) * 1200
BLOB = Descriptor(LAYER, digest_of(CONTENT), len(CONTENT))


@dataclass(frozen=True)
class Known:
    """Credentials that are one login."""

    known: Login

    def login(self, host: str, repository: str) -> Login | None:
        return self.known


@pytest.fixture
def registry() -> Iterator[LoopbackRegistry]:
    registry = LoopbackRegistry()
    yield registry
    registry.close()


def at(registry: LoopbackRegistry, login: Login | None = None, name: str = "fleet/trainer") -> Repository:
    return Registries(Known(login) if login else None, HASTE).repository(ImageReference(name, registry.host))


def send(repository: Repository) -> None:
    repository.upload(BLOB, lambda: io.BytesIO(CONTENT))


def fetched(repository: Repository) -> bytes:
    out = io.BytesIO()
    repository.fetch(BLOB, out)
    return out.getvalue()


def test_tokens_are_had_for_what_is_done_and_used_again(registry: LoopbackRegistry) -> None:
    registry.users = {"robot": "secret"}
    repository = at(registry, Login("robot", "secret"))
    index = push_image(repository)
    assert repository.manifest(index.digest).content == index.content
    scopes = sorted({each.path.partition("scope=")[2] for each in registry.asked if each.path.startswith("/token")})
    assert scopes == ["repository%3Afleet%2Ftrainer%3Apull", "repository%3Afleet%2Ftrainer%3Apull%2Cpush"]
    assert registry.counted("GET", "^/token") == 2


def test_an_identity_token_is_exchanged_by_oauth(registry: LoopbackRegistry) -> None:
    registry.identity_token = "a long one"
    push_image(at(registry, Login("0", identity_token="a long one")))
    with pytest.raises(Refused, match="its token service answers 401"):
        at(registry, Login("0", identity_token="another")).find("v1")
    assert not any("a long one" in each.path for each in registry.asked)


def test_a_mount_asks_for_both_repositories(registry: LoopbackRegistry) -> None:
    registry.users = {"robot": "secret"}
    registry.keep("base", CONTENT)
    assert at(registry, Login("robot", "secret")).mount(BLOB.digest, "base")
    assert any("scope=repository%3Abase%3Apull" in each.path for each in registry.asked)


def test_wrong_and_missing_and_weak_credentials(registry: LoopbackRegistry) -> None:
    registry.users = {"robot": "secret"}
    for login in (None, Login("robot", "wrong")):
        with pytest.raises(Refused, match="log in to it with"):
            at(registry, login).find("v1")
    registry.faults.append(Fault("HEAD", "/manifests/", status=403))
    with pytest.raises(Refused, match="lack the right"):
        at(registry, Login("robot", "secret")).find("v1")


def test_no_password_goes_to_a_token_service_without_https(registry: LoopbackRegistry) -> None:
    registry.users = {"robot": "secret"}
    registry.realm = "http://tokens.example.org/token"
    with pytest.raises(Refused, match="at an address without https"):
        at(registry, Login("robot", "secret")).find("v1")


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_a_blob_s_redirect_never_sees_the_credentials(registry: LoopbackRegistry, scheme: str) -> None:
    registry.users, registry.scheme = {"robot": "secret"}, scheme
    registry.bucket = LoopbackRegistry()
    registry.keep("fleet/trainer", CONTENT)
    assert fetched(at(registry, Login("robot", "secret"))) == CONTENT
    assert len(registry.bucket.asked) == 1
    assert "Authorization" not in registry.bucket.asked[0].headers
    assert "Authorization" in registry.asked[-1].headers


def test_a_redirect_to_plain_http_elsewhere_is_not_followed(registry: LoopbackRegistry) -> None:
    registry.faults.append(Fault("GET", "/blobs/", status=307, headers={"Location": "http://bucket.example.org/x"}))
    registry.keep("fleet/trainer", CONTENT)
    with pytest.raises(Refused, match=r"points to http://bucket\.example\.org, which is not https"):
        fetched(at(registry))
    registry.faults.append(Fault("GET", "/blobs/", status=307, headers={"Location": "http://me:secret@bucket.example.org/x"}))
    with pytest.raises(Refused, match=r"points to http://bucket\.example\.org, which"):
        fetched(at(registry))


def test_redirects_without_end(registry: LoopbackRegistry) -> None:
    registry.faults.extend(Fault("GET", "/blobs/", status=307, headers={"Location": "/v2/x/blobs/y"}) for _ in range(9))
    with pytest.raises(Failed, match="redirects without end"):
        fetched(at(registry))


@pytest.mark.parametrize("host", [f"{'a' * 64}.example.org", "a..b", "127.0.0.1:99999"])
def test_a_name_that_can_be_nobody_s(host: str) -> None:
    with pytest.raises(Failed, match=r"cannot be asked: its name, or an address that it gives, is not valid"):
        Registries(patience=HASTE).repository(ImageReference("x", host)).find("v1")


@pytest.mark.parametrize("address", ["http://[", f"https://{'a' * 64}.example.org/x"])
def test_addresses_that_are_none(registry: LoopbackRegistry, address: str) -> None:
    repository = at(registry, Login("robot", "secret"))
    registry.faults.append(Fault("GET", "/manifests/", status=307, headers={"Location": address}))
    with pytest.raises(Failed, match="not valid"):
        repository.manifest("v1")
    asks = {"WWW-Authenticate": f'Bearer realm="{address}",service="s"'}
    registry.faults.append(Fault("GET", "/manifests/", status=401, headers=asks))
    with pytest.raises(Failed, match="not valid"):
        at(registry, Login("robot", "secret")).manifest("v1")
    registry.faults.append(Fault("POST", "/uploads/", status=202, headers={"Location": "http://["}))
    with pytest.raises(Refused, match="no safe address"):
        send(repository)


def test_netrc_is_not_read(
    registry: LoopbackRegistry, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / ".netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("HOME", str(home))
    at(registry).find("v1")
    assert all("Authorization" not in each.headers for each in registry.asked)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_registry_is_asked_again(registry: LoopbackRegistry, status: int) -> None:
    registry.faults.extend(Fault("HEAD", "/manifests/", status=status, headers={"Retry-After": "0"}) for _ in range(3))
    repository = at(registry)
    index = push_image(repository)
    found = repository.find("v1")
    assert found is not None
    assert found.digest == index.digest
    registry.faults.extend(Fault("HEAD", "/manifests/", status=status) for _ in range(4))
    with pytest.raises(Failed, match=f"answers {status}"):
        repository.find("v1")


def test_a_dropped_download_goes_on_with_the_rest(registry: LoopbackRegistry) -> None:
    registry.keep("fleet/trainer", CONTENT)
    registry.faults.append(Fault("GET", "/blobs/", drop=100_000))
    assert fetched(at(registry)) == CONTENT
    assert registry.asked[-1].headers["Range"] == "bytes=65536-"
    registry.faults.extend(Fault("GET", "/blobs/", drop=70_000) for _ in range(4))
    assert fetched(at(registry)) == CONTENT
    registry.faults.append(Fault("GET", "/blobs/", drop=70_000))
    registry.faults.extend(Fault("GET", "/blobs/", drop=700) for _ in range(3))
    with pytest.raises(Unreachable, match="dropped at byte 65536 of"):
        fetched(at(registry))


def test_a_dropped_part_goes_on_where_the_registry_says(registry: LoopbackRegistry) -> None:
    registry.faults.append(Fault("PATCH", "/uploads/", drop=700))
    moved: list[int] = []
    at(registry).in_chunks(120_000).upload(BLOB, lambda: io.BytesIO(CONTENT), moved.append)
    assert registry.content[BLOB.digest] == CONTENT
    ranges = [each.headers.get("Content-Range") for each in registry.asked if each.method == "PATCH"]
    assert ranges == ["0-119999", "700-120699", "120700-240699", "240700-307199"]
    assert registry.counted("POST", "/uploads/") == 1


def test_an_upload_that_the_registry_forgot_starts_anew(registry: LoopbackRegistry) -> None:
    registry.faults.extend([Fault("PATCH", "/uploads/", drop=700), Fault("GET", "/uploads/", status=404)])
    send(at(registry).in_chunks(120_000))
    assert registry.content[BLOB.digest] == CONTENT
    assert registry.counted("POST", "/uploads/") == 2


def test_a_registry_that_takes_no_parts_gets_it_whole(registry: LoopbackRegistry) -> None:
    registry.takes_parts = False
    send(at(registry).in_chunks(120_000))
    assert registry.content[BLOB.digest] == CONTENT


def test_a_part_that_is_too_large_says_how_to_mend_it(registry: LoopbackRegistry) -> None:
    registry.faults.extend(Fault(method, "/uploads/", status=413) for method in ("PATCH", "PUT"))
    with pytest.raises(Failed, match=r"answers 413.*\(it, or a proxy before it, takes less at once: .*--part MIB\)"):
        send(at(registry).in_chunks(120_000))


@pytest.mark.parametrize("status", [429, 503])
def test_a_part_that_a_busy_registry_refuses_is_sent_again(registry: LoopbackRegistry, status: int) -> None:
    registry.faults.append(Fault("PATCH", "/uploads/", status=status))
    send(at(registry).in_chunks(120_000))
    assert registry.content[BLOB.digest] == CONTENT
    assert registry.counted("POST", "/uploads/") == 1


def test_where_an_upload_ended_is_asked_until_it_is_told(registry: LoopbackRegistry) -> None:
    registry.faults.append(Fault("PATCH", "/uploads/", drop=700))
    registry.faults.extend(Fault("GET", "/uploads/", status=503) for _ in range(3))
    send(at(registry).in_chunks(120_000))
    assert registry.content[BLOB.digest] == CONTENT
    assert registry.counted("POST", "/uploads/") == 1


def test_a_registry_that_goes_nowhere_is_given_up(registry: LoopbackRegistry) -> None:
    stuck = {"Location": "/v2/fleet/trainer/blobs/uploads/aa", "Range": "0-0"}
    registry.faults.extend(Fault("PATCH", "/uploads/", status=202, headers=stuck) for _ in range(4))
    with pytest.raises(RegistryError, match="it forgets uploads"):
        send(at(registry).in_chunks(120_000))


def test_a_dropped_whole_upload_is_sent_again(registry: LoopbackRegistry) -> None:
    registry.faults.extend(Fault("PUT", "/uploads/", drop=100) for _ in range(3))
    send(at(registry))
    registry.content.clear()
    registry.repositories.clear()
    registry.faults.extend(Fault("PUT", "/uploads/", drop=100) for _ in range(4))
    with pytest.raises(Unreachable, match="the connection was dropped"):
        send(at(registry))


def test_a_full_disk(registry: LoopbackRegistry) -> None:
    registry.capacity = 100
    with pytest.raises(Failed, match=r"no space left on its device \(look at the registry's disk"):
        send(at(registry))


def test_an_upload_s_address_without_https_is_refused(registry: LoopbackRegistry) -> None:
    registry.faults.append(Fault("POST", "/uploads/", status=202, headers={"Location": "http://elsewhere.example.org/u"}))
    with pytest.raises(Refused, match="no safe address"):
        send(at(registry))


def test_another_manifest_for_a_digest_is_damage(registry: LoopbackRegistry) -> None:
    repository = at(registry)
    index, other = push_image(repository), push_image(repository, b"other")
    registry.repository("fleet/trainer").manifests[index.digest] = (other.media_type, other.content)
    with pytest.raises(Damaged, match="gives another digest"):
        repository.manifest(index.digest)
    registry.faults.append(Fault("HEAD", "/manifests/", status=200, headers={"Docker-Content-Digest": other.digest}))
    with pytest.raises(Damaged, match="gives another digest"):
        repository.find(index.digest)


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"\0", CONTENT[:-1], CONTENT + b"more"], ids=["other", "short", "long"])
def test_another_blob_for_a_digest_is_damage(registry: LoopbackRegistry, content: bytes) -> None:
    registry.keep("fleet/trainer", content, BLOB.digest)
    with pytest.raises(RegistryError) as caught:
        fetched(at(registry))
    assert isinstance(caught.value, Damaged | Unreachable)


def test_a_registry_that_names_no_digests(registry: LoopbackRegistry) -> None:
    registry.names_digests = False
    repository = at(registry)
    index = push_image(repository)
    found = repository.find("v1")
    assert found is not None
    assert found.digest == index.digest


def test_referrers_come_in_pages(registry: LoopbackRegistry) -> None:
    registry.page = 2
    repository = at(registry)
    index = push_image(repository)
    made = {attach(repository, index, "application/x-test", bytes([number])).digest for number in range(5)}
    assert {each.digest for each in repository.referrers(index.digest)} == made
    assert registry.counted("GET", "/referrers/") == 3


def test_an_unknown_registry_and_repository(registry: LoopbackRegistry) -> None:
    away = Registries(patience=HASTE).repository(ImageReference("x", "127.0.0.1:9"))
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9/x:v1: does not answer: the connection is refused"):
        away.find("v1")
    with pytest.raises(NotHeld, match="there is no such repository"):
        at(registry, name="nowhere").manifest("v1")


def test_immutable_tags_and_a_second_signature(registry: LoopbackRegistry) -> None:
    registry.immutable_tags = True
    repository = at(registry)
    keys = [SigningKey(name, ec.generate_private_key(ec.SECP256R1())) for name in ("one", "two")]
    signed, unsigned = push_image(repository), push_image(repository, b"another", tag="v2")
    for key in keys:
        sign(repository, signed.digest, key)
    for key in keys:
        assert verify(repository, signed.digest, [key.public]).key.name == key.name
    registry.has_referrers = False
    sign(repository, unsigned.digest, keys[0])
    with pytest.raises(Failed, match=r"names another manifest and cannot be moved .*except those that begin with sha256-"):
        sign(repository, unsigned.digest, keys[1])


def test_a_name_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)
    nobody = Registries(patience=HASTE).repository(ImageReference("x", "registry.example.org"))
    with pytest.raises(Unreachable, match=r"there is no registry of this name \(look at the registry's name"):
        nobody.find("v1")


def test_a_signature_is_found_behind_many_other_referrers(registry: LoopbackRegistry) -> None:
    repository = at(registry)
    index = push_image(repository)
    for number in range(51):
        attach(repository, index, "application/x-test", bytes([number]))
    key = SigningKey("one", ec.generate_private_key(ec.SECP256R1()))
    sign(repository, index.digest, key)
    del registry.repository("fleet/trainer").tags[f"{index.digest.replace(':', '-')}.sig"]
    assert verify(repository, index.digest, [key.public]).key.name == "one"


@pytest.mark.parametrize("status", [400, 404, 405, 501])
def test_a_registry_that_knows_no_referrers(registry: LoopbackRegistry, status: int) -> None:
    registry.has_referrers = False
    repository = at(registry)
    index = push_image(repository)
    made = attach(repository, index, "application/x-test", b"one")
    registry.faults.append(Fault("GET", "/referrers/", status=status))
    assert [each.digest for each in repository.referrers(index.digest)] == [made.digest]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"schemaVersion": 1}',
        b'{"schemaVersion": 2, "mediaType": "text/plain"}',
        b'{"schemaVersion": 2, "layers": [{"digest": "md5:1", "size": 1, "mediaType": "x"}]}',
        b'{"schemaVersion": 2, "layers": [{"digest": "sha256:' + b"a" * 64 + b'", "size": -1, "mediaType": "x"}]}',
        b'{"schemaVersion": 2, "manifests": 3}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_manifest(content: bytes) -> None:
    with pytest.raises(Damaged, match="no image manifest"):
        read_manifest(content, "application/vnd.oci.image.manifest.v1+json", "here")
