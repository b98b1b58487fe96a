"""A machine within the machine: mounts, processes and a network of its own, joined to this machine by one cable."""

import os
import secrets
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Self

from tests.engines.processes import Server, wait_until

_CGROUPS = Path("/sys/fs/cgroup")
_WEIGHT = 8 * 1024
_TOOLS = ("unshare", "nsenter", "ip", "mount", "bash")
# kubelet sets these for the whole machine; it finds files that say what it wants already.
_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def missing() -> str:
    """Why there can be none here; empty where there can."""
    if os.geteuid() != 0:
        return "namespaces of its own need root"
    if absent := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        return f"{', '.join(absent)} not installed"
    if not (_CGROUPS / "memory").is_dir():
        return "the cgroup v1 controllers are not mounted"
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "ip", "link", "add", "name", "a", "type", "veth"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no namespaces with a network of their own: {tried.stderr.strip()}" if tried.returncode else ""


class Enclosure:
    """``outside`` is this machine's address on the cable, ``inside`` the enclosure's, ``pods`` a network behind that.

    :meth:`close` ends every process in it, and with the last of them mounts and network are gone.
    """

    def __init__(self, folder: Path) -> None:
        number = secrets.randbelow(250) + 1
        self.outside, self.inside, self.pods = f"10.77.{number}.254", f"10.77.{number}.1", f"10.78.{number}.0/24"
        self.cgroup = f"lorafleet-node-{number}"
        self._cable = f"lorafleet{number}"
        self._folder = folder
        self._first = Server("first", self._command(), folder)
        self._pid = 0

    def open(self) -> Self:
        """Make it."""
        self._first.start()
        wait_until(self._children, 10, "the enclosure's first process")
        self._pid = self._children()[0]
        wait_until(self._is_apart, 10, "the enclosure's own namespaces")
        self._connect()
        for name, value in _SYSCTLS.items():
            file = self._folder / "sysctl" / name.replace("/", "_")
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"{value}\n")
            self.run("mount", "--bind", str(file), f"/proc/sys/{name}")
        for controller in self._controllers():
            group = controller / self.cgroup
            group.mkdir()
            for setting in ("cpuset.cpus", "cpuset.mems"):
                if (controller / setting).exists():
                    (group / setting).write_text((controller / setting).read_text())
            if (group / "cpu.shares").exists():
                # By default all its pods together would weigh as one process of this machine.
                (group / "cpu.shares").write_text(str(_WEIGHT))
        return self

    def close(self) -> None:
        """See the class. The cgroups are the machine's and are removed one by one."""
        self._first.kill()
        for controller in self._controllers():
            folder = controller / self.cgroup
            wait_until(partial(_removed, folder), 20, f"the end of what ran in {folder}")

    def show(self, file: Path, at: str) -> None:
        """Processes in the enclosure see ``file`` at this path."""
        self.run("mount", "--bind", str(file), at)

    def command(self, *words: str) -> list[str]:
        """A command line that runs ``words`` in it, with paths as outside."""
        return ["nsenter", f"--target={self._pid}", "--mount", "--net", "--pid", "--", *words]

    def run(self, *words: str) -> str:
        """Run a command in it to its end, and give what it printed."""
        return _run(self.command(*words))

    def _command(self) -> list[str]:
        # The shell is the first process of the namespace: it takes in and buries what others leave behind.
        words = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=private"]
        return ["unshare", *words, "bash", "-c", "sleep infinity & wait"]

    def _children(self) -> list[int]:
        pid = self._first.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def _is_apart(self) -> bool:
        return "/bash" in os.readlink(f"/proc/{self._pid}/exe")

    def _connect(self) -> None:
        _run(["ip", "link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", str(self._pid)])
        _run(["ip", "address", "add", f"{self.outside}/24", "dev", self._cable])
        _run(["ip", "link", "set", self._cable, "up"])
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "address", "add", f"{self.inside}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        self.run("ip", "route", "add", "default", "via", self.outside)
        self.run("bash", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")

    def _controllers(self) -> list[Path]:
        return [each for each in _CGROUPS.iterdir() if each.name != "unified" and each.is_dir() and not each.is_symlink()]


def _run(words: list[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _removed(folder: Path) -> bool:
    """Whether a cgroup is gone, with those in it; each goes once its processes have."""
    for group, _, _ in os.walk(folder, topdown=False):
        try:
            Path(group).rmdir()
        except OSError:
            return False
    return True
