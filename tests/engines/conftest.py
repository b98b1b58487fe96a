"""Real servers for the tests. Each is built by a script beside its pins, started on a free port of loopback, and ended by its pid."""

import os
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engines.kubernetes.cluster import Cluster
from tests.engines.orca.engine import OrcaEngine
from tests.engines.pki import Authority
from tests.engines.processes import answers, binary, free_port
from tests.engines.tcp_proxy import TcpProxy
from trainer.storage.locations import Location


@dataclass(frozen=True)
class S3Server:
    """A running versitygw. Buckets are folders of ``root``: what a test changes there is damage that S3 did not see."""

    port: int
    root: Path
    access_key: str
    secret_key: str


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    folder = tmp_path_factory.mktemp("s3")
    root, sidecar = folder / "buckets", folder / "metadata"
    root.mkdir()
    sidecar.mkdir()
    server = S3Server(free_port(), root, secrets.token_hex(10), secrets.token_hex(20))
    keys = {"ROOT_ACCESS_KEY_ID": server.access_key, "ROOT_SECRET_ACCESS_KEY": server.secret_key}
    command = [
        str(binary("versitygw", "tests/engines/s3/build.sh")),
        "--port",
        f"127.0.0.1:{server.port}",
        "posix",
        "--sidecar",
        str(sidecar),
        str(root),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env={"PATH": os.environ["PATH"], **keys}, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 20
        while not answers(server.port):
            if process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"versitygw did not start:\n{(folder / 'log').read_text()[-2000:]}", pytrace=False)
            time.sleep(0.02)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def s3_environment(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3_server.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return s3_server


@pytest.fixture
def bucket(s3_environment: S3Server) -> str:
    name = f"test-{secrets.token_hex(6)}"
    (s3_environment.root / name).mkdir()
    return name


@pytest.fixture
def remote(bucket: str) -> Location:
    return Location("s3", bucket, "some/folder")


@pytest.fixture
def proxy(s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[TcpProxy]:
    """The endpoint of the environment is this proxy, which passes everything on until a test says otherwise."""
    proxy = TcpProxy(s3_environment.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
    yield proxy
    proxy.close()


# The names by which Orca's webhooks find this machine; no other name resolves for them.
HOSTS = ("console.lorafleet.test", "other.lorafleet.test", "console.lorafleet.internal")
SITES = ("aws-eu-central-1", "gcp-us-west1")


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Who signed the certificates of the servers that Orca calls by https."""
    return Authority("lorafleet test authority")


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Cluster]]:
    """Two clusters, each with two nodes of four GPUs and the namespace lorafleet."""
    folder = tmp_path_factory.mktemp("clusters")
    clusters = {name: Cluster(name, folder / name) for name in SITES}

    def start(cluster: Cluster) -> None:
        cluster.start()
        cluster.kubectl("create", "namespace", "lorafleet")
        for number in range(2):
            cluster.add_gpu_node(f"{cluster.name}-gpu-{number}")

    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(start, clusters.values()))
        yield clusters
    finally:
        for cluster in clusters.values():
            cluster.stop()


@pytest.fixture(scope="session")
def orca(sites: Mapping[str, Cluster], authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrcaEngine]:
    """A running Orca with one Kubernetes account per site, named as the site."""
    accounts = {name: cluster.kubeconfig for name, cluster in sites.items()}
    engine = OrcaEngine(tmp_path_factory.mktemp("orca"), accounts, HOSTS, authority)
    try:
        yield engine.start()
    finally:
        engine.stop()
