"""Why something of an upload is not taken: one line that says what, and which file."""

from lorafleet.console.domain.refusals import Refusal, Unprocessable


class UploadRefused(Unprocessable):
    """A file is not what it should be, or not what it says."""


class HostileArchive(UploadRefused):
    """An archive is built to deceive, or holds what no data set needs: nothing of it is taken."""


class UploadTooLarge(Refusal):
    """A file or the whole upload has more than it may."""

    status = 413


class NoRoom(Refusal):
    """The console's disk is nearly full."""

    status = 507
