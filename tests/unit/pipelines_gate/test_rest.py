"""What every call to Gate and to the console promises, over real sockets."""

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gate_samples import AT_ONCE, pipeline

from lorafleet.contracts.outcomes import ExitCode
from pipelines.gate.client import Gate, connect
from pipelines.gate.credentials import Credentials, read_credentials
from pipelines.rest import Forbidden, NotFound, NotLoggedIn, Pace, Rest, Service, ServiceError, Unreachable, Unwell
from tests.fake_gate.gate import FakeGate, Fault

READ = "GET /applications/lora-trainer/pipelineConfigs"
HTML = {"Content-Type": "text/html"}


def one_line(error: Exception) -> str:
    text = str(error)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_read_is_tried_again(status: int, gate: FakeGate, client: Gate) -> None:
    gate.put(pipeline())
    gate.faults = [Fault(READ, status=status, times=2)]
    assert [found["name"] for found in client.pipelines("lora-trainer")] == ["release"]
    assert len(gate.called(READ)) == 3


def test_a_read_whose_connection_breaks_is_tried_again(gate: FakeGate, client: Gate) -> None:
    gate.faults = [Fault(READ, "drop"), Fault(READ, "lose")]
    assert client.pipelines("lora-trainer") == []
    assert len(gate.called(READ)) == 3


def test_a_read_is_given_up_after_some_attempts(gate: FakeGate, client: Gate) -> None:
    gate.faults = [Fault(READ, status=503, times=100)]
    with pytest.raises(Unwell, match=r"Gate cannot answer now \(503\): made to fail"):
        client.pipelines("lora-trainer")
    assert len(gate.called(READ)) == AT_ONCE.attempts


def test_pauses_grow_have_jitter_and_an_end() -> None:
    pace = Pace(pause=1.0, longest_pause=5.0)
    for attempt, longest in enumerate((1.0, 2.0, 4.0, 5.0, 5.0), start=1):
        pauses = {pace.before(attempt) for _ in range(20)}
        assert all(longest / 2 <= pause <= longest for pause in pauses)
        assert len(pauses) > 1


