"""The images in figures: bytes that are sent and unpacked, bytes of a code change, and how long a container takes to start.

Run it by ``make engines-bench``, as root, with buildah, podman and docker-registry. The base is Debian's smallest system, which stands in
for NVIDIA's: the figures are without what that brings more.
"""

import shutil
import statistics
import tempfile
import time
from pathlib import Path

from lorafleet.contracts.image import parse_image
from lorafleet.registry.repository import Registries
from tests.engines.docker_registry import DockerRegistry
from tests.engines.image.builds import Builds

_STARTS = 5


def main() -> None:
    """Print one table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        builds, registry = Builds(folder), DockerRegistry(folder)
        try:
            for target, words in (("console", ["--version"]), ("trainer", ["--version"]), ("trainer", ["doctor"])):
                place = f"{registry.host}/{target}"
                begun = time.monotonic()
                built = builds.build(target, "--push", place)
                took = time.monotonic() - begun
                layers = Registries().repository(parse_image(place)).manifest(built["digest"]).layers
                unpacked = builds.inspect(built["image"])["Size"]
                starts = []
                for _ in range(_STARTS):
                    begun = time.monotonic()
                    assert builds.run(built["image"], words).code == 0
                    starts.append(time.monotonic() - begun)
                print(
                    f"{target}: {unpacked / 1e9:.2f} GB unpacked, {sum(each.size for each in layers) / 1e9:.2f} GB sent, layers in MB "
                    f"{[round(each.size / 1e6, 1) for each in layers]}; {' '.join(words)}: median of {_STARTS} starts "
                    f"{statistics.median(starts):.1f} s, most {max(starts):.1f} s; built and pushed in {took:.0f} s",
                    flush=True,
                )
            print(f"a code change sends {_code_change(builds, registry, folder) / 1e6:.1f} MB")
        finally:
            registry.stop()


def _code_change(builds: Builds, registry: DockerRegistry, folder: Path) -> int:
    source = shutil.copytree(builds.source, folder / "changed")
    with (source / "trainer" / "loop.py").open("a") as file:
        file.write("\n# changed\n")
    found = []
    for tree in (builds.source, source):
        built = builds.build("console", "--push", f"{registry.host}/change", source=tree)
        found.append(Registries().repository(parse_image(f"{registry.host}/change")).manifest(built["digest"]).layers)
    return sum(layer.size for layer in found[1] if layer not in found[0])


if __name__ == "__main__":
    main()
