"""How much one upload may be."""

from dataclasses import dataclass

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True)
class Limits:
    """All sizes are bytes, and are counted from what really arrives, never from what a header says.

    ``ratio`` is how many times larger than its compressed form a part of an archive may be once it has more than a MiB. ``depth`` counts
    the folders of a name, ``rows`` the lines and the objects of a text file. ``min_free_bytes`` of the disk are left to others.
    """

    upload_bytes: int = 2 * GIB
    image_bytes: int = 64 * MIB
    text_bytes: int = 64 * MIB
    files: int = 10_000
    rows: int = 2_000_000
    ratio: int = 100
    depth: int = 16
    pixels: int = 40_000_000
    caption_bytes: int = 16 * KIB
    min_free_bytes: int = GIB
