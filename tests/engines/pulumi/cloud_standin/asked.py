"""What an answer is made of."""

import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CA = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nstand-in\n-----END CERTIFICATE-----\n").decode()
SECRET = "what the stand-in keeps secret"
"""The text of every secret that the stand-in tells the engine, for tests that look for it."""


@dataclass(frozen=True)
class Kubernetes:
    """Where the managed clusters of the cloud answer; a test can put a real one there. ``ca`` is in base64."""

    host: str
    ca: str

    @classmethod
    def of(cls, folder: Path, mark: str) -> "Kubernetes":
        real = folder / "kubernetes.address"
        return cls(**json.loads(real.read_text())) if real.exists() else cls(f"{mark}.clusters.example.org", _CA)

    def write(self, folder: Path) -> None:
        """Let every managed cluster of this cloud be that one."""
        (folder / "kubernetes.address").write_text(json.dumps({"host": self.host, "ca": self.ca}))


@dataclass(frozen=True)
class Asked:
    """A resource of which the cloud is to tell its id and what it adds.

    ``settings`` are the provider's; ``mark`` is 17 hexadecimal digits that no other resource has.
    """

    token: str
    name: str
    inputs: Mapping[str, Any]
    settings: Mapping[str, Any]
    mark: str
    kubernetes: Kubernetes

    @property
    def kind(self) -> str:
        """The token without its package."""
        return self.token.partition(":")[2]

    def uuid(self, what: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.mark}/{what}"))
