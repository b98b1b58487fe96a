"""The home's PostgreSQL as its pod runs it: the mounted scripts, real servers, and folders where Secrets are mounted."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import psycopg
from postgres_server import find_binaries

from tests.engines.pki import Authority
from tests.engines.processes import Server, free_port, wait_until

SCRIPTS = Path(__file__).parents[2] / "infra" / "incluster" / "postgres_server"
HOST = "127.0.0.1"


class PostgresPod:
    """A pod with its volume. ``follow`` makes it a standby; nothing outlives :meth:`remove`."""

    def __init__(self, site: str, authority: Authority, console: str = "c:on\\sole", replication: str = "repli:cation") -> None:
        binaries = find_binaries()
        assert binaries is not None, "the module asked for it"
        self.site = site
        self._servers: list[Server] = []
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="lorafleet-home-"))
        self.volume, self._tls, self._secrets, self.run_folder = (
            self.folder / name for name in ("volume", "tls", "secrets", "run")
        )
        for path in (self.volume, self._tls, self._secrets, self.run_folder):
            path.mkdir()
        give_away(self.folder)
        self._authority = authority
        self._environment = {
            "PATH": f"{binaries}:/usr/bin:/bin",
            "PGPORT": str(self.port),
            "SITE": site,
            "ROLE": "home",
            "VOLUME": str(self.volume),
            "CONFIG": str(SCRIPTS),
            "TLS": str(self._tls),
            "SECRETS": str(self._secrets),
            "RUN": str(self.run_folder),
            "EVERY": "0.2",
        }
        self.renew_certificate()
        self.passwords(console, replication)

    def renew_certificate(self) -> None:
        pair = self._authority.server(self.site, [HOST])
        self.certificate = pair.certificate
        self._write(self._tls / "tls.crt", pair.certificate)
        self._write(self._tls / "tls.key", pair.key)
        self._write(self._tls / "ca.crt", self._authority.certificate)

    def passwords(self, console: str, replication: str) -> None:
        self.console_password = console
        self._write(self._secrets / "console", console.encode())
        self._write(self._secrets / "replication", replication.encode())

    def follow(self, home: "PostgresPod") -> "PostgresPod":
        self._environment |= {"ROLE": "standby", "HOME_HOST": HOST, "HOME_PORT": str(home.port)}
        return self

    def lead(self) -> None:
        self._environment["ROLE"] = "home"

    def start(self) -> "PostgresPod":
        """Start both containers and wait until the server takes connections."""
        server, steward = self._server(), self._script("steward", "steward.sh")
        self._servers = [server.start(), steward.start()]
        server.wait_for(self.is_ready, 60)
        return self

    def start_refused(self) -> str:
        """Start the server where that must fail; what it says."""
        server = self._server().start()
        wait_until(lambda: not server.runs, 60, "the start is refused")
        return server.log.read_text().splitlines()[-1]

    def is_ready(self) -> bool:
        try:
            with self.socket() as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """End the pod as Kubernetes does: the hook before, then SIGTERM."""
        self.script("stop.sh")
        self.kill()

    def kill(self) -> None:
        """Lose the machine."""
        for server in self._servers:
            server.kill()
        self._servers = []

    def script(self, name: str, **environment: str) -> tuple[int, str]:
        """Run a script of the pod to its end: its exit code and what it said."""
        return self.run("sh", str(SCRIPTS / name), **environment)

    def run(self, *words: str, **environment: str) -> tuple[int, str]:
        """Run a program in the pod to its end."""
        environment = {**self._environment, **environment}
        done = subprocess.run(
            [*_as_user(), *words], env=environment, cwd="/", capture_output=True, text=True, check=False, timeout=60
        )
        return done.returncode, done.stdout + done.stderr

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def socket(self, database: str = "postgres") -> "psycopg.Connection[tuple[object, ...]]":
        """As the superuser, from within the pod."""
        words = f"host={self.run_folder} port={self.port} user=postgres dbname={database} connect_timeout=5"
        return psycopg.connect(words, autocommit=True)

    def url(self, password: str | None = None, sslmode: str = "verify-full") -> str:
        """As the console, from outside."""
        secret = quote(self.console_password if password is None else password, safe="")
        return f"postgresql://fleet:{secret}@{HOST}:{self.port}/fleet?sslmode={sslmode}&sslrootcert={self._tls / 'ca.crt'}"

    def shown_certificate(self) -> bytes:
        """What the server shows to those who connect, as PEM."""
        words = ("s_client", "-starttls", "postgres", "-connect", f"{HOST}:{self.port}")
        done = subprocess.run(["openssl", *words], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30)
        begin, end = done.stdout.find(b"-----BEGIN"), done.stdout.find(b"-----END CERTIFICATE-----\n")
        return done.stdout[begin:end] + b"-----END CERTIFICATE-----\n"

    @property
    def log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def _server(self) -> Server:
        return self._script("server", "start.sh", "-c", f"listen_addresses={HOST}", "-c", "fsync=off")

    def _script(self, name: str, script: str, *words: str) -> Server:
        return Server(name, [*_as_user(), "sh", str(SCRIPTS / script), *words], self.folder, self._environment)

    def _write(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        path.chmod(0o600)
        give_away(path)


def give_away(top: Path) -> None:
    """A file, or a folder with all in it, belongs to the server's user, as a pod's volume does."""
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        for path in (top, *top.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)


def _as_user() -> list[str]:
    # PostgreSQL refuses to run as root.
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam("postgres")
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
