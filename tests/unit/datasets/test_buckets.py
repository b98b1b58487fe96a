from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.contracts.problems import ConfigError
from lorafleet.datasets.buckets import Bucket, bucket_table, choose_bucket, crop_plan

SIDES = st.integers(1, 6000)
STEPS = st.sampled_from([8, 16, 64])
RESOLUTIONS = st.integers(64, 1100)


@given(RESOLUTIONS, STEPS, st.sampled_from([1.0, 1.5, 2.0, 4.0]))
def test_buckets_bound_memory_and_keep_to_the_step(resolution: int, step: int, max_aspect: float) -> None:
    table = bucket_table(resolution, step, max_aspect)
    assert Bucket(resolution // step * step, resolution // step * step) in table
    for width, height in table:
        assert width % step == height % step == 0
        assert 0 < width * height <= resolution * resolution
        assert max(width, height) <= max_aspect * min(width, height)
        assert Bucket(height, width) in table


def test_the_table_of_sd15() -> None:
    assert [f"{width}x{height}" for width, height in bucket_table(512, 64)] == [
        "384x640", "448x576", "512x512", "576x448", "640x384",
    ]  # fmt: skip


def test_a_step_above_the_resolution_is_refused() -> None:
    with pytest.raises(ConfigError, match="resolution 32 is smaller than bucket_step 64"):
        bucket_table(32, 64)


@given(SIDES, SIDES, RESOLUTIONS, STEPS)
def test_the_nearest_aspect_ratio_wins(width: int, height: int, resolution: int, step: int) -> None:
    table = bucket_table(resolution, step)
    chosen = choose_bucket(width, height, table, upscale=True, step=step)
    assert chosen == choose_bucket(width, height, table[::-1], upscale=True, step=step)

    def mismatch(bucket: Bucket) -> float:
        ratio = (width * bucket.height) / (height * bucket.width)
        return max(ratio, 1 / ratio)

    best = min(map(mismatch, table))
    assert isclose(mismatch(chosen), best, rel_tol=1e-8)


@given(SIDES, SIDES, RESOLUTIONS, STEPS)
def test_without_upscale_nothing_but_the_tiniest_is_enlarged(width: int, height: int, resolution: int, step: int) -> None:
    table = bucket_table(resolution, step)
    bucket = choose_bucket(width, height, table, upscale=False, step=step)
    assert bucket.width % step == bucket.height % step == 0
    assert bucket.width * bucket.height <= resolution * resolution
    assert bucket.width <= max(width, step)
    assert bucket.height <= max(height, step)
    if width >= 2048 and height >= 2048:
        assert bucket in table


def test_without_upscale_a_small_image_keeps_its_shape() -> None:
    assert choose_bucket(300, 400, bucket_table(512, 64), upscale=False, step=64) == (256, 384)
    assert choose_bucket(500, 500, bucket_table(512, 64), upscale=False, step=64) == (448, 448)


@given(SIDES, SIDES, SIDES, SIDES)
def test_the_crop_lies_inside_a_cover_that_keeps_the_shape(width: int, height: int, bucket_width: int, bucket_height: int) -> None:
    bucket = Bucket(bucket_width, bucket_height)
    plan = crop_plan(width, height, bucket)
    assert plan == crop_plan(width, height, bucket)
    assert plan.resize_width == bucket.width or plan.resize_height == bucket.height
    assert 0 <= plan.left <= plan.resize_width - bucket.width
    assert 0 <= plan.top <= plan.resize_height - bucket.height
    # Centred to the pixel.
    assert plan.resize_width - bucket.width - 2 * plan.left in (0, 1)
    assert plan.resize_height - bucket.height - 2 * plan.top in (0, 1)
    scale = max(bucket.width / width, bucket.height / height)
    assert abs(plan.resize_width - width * scale) <= 0.5 + 1e-6
    assert abs(plan.resize_height - height * scale) <= 0.5 + 1e-6
