"""``make release-local``, with the small image in place of the trainer's: from source to the end of a pipeline on the real Orca."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.engines.image.release_local import Engines, release
from tests.engines.kubernetes.cluster import Cluster
from tests.engines.orca.engine import OrcaEngine
from tests.engines.pki import Authority

pytestmark = pytest.mark.timeout(900)


def test_from_source_to_released(
    sites: Mapping[str, Cluster],
    orca: OrcaEngine,
    authority: Authority,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    release(tmp_path, "console", lambda: nullcontext(Engines(sites, orca, authority)))
    said = capfd.readouterr().out
    assert said.count("; SBOM sha256:") == 2
    assert said.count(": signed, with an SBOM") == 2
    assert "lora-training-platform/release succeeded after" in said
    assert said.splitlines()[-1].startswith("released 127.0.0.1:")
    digest = said.strip().rpartition("sha256:")[2]
    for cluster in sites.values():
        names = [each["metadata"]["name"] for each in cluster.get("deployment", "lora-training-platform")]
        assert names == [f"trainer-{digest[:12]}"]
