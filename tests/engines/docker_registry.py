"""Debian's docker-registry, the reference implementation of the distribution API, as a process of its own."""

from pathlib import Path

from lorafleet.contracts.image import ImageReference
from lorafleet.registry.credentials import Credentials
from lorafleet.registry.repository import Registries, Repository
from lorafleet.registry.transport import Patience
from tests.engines.processes import Server, answers, binary, free_port

USER, PASSWORD = "robot", "a password"
_HTPASSWD = f"{USER}:$2b$04$abcdefghijklmnopqrstuuQCzP7jzWZS/E3GL4oF3LWbHm3pfKHH.\n"
HASTE = Patience(connect=2, silence=20, attempts=4, first_pause=0.05)


class DockerRegistry:
    """``data`` is where it keeps everything. With ``authenticated`` it wants :data:`USER` and :data:`PASSWORD`.

    It listens on loopback, or at ``address``.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "registry",
        data: Path | None = None,
        authenticated: bool = False,
        address: str = "127.0.0.1",
    ) -> None:
        self.port = free_port()
        self.host = f"{address}:{self.port}"
        self.data = data or folder / f"{name}-data"
        users = folder / f"{name}.htpasswd"
        users.write_text(_HTPASSWD)
        auth = f"auth: {{htpasswd: {{realm: here, path: {users}}}}}\n" if authenticated else ""
        config = folder / f"{name}.yml"
        config.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.data}}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.host}', secret: not a secret}}\n{auth}"
        )
        program = binary("docker-registry", "apt-get install docker-registry")
        self._server = Server(name, [program, "serve", config], folder).start()
        self._server.wait_for(lambda: answers(self.port, address), 20)

    def repository(self, name: str, credentials: Credentials | None = None, host: str = "") -> Repository:
        """A repository of it; ``host`` is another way to it, such as a proxy's."""
        return Registries(credentials, HASTE).repository(ImageReference(name, host or self.host))

    def blob(self, digest: str) -> Path:
        """The file of a blob or manifest."""
        digits = digest.removeprefix("sha256:")
        return self.data / "docker/registry/v2/blobs/sha256" / digits[:2] / digits / "data"

    def stop(self) -> None:
        self._server.stop()
