"""Aspect-ratio buckets: which shape an image is trained in, and how it is scaled and cropped to that shape."""

from collections.abc import Sequence
from math import log
from typing import NamedTuple

from lorafleet.contracts.problems import ConfigError


class Bucket(NamedTuple):
    """A shape of training images, in pixels."""

    width: int
    height: int


class CropPlan(NamedTuple):
    """Scale an image to ``resize_width`` x ``resize_height``, then cut the bucket's rectangle out at (``left``, ``top``)."""

    resize_width: int
    resize_height: int
    left: int
    top: int


def bucket_table(resolution: int, step: int, max_aspect: float = 2.0) -> tuple[Bucket, ...]:
    """All buckets for a resolution, from tall to wide.

    Sides are multiples of ``step`` and no bucket has more than ``resolution`` squared pixels, so that memory is bounded by the
    square's. For each width the largest height is taken; the longer side is at most ``max_aspect`` times the shorter one.

    Raises:
        ConfigError: not even the square fits.
    """
    side = resolution // step * step
    if side == 0:
        raise ConfigError(f"resolution {resolution} is smaller than bucket_step {step}", hint="lower bucket_step")
    area = resolution * resolution
    buckets = {Bucket(side, side)}
    for width in range(step, area // step + 1, step):
        height = area // width // step * step
        if height and max(width, height) <= max_aspect * min(width, height):
            buckets |= {Bucket(width, height), Bucket(height, width)}
    return tuple(sorted(buckets, key=lambda bucket: (bucket.width / bucket.height, bucket)))


def choose_bucket(width: int, height: int, table: Sequence[Bucket], upscale: bool, step: int) -> Bucket:
    """The bucket whose aspect ratio is nearest to the image's; of equally near ones, the larger.

    Without ``upscale``, an image that does not fill it gets the largest smaller one of that shape, in whole steps (one step at
    least, to which the tiniest images are enlarged).
    """

    def distance(bucket: Bucket) -> tuple[float, int, Bucket]:
        # Rounded, so that equal ratios of different buckets (512:512, 448:448) compare equal.
        return round(abs(log(width * bucket.height / (height * bucket.width))), 9), -bucket.width * bucket.height, bucket

    nearest = min(table, key=distance)
    if upscale or (width >= nearest.width and height >= nearest.height):
        return nearest

    def fitting(side: int) -> int:
        # side * min(width / nearest.width, height / nearest.height), in whole numbers.
        return max(step, min(side * width // nearest.width, side * height // nearest.height) // step * step)

    return Bucket(fitting(nearest.width), fitting(nearest.height))


def crop_plan(width: int, height: int, bucket: Bucket) -> CropPlan:
    """Scale so that the image just covers the bucket, and crop the middle.

    One side becomes the bucket's exactly, the other is rounded to the nearest pixel.
    """
    if bucket.width * height >= bucket.height * width:
        resize_width, resize_height = bucket.width, max(bucket.height, _rounded(height * bucket.width, width))
    else:
        resize_width, resize_height = max(bucket.width, _rounded(width * bucket.height, height)), bucket.height
    return CropPlan(resize_width, resize_height, (resize_width - bucket.width) // 2, (resize_height - bucket.height) // 2)


def _rounded(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)
