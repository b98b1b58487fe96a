"""What a run was made with."""

from importlib.metadata import PackageNotFoundError, version

from lorafleet import __version__

_LIBRARIES = ("torch", "diffusers", "transformers", "peft", "safetensors")


def library_versions() -> dict[str, str]:
    """Versions of lorafleet and of the libraries that decide the numbers."""
    found = {"lorafleet": __version__}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
