"""What is built: a target of the Dockerfile on a base, both pinned."""

import shutil
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from lorafleet import __version__
from lorafleet.contracts.image import ImageReference, parse_image
from lorafleet.contracts.problems import NoInputError, UsageError


class Target(StrEnum):
    """A stage of the Dockerfile that is an image."""

    TRAINER = "trainer"
    CONSOLE = "console"


@dataclass(frozen=True)
class Build:
    """One build.

    ``ca`` is a file of certificates that the package index is trusted by during the build, nowhere else. ``anew``: nothing that an
    earlier build left is used, so that the distribution's packages are the newest.
    """

    context: Path
    target: Target
    base: ImageReference
    image: ImageReference
    revision: str
    package_index: str | None = None
    ca: Path | None = None
    anew: bool = False

    @property
    def arguments(self) -> dict[str, str]:
        """The Dockerfile's build arguments."""
        index = {"PACKAGE_INDEX": self.package_index} if self.package_index else {}
        return {"BASE_IMAGE": str(self.base), "VERSION": __version__, "REVISION": self.revision, **index}


def pinned_base(text: str) -> ImageReference:
    """The image that is built on.

    Raises:
        UsageError: it is no image, or is named by a tag, which would give the same source another image tomorrow.
    """
    try:
        base = parse_image(text)
    except ValueError as error:
        raise UsageError(f"--base: {error}") from None
    if base.mutable:
        registry = "" if base.registry else "docker.io/"
        show = f"'skopeo inspect --raw docker://{registry}{base} | sha256sum' shows it"
        raise UsageError(
            f"--base: '{base}' names no digest, and a tag may be another image tomorrow", hint=f"add @sha256:…; {show}"
        )
    return base


def destination(text: str, tag: str) -> ImageReference:
    """Where the image is pushed to.

    Raises:
        UsageError: the text is no ``registry/repository``.
    """
    try:
        image = parse_image(f"{text}:{tag}")
    except ValueError:
        image = None
    if image is None or not image.registry:
        raise UsageError(
            f"--push: '{text}' is no registry with a repository",
            hint="write it as registry.example.org/team/lora-trainer, and the tag with --tag",
        )
    return image


def image_tag(text: str) -> str:
    """The tag that the image gets.

    Raises:
        UsageError: it is none.
    """
    try:
        parse_image(f"image:{text}")
    except ValueError:
        hint = "letters, digits, '.', '_' and '-', 128 at most, such as v1.2.0"
        raise UsageError(f"--tag: '{text[:80]}' is no tag", hint=hint) from None
    return text


def package_index_of(text: str) -> str:
    """The index of packages.

    Raises:
        UsageError: it is no address, or one with a user or password, which whoever has the image could read in its history.
    """
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError("--package-index: this is no address", hint="write it as https://pypi.org/simple")
    if "@" in parts.netloc:
        raise UsageError(
            "--package-index: a user or password in the address would stand in the image's history",
            hint="name an index that wants none, such as a proxy of it on this machine",
        )
    return text


def source_folder(context: Path) -> Path:
    """The checkout.

    Raises:
        NoInputError: it has no Dockerfile.
    """
    if not (context / "Dockerfile").is_file():
        raise NoInputError(
            "there is no Dockerfile here",
            where=str(context),
            hint="run this in a checkout of the project, or name one: --context DIR",
        )
    return context


def revision(context: Path) -> str:
    """The commit that the source is at, with ``-dirty`` where files differ from it; ``unknown`` outside git."""
    git = shutil.which("git")
    if git is None:
        return "unknown"
    words = ("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")
    done = subprocess.run([git, "-C", str(context), *words], capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else "unknown"
