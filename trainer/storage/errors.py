"""What a store's refusal means, in one line that names the place and the likely cause and never a secret.

obstore tells most refusals only by text; the answer's body (with key ids and signed strings) is in it, so none of that text is passed on.
"""

import errno
import re
from dataclasses import dataclass

from obstore.exceptions import PermissionDeniedError, PreconditionError, UnauthenticatedError

from lorafleet.contracts.problems import Problem, StorageError

_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_CREDENTIALS = "set the store's keys in the environment (AWS_*, GOOGLE_*, AZURE_*; see docs/storage.md)"


@dataclass(frozen=True)
class Cause:
    """Why a store refused. ``transient`` ones may pass when tried again; ``missing`` and ``damaged`` are about the object alone."""

    what: str
    hint: str = ""
    transient: bool = False
    missing: bool = False
    damaged: bool = False


class StoreError(StorageError):
    """A store refused. ``cause`` says why."""

    def __init__(self, cause: Cause, where: str) -> None:
        self.cause = cause
        super().__init__(Problem(cause.what, where, cause.hint))


_NO_BUCKET = Cause("there is no such bucket or container", "check its name, the region and the endpoint")
_WRONG_KEYS = Cause("the credentials are wrong", "check the access key and its secret in the environment")
_DENIED = Cause("access denied", "check the credentials and what they may do there")
_NO_KEYS = Cause("no credentials were found", _CREDENTIALS)
_UNREACHABLE = Cause("the endpoint cannot be reached", "check the network, the endpoint and the proxy", transient=True)
_BROKE_OFF = Cause("the connection broke off or fell silent", "check the network", transient=True)
_CERTIFICATE = Cause("the endpoint's TLS certificate is not trusted", "add its authority to the machine's trusted ones")
_PLAIN_HTTP = Cause("plain http is only spoken to this machine", "use https, or set AWS_ALLOW_HTTP=true for a network you trust")
_REGION = Cause("the bucket is in another region", "set AWS_REGION to the bucket's region")
_CLOCK = Cause("this machine's clock is wrong", "set the clock")
_NO_OBJECT = Cause("there is no such object", "check the URL", missing=True)
_CHANGED = Cause("the object changed while it was read", "run again when nobody writes there")
_DAMAGED_ON_THE_WAY = Cause("the bytes were damaged on the way", transient=True)

_BY_CODE = {
    "NoSuchBucket": _NO_BUCKET,
    "ContainerNotFound": _NO_BUCKET,
    "InvalidAccessKeyId": _WRONG_KEYS,
    "SignatureDoesNotMatch": _WRONG_KEYS,
    "AuthenticationFailed": _WRONG_KEYS,
    "ExpiredToken": Cause("the credentials have expired", "get new ones"),
    "InvalidToken": _WRONG_KEYS,
    # versitygw's own name for a key that it does not know.
    "XAdminUserNotFound": _WRONG_KEYS,
    "AccessDenied": _DENIED,
    "AuthorizationFailure": _DENIED,
    "RequestTimeTooSkewed": _CLOCK,
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "XAmzContentSHA256Mismatch": _DAMAGED_ON_THE_WAY,
    "BadDigest": _DAMAGED_ON_THE_WAY,
    "NoSuchKey": _NO_OBJECT,
    "BlobNotFound": _NO_OBJECT,
    "QuotaExceeded": Cause("the store's quota is used up", "free some space there"),
}
# First match wins. The credential services of the clouds come before the connection itself: not reaching them means having no keys.
_BY_TEXT = (
    (r"latest/api/token|latest/meta-data|computemetadata|metadata/identity|token ?request", _NO_KEYS),
    (r"missingaccount|missing ?(access|secret)", _NO_KEYS),
    (r"url scheme is not allowed|builder error", _PLAIN_HTTP),
    (r"certificate|unknownissuer", _CERTIFICATE),
    (r"kind: connect\b|connecterror|dns error|connection refused", _UNREACHABLE),
    (r"storage full|no space left|os error 28", Cause("the disk is full", "free some space")),
    (r"timedout|timed out|connection reset|connectionreset|incompletemessage|unexpectedeof|broken pipe|brokenpipe", _BROKE_OFF),
    (r"kind: (body|decode|request|interrupted|timeout)\b", _BROKE_OFF),
)  # fmt: skip


def explain(error: Exception, where: str) -> StoreError:
    """Translate an exception of obstore, or of the local disk, about the place ``where``."""
    return StoreError(_cause(error), where)


def _cause(error: Exception) -> Cause:
    # obstore raises FileNotFoundError too, but without a number.
    if isinstance(error, OSError) and error.errno is not None:
        return _of_disk(error)
    text = str(error)
    code = _CODE.search(text)
    if code and code.group(1) in _BY_CODE:
        return _BY_CODE[code.group(1)]
    if isinstance(error, FileNotFoundError) and code is None:
        return _NO_OBJECT
    if isinstance(error, PreconditionError):
        return _CHANGED
    lowered = text.lower()
    # Before the permissions: a metadata service that says 403 means that this machine has no keys.
    found = next((cause for pattern, cause in _BY_TEXT if re.search(pattern, lowered)), None)
    if found is _NO_KEYS:
        return found
    status = int(match.group(1)) if (match := _STATUS.search(text)) else 0
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or status in (401, 403):
        return _DENIED
    if status in (301, 307):
        return _REGION
    if status == 429 or status >= 500:
        return Cause(f"the store is overloaded or broken ({status})", "try again later", transient=True)
    if found is not None:
        return found
    said = code.group(1) if code else f"status {status}" if status else type(error).__name__
    return Cause(f"the store refused ({said})", transient=not status)


def _of_disk(error: OSError) -> Cause:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Cause("the disk is full", "free some space")
    return Cause((error.strerror or str(error)).lower())