@pytest.mark.parametrize(("asked", "waited"), [("3", 3.0), ("600", 5.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", 0.0)])
def test_what_retry_after_asks_for_is_waited_within_reason(asked: str, waited: float, gate: FakeGate) -> None:
    pauses: list[float] = []
    pace = replace(AT_ONCE, longest_pause=5.0)
    rest = Rest(Service("Gate", gate.url, "", ""), {}, pace=pace, sleep=pauses.append)
    gate.faults = [Fault(READ, status=429, headers={"Content-Type": "application/json", "Retry-After": asked})]
    rest.get("applications", "lora-trainer", "pipelineConfigs")
    assert pauses == [waited]


@pytest.mark.parametrize(
    "fault",
    [Fault(".*", status=503), Fault(".*", status=429), Fault(".*", "drop"), Fault(".*", "lose")],
    ids=lambda fault: fault.kind,
)
def test_a_write_is_never_tried_again_by_itself(fault: Fault, gate: FakeGate, client: Gate) -> None:
    gate.put(pipeline())
    gate.faults = [fault]
    with pytest.raises((Unreachable, Unwell)):
        client.trigger("lora-trainer", "release", {})
    assert len(gate.called("POST .*")) == 1


def test_a_redirect_to_a_login_page_is_not_followed(gate: FakeGate, client: Gate) -> None:
    gate.accepts = lambda _headers: 302
    with pytest.raises(NotLoggedIn) as raised:
        client.pipelines("lora-trainer")
    line = one_line(raised.value)
    assert f"Gate at {gate.url} sends to a login page at login.example.org instead of answering (302)" in line
    assert "no credentials were sent; set LORAFLEET_GATE_TOKEN" in line
    assert len(gate.calls) == 1


@pytest.mark.parametrize("kind", [HTML, {"Content-Type": "text/html; charset=utf-8"}, {}])
def test_a_page_instead_of_json_is_told_as_that(kind: dict[str, str], gate: FakeGate, client: Gate) -> None:
    gate.faults = [Fault(READ, status=200, body="<html>Sign in</html>", headers=kind)]
    with pytest.raises(NotLoggedIn) as raised:
        client.pipelines("lora-trainer")
    assert "instead of JSON: a login page, or not its API" in one_line(raised.value)


def test_json_that_is_cut_off_is_told(gate: FakeGate, client: Gate) -> None:
    gate.faults = [Fault(READ, status=200, body='[{"name": ')]
    with pytest.raises(ServiceError, match="sent JSON that is cut off"):
        client.pipelines("lora-trainer")


@pytest.mark.parametrize("body", ['{"message": "hello"}', '["text"]', "3"])
def test_json_of_another_service_is_told(body: str, gate: FakeGate, client: Gate) -> None:
    gate.faults = [Fault(READ, status=200, body=body)]
    with pytest.raises(ServiceError, match=r"is this Gate's API\?"):
        client.pipelines("lora-trainer")


@pytest.mark.parametrize(("status", "kind"), [(401, NotLoggedIn), (403, Forbidden)])
def test_refused_credentials_are_told_without_them(status: int, kind: type[ServiceError], gate: FakeGate) -> None:
    gate.accepts = lambda _headers: status
    client = connect(gate.url, read_credentials({"LORAFLEET_GATE_TOKEN": "spk_s3cr3t"}), AT_ONCE)
    with pytest.raises(kind, match=f"\\({status}\\)") as raised:
        client.pipelines("lora-trainer")
    assert "s3cr3t" not in one_line(raised.value) + repr(client.rest.__dict__)
    assert len(gate.calls) == 1


def test_what_is_not_there_is_none_and_a_wrong_path_an_error(gate: FakeGate, client: Gate) -> None:
    assert client.application("nobody") is None
    assert client.pipeline("lora-trainer", "nothing") is None
    with pytest.raises(NotFound, match="does not have this"):
        client.execution("nothing")


@pytest.mark.parametrize(
    ("environment", "header", "value"),
    [
        ({"LORAFLEET_GATE_TOKEN": "spk_1"}, "x-spinnaker-token", "spk_1"),
        ({"LORAFLEET_GATE_BEARER": "b1"}, "authorization", "Bearer b1"),
        ({"LORAFLEET_GATE_USER": "ci", "LORAFLEET_GATE_PASSWORD": "pw"}, "authorization", "Basic Y2k6cHc="),
    ],
)
def test_credentials_go_with_every_call(
    environment: dict[str, str], header: str, value: str, gate: FakeGate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # requests would let this file win over a header.
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    connect(gate.url, read_credentials(environment), AT_ONCE).pipelines("lora-trainer")
    assert gate.calls[0].headers[header] == value


def test_names_are_encoded(gate: FakeGate, client: Gate) -> None:
    gate.put(pipeline("a b#c?d"))
    assert client.pipeline("lora-trainer", "a b#c?d") is not None


def test_nobody_listening_is_one_line_and_code_69(client: Gate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with pytest.raises(Unreachable) as raised:
        connect(url, Credentials(), AT_ONCE).pipelines("x")
    assert one_line(raised.value).startswith(f"Gate at {url} cannot be reached: connection refused (check gate.url")
    assert raised.value.exit_code == ExitCode.UNAVAILABLE
    assert not raised.value.sent


def test_a_slow_answer_is_given_up(gate: FakeGate) -> None:
    gate.faults = [Fault(READ, "slow", seconds=1.0)]
    pace = replace(AT_ONCE, read_limit=0.2, attempts=1)
    with pytest.raises(Unreachable, match=r"did not answer within 0.2 s") as raised:
        connect(gate.url, Credentials(), pace).pipelines("lora-trainer")
    assert raised.value.sent


def test_a_proxy_of_the_environment_is_used_and_its_password_not_shown(gate: FakeGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", gate.url.replace("://", "://me:s3cr3t@"))
    assert connect("http://gate.example.org", Credentials(), AT_ONCE).pipelines("lora-trainer") == []
    assert gate.calls[0].headers["host"] == "gate.example.org"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("HTTP_PROXY", f"http://me:s3cr3t@127.0.0.1:{port}")
    with pytest.raises(Unreachable, match="through the proxy: connection refused") as raised:
        connect("http://gate.example.org", Credentials(), AT_ONCE).pipelines("lora-trainer")
    assert "s3cr3t" not in one_line(raised.value)


class Certificates:
    """A certificate authority, and a server and a client that it knows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.ca = self._write("ca", self._sign(self._name, self._key.public_key(), ca=True), None)
        self.server = self.issue("localhost")
        self.client = self.issue("ci")

    def issue(self, name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._write(name, self._sign(subject, key.public_key(), ca=False), key)
        return certificate, self.folder / f"{name}.key"

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _write(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey | None) -> Path:
        path = self.folder / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        if key is not None:
            raw = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            (self.folder / f"{name}.key").write_bytes(raw)
        return path


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
def tls_gate(certificates: Certificates) -> Iterator[FakeGate]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.server)
    context.load_verify_locations(certificates.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    with FakeGate(tls=context) as server:
        yield server


def test_a_client_certificate_opens_gates_api_port(
    tls_gate: FakeGate, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.ca))
    certificate, key = certificates.client
    credentials = read_credentials({"LORAFLEET_GATE_CERT": str(certificate), "LORAFLEET_GATE_KEY": str(key)})
    assert connect(tls_gate.url, credentials, AT_ONCE).pipelines("lora-trainer") == []


def test_without_a_client_certificate_the_port_stays_shut(
    tls_gate: FakeGate, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.ca))
    with pytest.raises(Unreachable) as raised:
        connect(tls_gate.url, Credentials(), AT_ONCE).pipelines("lora-trainer")
    # Whether the server's alert or the end of the connection is seen first is chance.
    assert any(words in one_line(raised.value) for words in ("it wants a client certificate", "the connection broke off"))
    assert not tls_gate.calls


def test_an_authority_that_is_not_trusted_is_told_and_not_asked_again(
    tls_gate: FakeGate, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    rest = Rest(Service("Gate", tls_gate.url, "", ""), {}, pace=AT_ONCE, sleep=pauses.append)
    with pytest.raises(Unreachable, match=r"no safe connection to Gate at .*its certificate is not"):
        rest.get("x")
    assert pauses == []


def test_a_key_of_another_certificate_is_told(
    tls_gate: FakeGate, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.ca))
    mixed = Credentials(certificate=(str(certificates.client[0]), str(certificates.server[1])))
    with pytest.raises(ServiceError, match="do not belong together"):
        connect(tls_gate.url, mixed, AT_ONCE).pipelines("lora-trainer")


def test_a_bundle_that_is_not_there_is_told(tls_gate: FakeGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with pytest.raises(ServiceError, match="the file that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names is not there"):
        connect(tls_gate.url, Credentials(), AT_ONCE).pipelines("lora-trainer")


def test_threads_have_connections_of_their_own(gate: FakeGate, client: Gate) -> None:
    gate.put(pipeline())
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(client.pipelines("lora-trainer")))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 16
