"""The console as a container of its own image: no root, nothing writable but its folder, no code of this checkout."""

import os
import subprocess
from pathlib import Path

from pydantic import SecretStr

from lorafleet.client.address import Address
from lorafleet.client.client import Client
from tests.engines.image.builds import Builds
from tests.engines.processes import Server, free_port

USER = 10001


class ConsoleContainer:
    """It listens on loopback, and keeps everything in :attr:`directory`."""

    def __init__(self, builds: Builds, image: str, folder: Path) -> None:
        self.port = free_port()
        self.directory = folder / "console-data"
        self._builds = builds
        self._image = image
        self._folder = folder
        self._name = f"lorafleet-console-{self.port}"
        self._server: Server | None = None

    def start(self, public_url: str, *options: str) -> None:
        """Start it and wait until it answers; ``options`` are those of ``lorafleet serve``."""
        self.directory.mkdir(mode=0o700)
        os.chown(self.directory, USER, USER)
        serve = [
            "serve",
            "--dir",
            "/data",
            "--port",
            str(self.port),
            "--ready-file",
            "/data/ready.json",
            "--public-url",
            public_url,
        ]
        place = ("--name", self._name, "--network", "host", "--volume", f"{self.directory}:/data")
        command = self._builds.words(self._image, [*serve, *options], *place, memory="1g")
        self._server = Server("console", command, self._folder, self._builds.environment).start()
        self._server.wait_for((self.directory / "ready.json").exists, 90)

    def stop(self) -> None:
        """End it, and remove the container."""
        if self._server is not None:
            words = ["podman", "rm", "--force", "--time", "5", "--ignore", self._name]
            subprocess.run(words, env=self._builds.environment, capture_output=True, check=False)
            self._server.stop()

    def client(self) -> Client:
        """As the administrator."""
        token = (self.directory / "token").read_text(encoding="ascii").strip()
        return Client(Address(f"http://127.0.0.1:{self.port}", SecretStr(token)))

    def credential(self, site: str) -> str:
        """What the site's workers enrol with."""
        return (self.directory / "enrolment" / site).read_text(encoding="ascii").strip()
