from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lorafleet.datasets.similarity import NEAR, dhash, similar_groups


def photo(seed: int, side: int = 96) -> Image.Image:
    """Something with the soft structure of a photograph."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


def test_a_scaled_copy_is_near_and_another_picture_far() -> None:
    original = dhash(photo(1))
    copy = dhash(photo(1).resize((50, 60), Image.Resampling.LANCZOS))
    assert (original ^ copy).bit_count() <= NEAR
    assert (original ^ dhash(photo(2))).bit_count() > 3 * NEAR


def test_the_bits_say_where_it_gets_darker() -> None:
    falling = Image.linear_gradient("L").transpose(Image.Transpose.ROTATE_270).convert("RGB")
    assert {dhash(falling), dhash(falling.transpose(Image.Transpose.FLIP_LEFT_RIGHT))} == {0, 2**64 - 1}


def connected(hashes: Sequence[int], distance: int) -> list[list[int]]:
    todo = {position for position, value in enumerate(hashes) if value}
    groups = []
    while todo:
        group, edge = set(), [min(todo)]
        while edge:
            here = edge.pop()
            if here in group:
                continue
            group.add(here)
            edge += [other for other in todo if (hashes[here] ^ hashes[other]).bit_count() <= distance]
        todo -= group
        if len(group) > 1:
            groups.append(sorted(group))
    return sorted(groups)


@given(st.lists(st.integers(0, 255) | st.integers(2**64 - 256, 2**64 - 1), max_size=40), st.integers(0, 3))
def test_groups_are_the_connected_pictures(hashes: list[int], distance: int) -> None:
    assert similar_groups(hashes, distance) == connected(hashes, distance)


def test_groups_are_found_across_blocks() -> None:
    hashes = [int(value) for value in np.random.default_rng(0).integers(1, 2**63, 1500, dtype=np.uint64)]
    assert similar_groups([*hashes, hashes[3] ^ 0b101, hashes[1200]]) == [[3, 1500], [1200, 1501]]
