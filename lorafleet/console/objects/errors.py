"""Why a store did not do what it was asked. No message repeats what a server said: that text may hold keys and signed URLs."""

import errno

from lorafleet.contracts.problems import StorageError


class StoreError(StorageError):
    """A store refused."""


class StoreFull(StoreError):
    """There is no room for more."""


class StoreUnreachable(StoreError):
    """A store does not answer, so that nothing is known about what it holds."""


class ObjectMissing(StoreError):
    """There is no such object."""


class ObjectDamaged(StoreError):
    """The bytes are not those that their SHA-256 says."""


def of_disk(error: OSError, where: str) -> StoreError:
    """What a refusal of the local disk means."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull("the disk is full", where=where, hint="free some space")
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP):
        return ObjectMissing("there is no such object", where=where)
    if error.errno in (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV):
        return StoreUnreachable("the folder cannot be reached", where=where, hint="check the disk or the mount")
    return StoreError((error.strerror or "the disk refused").lower(), where=where)
