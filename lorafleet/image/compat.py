"""Whether a lock's versions fit together, and whether the sites' drivers and GPUs are new enough for it: by the contracts' one table."""

from collections.abc import Iterator, Mapping, Sequence

from lorafleet.contracts import compatibility
from lorafleet.contracts.compatibility import PACKAGES, TORCH, Mismatch, numbers
from lorafleet.contracts.gpus import GPUS
from lorafleet.contracts.problems import Problem
from lorafleet.contracts.site import Site
from lorafleet.image.lock import Pin

_RUNTIME = "nvidia-cuda-runtime"


def versions(pins: Sequence[Pin]) -> dict[str, str]:
    """What the table knows of a lock: its packages, and ``cuda``, the runtime that torch comes with."""
    by_name = {pin.name: pin.version for pin in pins}
    found = {row.package: by_name[row.package] for row in PACKAGES if row.package in by_name}
    cuda = _runtime(by_name)
    return found | ({"cuda": cuda} if cuda else {})


def _runtime(by_name: Mapping[str, str]) -> str:
    """The packages beside torch say which runtime its wheel wants; without them its local version, such as ``+cu130``, or PyPI's."""
    for name, version in by_name.items():
        if name == _RUNTIME or name.startswith(f"{_RUNTIME}-cu"):
            return ".".join(map(str, numbers(version)[:2]))
    torch, _, local = by_name.get("torch", "").partition("+")
    if local.startswith("cu") and local[2:].isdecimal():
        return f"{local[2:-1]}.{local[-1]}"
    if local:
        return ""
    return next((row.pypi for row in TORCH if torch and numbers(row.torch) == numbers(torch)[:2]), "")


def problems(lock: str, pins: Sequence[Pin], sites: Mapping[str, Site]) -> list[Problem]:
    """Everything that does not fit, one line each with how to mend it; ``lock`` is the lock's name in them."""
    found = versions(pins)
    own = [Problem(_words(each), lock, each.hint) for each in compatibility.check(found)]
    if "torch" not in found:
        own.append(Problem("torch is not in this lock", lock, "name the trainer's lock"))
    return [*own, *(problem for site in sites.values() for problem in _site(site, found))]


def _site(site: Site, found: Mapping[str, str]) -> Iterator[Problem]:
    for pool in site.gpu_pools:
        if "torch" in found and "cuda" not in found:
            hint = "lock torch as PyPI has it, which brings its CUDA runtime"
            yield Problem(
                f"torch {found['torch']} does not fit: it is built without CUDA", f"site {site.name}, pool {pool.type}", hint
            )
        gpu = next(each for each in GPUS if each.name == pool.type)
        machine = {"driver": pool.driver, "compute_capability": ".".join(map(str, gpu.compute_capability))}
        for mismatch in compatibility.check({"cuda": found.get("cuda", ""), **machine}):
            hint = mismatch.hint
            if mismatch.name == "driver":
                hint += ", then lorafleet site export"
            yield Problem(_words(mismatch), f"site {site.name}, pool {pool.type}", hint)


def _words(mismatch: Mismatch) -> str:
    name = mismatch.name.replace("_", " ")
    return f"{name} {mismatch.found} does not fit: {mismatch.needs}"
