"""What a run of the pipelines is given, and how a run checks it: Orca does not enforce required parameters."""

from lorafleet.contracts.image import DIGEST
from lorafleet.contracts.layout import ID
from pipelines.model.expressions import Expression
from pipelines.model.pipeline import Parameter

IMAGE_DIGEST = "image_digest"
RELEASE = "release"
TOKEN = "console_token"  # noqa: S105

RELEASE_VALUE = f"${{parameters.{RELEASE}}}"
TOKEN_VALUE = f"${{parameters.{TOKEN}}}"


def parameters(digest: str, *, required: bool) -> tuple[Parameter, ...]:
    """The three of both pipelines. The token never has a default: it belongs to one release and dies with it."""
    return (
        Parameter(IMAGE_DIGEST, "Image digest", "sha256:… of the trainer's image", digest, required),
        Parameter(RELEASE, "Release", "The console's id of the registered release", "", required),
        Parameter(TOKEN, "Console token", "The console's token of this one release", "", required),
    )


def are_given() -> Expression:
    """All three are there and well-formed. ``matches`` of SpEL compares whole strings, and fails for null."""
    return Expression(
        f"parameters['{IMAGE_DIGEST}'] matches '{DIGEST}'"
        f" && parameters['{RELEASE}'] matches '{ID}'"
        f" && parameters['{TOKEN}'] matches '[!-~]+'"
    )
