"""Augmentations: each turns an image into one of a fixed number of variants, so that every variant can be encoded once and cached."""

from collections.abc import Callable, Sequence
from typing import Protocol

from PIL import Image, ImageOps

from trainer.registry import Registry


class Augmentation(Protocol):
    """``variants`` counts what :meth:`apply` can give; variant 0 is the image itself. ``version`` changes when the result does."""

    variants: int
    version: str

    def apply(self, image: Image.Image, variant: int) -> Image.Image:
        """The image's ``variant``, of the same size."""
        ...


AUGMENTATIONS: Registry[Callable[[], Augmentation]] = Registry("augmentations", {"flip": "trainer.augmentations:Flip"})


class Flip:
    """The mirrored image."""

    variants = 2
    version = "1"

    def apply(self, image: Image.Image, variant: int) -> Image.Image:
        """See :class:`Augmentation`."""
        return ImageOps.mirror(image) if variant else image


class Augmenter:
    """Several augmentations as one, whose variants are all their combinations."""

    def __init__(self, names: Sequence[str]) -> None:
        self._parts = [AUGMENTATIONS.get(name)() for name in names]
        self.version = ",".join(f"{name}:{part.version}" for name, part in zip(names, self._parts, strict=True))

    @property
    def variants(self) -> int:
        """How many variants there are; 1 without augmentations."""
        count = 1
        for part in self._parts:
            count *= part.variants
        return count

    def apply(self, image: Image.Image, variant: int) -> Image.Image:
        """The image's ``variant`` (0 is the image itself)."""
        for part in self._parts:
            variant, own = divmod(variant, part.variants)
            image = part.apply(image, own)
        return image
