"""The images that are named on a command line."""

from lorafleet.contracts.image import ImageReference, parse_image
from lorafleet.contracts.problems import UsageError


def pinned(text: str) -> ImageReference:
    """An image that is named by its digest.

    Raises:
        UsageError: the text is no image, names no registry, or names a tag, which may be another image tomorrow.
    """
    try:
        image = parse_image(text)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if image.mutable:
        what = f"'{image}' names a tag, which may be another image tomorrow" if image.tag else f"'{image}' names no digest"
        raise UsageError(what, hint="name its digest: registry/repository@sha256:…, which lorafleet image build prints")
    if not image.registry:
        raise UsageError(f"'{image}' names no registry", hint="write it as registry/repository@sha256:…")
    return image if not image.tag else image.pinned(image.digest)
