import errno
import os

import pytest

from lorafleet.console.objects.errors import ObjectMissing, StoreError, StoreFull, StoreUnreachable, of_disk


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.ENOENT, ObjectMissing),
        (errno.ELOOP, ObjectMissing),
        (errno.EIO, StoreUnreachable),
        (errno.ESTALE, StoreUnreachable),
        (errno.EACCES, StoreError),
    ],
)
def test_what_the_disk_says(number: int, kind: type[StoreError]) -> None:
    error = of_disk(OSError(number, os.strerror(number), "/secret/path"), "home/jobs/a")
    assert type(error) is kind
    assert str(error).startswith("home/jobs/a: ")
    assert "/secret/path" not in str(error)
