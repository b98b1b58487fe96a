"""What the Dockerfile is built on here, and how its images are run: by buildah and podman, without a daemon."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.engines.processes import binary

_BUILD = "tests/engines/image/build.sh"
_BASE = "localhost/lorafleet-base:bookworm"
_CONTAINERS = """\
[containers]
default_ulimits = []
netns = "host"
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
"""
"""Containers in a container: what the default settings ask for is not to be had there."""


def local_base() -> str:
    """The stand-in for NVIDIA's base, by its digest."""
    buildah = binary("buildah", _BUILD)
    done = subprocess.run([buildah, "images", "--json", _BASE], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{_BASE} is not there: run {_BUILD}, or make engines", pytrace=False)
    return f"{_BASE.rpartition(':')[0]}@{json.loads(done.stdout)[0]['digest']}"


def environment(folder: Path) -> Mapping[str, str]:
    """What buildah and podman need in their environment; ``folder`` gets a file of settings."""
    settings = folder / "containers.conf"
    settings.write_text(_CONTAINERS)
    return {**os.environ, "BUILDAH_ISOLATION": "chroot", "CONTAINERS_CONF": str(settings)}


def certificates() -> list[str]:
    """Words for ``lorafleet image build`` where this machine reaches the package index through a proxy that signs for it."""
    named = os.environ.get("SSL_CERT_FILE")
    return ["--ca", named] if named else []
