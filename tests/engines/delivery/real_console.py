"""The real console as a trial needs it: ``lorafleet serve`` in a process of its own, behind TLS, with workers that train nothing."""

import io
import json
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
from PIL import Image

from lorafleet.console.domain.records import Submission
from lorafleet.console.store.ledger import open_ledger
from lorafleet.contracts import paths
from lorafleet.contracts.release import ReleaseState
from lorafleet.contracts.release_api import Registered, Registration
from tests.engines.delivery import fleet
from tests.engines.delivery.console import Traffic
from tests.engines.delivery.players import Console, Players
from tests.engines.delivery.registry import SignedRegistries
from tests.engines.delivery.tls_front import TlsFront
from tests.engines.kubernetes.cluster import Cluster
from tests.engines.pki import Authority
from tests.engines.processes import Server, answers, free_port

HOST = "console.lorafleet.test"
_TEAM = "default"


class RealConsole:
    """A :class:`~tests.engines.delivery.console.Console`. Probe jobs give the candidates their samples.

    ``registries`` and ``signing_key``: the sites' own, and whose signature releases need, in place of the trials' registries.
    """

    def __init__(
        self,
        authority: Authority,
        folder: Path,
        sites: Mapping[str, Cluster],
        registries: Mapping[str, str] | None = None,
        signing_key: Path | None = None,
        namespace: str = "lora",
    ) -> None:
        self._registries = SignedRegistries(sites, folder)
        self.registries = registries or self._registries.addresses
        self._signing_key = signing_key or self._registries.public_key
        self.facts = facts = folder / "sites"
        facts.mkdir(parents=True)
        for name, cluster in sites.items():
            site = fleet.site(cluster, namespace, self.registries[name])
            (facts / f"{name}.json").write_text(site.model_dump_json(by_alias=True))
        port = free_port()
        self._front = TlsFront(HOST, authority, folder, port)
        self.url = f"https://{HOST}:{self._front.port}"
        self.plain = f"http://127.0.0.1:{port}"
        self.directory = folder / "console"
        self._traffic: dict[tuple[str, str], Traffic] = {}
        self._server = Server("console", self._command(port, facts, sites), folder)
        self._start(port)
        dataset, version = self._dataset()
        # A SQLite ledger is one process's at a time.
        self._server.stop()
        training = {"base_model": "tiny-sd", "max_steps": 2}
        ledger = open_ledger(f"sqlite:///{self.ledger}")
        ledger.releases.set_probe_template(_TEAM, Submission("probe", dataset, version, training))
        ledger.close()
        self._start(port)
        credentials = {name: (self.directory / "enrolment" / name).read_text().strip() for name in sites}
        where = Console(self.url, self.plain, credentials)
        self._players = Players(where, sites, lambda release, site: self._traffic.get((release, site), Traffic()))

    def close(self) -> None:
        self._players.close()
        self._server.stop()
        self._front.refuse()
        self._registries.close()

    def register(self, registration: Registration) -> Registered:
        """See Console."""
        answer = self._call("POST", paths.RELEASES, json=registration.model_dump(mode="json"))
        return Registered.model_validate(answer)

    def has_traffic(self, digest: str, site: str, traffic: Traffic) -> None:
        """See Console."""
        self._traffic[digest, site] = traffic

    def new_image(self, name: str) -> str:
        """See Console."""
        return self._registries.new_image(name)

    def loses_image(self, digest: str, site: str) -> None:
        """See Console."""
        self._registries.take_away(digest, site)

    def loses_signature(self, digest: str, site: str) -> None:
        """See Console."""
        self._registries.take_signature(digest, site)

    def refuse(self) -> None:
        """See Console."""
        self._front.refuse()

    def listen(self) -> None:
        """See Console."""
        self._front.listen()

    def state(self, release: str) -> ReleaseState:
        """See Console."""
        return ReleaseState(self._call("GET", paths.release(release))["release"]["state"])

    def reason(self, release: str) -> str:
        """See Console."""
        return str(self._call("GET", paths.release(release)).get("reason", ""))

    def told_at(self, digest: str) -> float | None:
        """See Console."""
        return self._players.told.get(digest)

    @property
    def ledger(self) -> Path:
        """See Console."""
        return self.directory / "console.sqlite"

    def _command(self, port: int, facts: Path, sites: Mapping[str, Cluster]) -> list[str]:
        serve = [sys.executable, "-c", "import sys; from lorafleet.cli import main; sys.exit(main())", "serve"]
        named = [word for name in sites for word in ("--site", name)]
        where = ["--dir", str(self.directory), "--port", str(port), "--public-url", self.url, "--sites-dir", str(facts)]
        # Nothing listens at this address: only the trial whose condition names a query asks there.
        signed = ["--signing-key", str(self._signing_key)]
        return [*serve, *where, *named, *signed, "--prometheus", f"http://127.0.0.1:{free_port()}"]

    def _start(self, port: int) -> None:
        self._server.start().wait_for(lambda: answers(port) and (self.directory / "token").exists(), 60)

    def _dataset(self) -> tuple[str, str]:
        made = self._call("POST", f"{paths.API}/datasets", json={"name": "probes"})
        files: list[tuple[str, tuple[str, bytes]]] = []
        for number in range(2):
            files += [("files", (f"{number}.png", _picture())), ("files", (f"{number}.txt", b"a picture of noise"))]
        version = self._call("POST", f"{paths.API}/datasets/{made['id']}/uploads", files=files)["version"]
        return made["id"], version

    def _call(self, method: str, path: str, **more: Any) -> Any:
        token = (self.directory / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.request(method, self.plain + path, headers=headers, timeout=30, **more)
        if not answer.ok:
            raise RuntimeError(f"console: {method} {path}: {answer.status_code} {answer.text[:500]}")
        return json.loads(answer.content)


def _picture() -> bytes:
    data = io.BytesIO()
    Image.frombytes("RGB", (512, 512), secrets.token_bytes(3 * 512 * 512)).save(data, "PNG")
    return data.getvalue()
