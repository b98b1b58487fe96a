"""Names of what a site owns, within the length and letters that each cloud allows, the same on every run."""

import hashlib
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """Names of one site. ``owner`` is what makes a name unique in the world: the cloud account and the organisation."""

    site: str
    organization: str
    owner: str

    @property
    def cluster(self) -> str:
        """EKS takes 100 characters, AKS 63, GKE 40."""
        return _shortened(f"lorafleet-{self.site}", 40)

    @property
    def bucket(self) -> str:
        """S3 and GCS: 63 characters, unique in the world."""
        return _shortened(f"{self.organization}-lorafleet-{self.site}-{self._mark}", 63)

    @property
    def service_account(self) -> str:
        """The stem of Google's service account ids, which are 6 to 30 characters; the longest ending is ``-spinnaker``."""
        return _shortened(f"lf-{self.site}", 20)

    @property
    def repository(self) -> str:
        """The path under which ECR keeps the site's images, and the id of Google's repository (63 characters)."""
        return _shortened(f"lorafleet-{self.site}", 63)

    @property
    def node_group(self) -> str:
        """Azure: the resource group of AKS's nodes (80 characters)."""
        return f"{self.cluster}-nodes"

    @property
    def storage_account(self) -> str:
        """Azure: 3 to 24 small letters and digits, unique in the world."""
        return self._letters("", 24)

    @property
    def file_account(self) -> str:
        """Azure's storage account for the shared files."""
        return self._letters("nfs", 24)

    @property
    def container_registry(self) -> str:
        """Azure: 5 to 50 letters and digits, unique in the world."""
        return self._letters("", 50)

    @property
    def _mark(self) -> str:
        return _digest(f"{self.owner}/{self.organization}/{self.site}")

    def _letters(self, ending: str, limit: int) -> str:
        stem = re.sub(r"[^a-z0-9]", "", f"{self.organization}{self.site}")
        return stem[: limit - len(self._mark) - len(ending)] + self._mark + ending


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def _shortened(name: str, limit: int) -> str:
    if len(name) <= limit:
        return name
    return f"{name[: limit - 7].rstrip('-')}-{_digest(name)}"
