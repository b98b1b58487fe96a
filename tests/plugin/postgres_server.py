"""A PostgreSQL server of one's own, for tests: a fresh data folder, a free port on loopback, gone at the end.

Nothing that it holds must survive a crash, so it syncs nothing.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import psycopg

MISSING = "no PostgreSQL server is installed (initdb and postgres, on the PATH or in /usr/lib/postgresql)"
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=64MB", "max_connections=120", "jit=off")


def find_binaries() -> Path | None:
    """The folder with ``initdb`` and ``postgres``, the newest version's; None where there is none."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


class PostgresServer:
    """A running server. ``settings`` are lines of postgresql.conf and win over the fast ones; ``home`` makes it a standby of that."""

    def __init__(self, binaries: Path, settings: Sequence[str] = (), home: "PostgresServer | None" = None) -> None:
        self._binaries = binaries
        self._settings = (*_FAST, *settings)
        self._names = count(1)
        self._process: subprocess.Popen[bytes] | None = None
        # Not below pytest's own folder, which another user may not enter.
        self.folder = Path(tempfile.mkdtemp(prefix="lorafleet-pg-"))
        self.data = self.folder / "data"
        self.port = _free_port()
        if os.geteuid() == 0:
            user = pwd.getpwnam(self._user())
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        if home is None:
            self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        else:
            of = ("-h", "127.0.0.1", "-p", str(home.port), "-U", "postgres")
            self._run("pg_basebackup", "-D", str(self.data), *of, "-R", "--checkpoint=fast", "--no-sync")
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = [f"-c{setting}" for setting in self._settings]
        command = [
            *self._as_user(), str(self._binaries / "postgres"), "-D", str(self.data), "-p", str(self.port), "-k", str(self.folder),
            "-clisten_addresses=127.0.0.1", *options,
        ]  # fmt: skip
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd="/", stdout=log, stderr=log)
        for _ in range(600):
            if self._process.poll() is not None:
                raise RuntimeError((self.folder / "server.log").read_text())
            try:
                psycopg.connect(self.plain_url("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise RuntimeError("PostgreSQL does not answer after 30 s")

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End it: SIGQUIT at once, SIGINT in order."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def freeze(self) -> None:
        """Let it hang: connections are made by the kernel, and nobody answers."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal_all(signal.SIGCONT)

    def remove(self) -> None:
        """End it and delete all of it."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def plain_url(self, database: str) -> str:
        """The address that libpq and the console take."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create(self, template: str = "template0") -> str:
        """A new database, a copy of ``template``; its name."""
        name = f"test_{os.getpid()}_{next(self._names)}"
        self._sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop(self, name: str) -> None:
        """Delete a database, connected to or not."""
        self._sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        # The postmaster first, so that it starts no more of them meanwhile.
        os.kill(self._process.pid, number)
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), number)

    def _sql(self, statement: str) -> None:
        with psycopg.connect(self.plain_url("postgres"), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [*self._as_user(), str(self._binaries / program), *words], cwd="/", capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)

    def _as_user(self) -> list[str]:
        # The server refuses to run as root.
        if os.geteuid() != 0:
            return []
        user = pwd.getpwnam(self._user())
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

    @staticmethod
    def _user() -> str:
        names = {entry.pw_name for entry in pwd.getpwall()}
        return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
