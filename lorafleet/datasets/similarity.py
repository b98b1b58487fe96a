"""Perceptual hashes: finding pictures that are the same but for size, compression or a small edit."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Copies that were scaled, compressed again or cropped by 2 % stay within this many of 64 bits; other photographs are about 30 apart.
NEAR = 5
_BLOCK = 512


def dhash(image: Image.Image) -> int:
    """The 64-bit difference hash of an RGB picture: whether each of 9 x 8 areas is brighter than its right neighbour.

    Source: Neal Krawetz, "Kind of Like That" (2013). A picture without structure has hash 0.
    """
    small = np.asarray(image.resize((9, 8), Image.Resampling.BOX).convert("L"), dtype=np.int16)
    bits = (small[:, :-1] > small[:, 1:]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def similar_groups(hashes: Sequence[int], distance: int = NEAR) -> list[list[int]]:
    """Positions of hashes that lie within ``distance`` bits of each other, in groups of two or more, in order.

    A group is closed: who is near one of its members belongs to it. Hash 0 says nothing and is near to none.
    """
    unique, inverse = np.unique(np.array(hashes, dtype=np.uint64), return_inverse=True)
    leader = list(range(len(unique)))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    for first, second in _near_pairs(unique, distance):
        one, other = sorted((find(first), find(second)))
        leader[other] = one
    groups: dict[int, list[int]] = {}
    for position, index in enumerate(inverse.tolist()):
        if unique[index] != 0:
            groups.setdefault(find(index), []).append(position)
    return sorted(group for group in groups.values() if len(group) > 1)


def _near_pairs(unique: NDArray[np.uint64], distance: int) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(unique), _BLOCK):
        block = unique[start : start + _BLOCK]
        near = np.bitwise_count(block[:, None] ^ unique[None, start:]) <= distance
        rows, columns = np.nonzero(np.triu(near, k=1))
        pairs += [(start + int(row), start + int(column)) for row, column in zip(rows, columns, strict=True)]
    return [(first, second) for first, second in pairs if unique[first] != 0 and unique[second] != 0]
