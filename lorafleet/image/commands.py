"""``lorafleet image``: the image from its source to every registry, and what proves that it is the one."""

from typing import ClassVar

import typer

from lorafleet.lazy_commands import LazyCommand, LazyGroup


class Commands(LazyGroup):
    """The image's commands, in the order of a release."""

    table: ClassVar = {
        "build": LazyCommand("lorafleet.image.build_command:build", "Build the image with docker or buildah.", "image"),
        "compat": LazyCommand(
            "lorafleet.image.compat_command:compat", "Check that the lock's versions and the sites fit.", "image"
        ),
        "keygen": LazyCommand("lorafleet.image.keygen_command:keygen", "Make a pair of keys to sign with.", "image"),
        "sign": LazyCommand("lorafleet.image.sign_command:sign", "Sign an image, as cosign does.", "image"),
        "sbom": LazyCommand("lorafleet.image.sbom_command:sbom", "List what is in the image, and attach the list.", "image"),
        "mirror": LazyCommand("lorafleet.image.mirror_command:mirror", "Copy the image to the sites' registries.", "image"),
        "verify": LazyCommand("lorafleet.image.verify_command:verify", "Check an image's digest, signature and SBOM.", "image"),
        "release": LazyCommand("lorafleet.image.release_command:release", "Release an image through Spinnaker.", "image"),
    }


app = typer.Typer(name="image", cls=Commands, rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def image() -> None:
    """Build, copy, sign, verify and release the trainer's image."""
