import pytest
from obstore.exceptions import GenericError, PermissionDeniedError, PreconditionError, UnauthenticatedError

from trainer.storage.errors import explain

# Texts as obstore 0.12 gives them, cut; the bodies of the three clouds, with what must not be shown.
_REFUSED = """Generic S3 error: Error performing HEAD http://127.0.0.1:9/b/zz in 109ms, after 1 retries - HTTP error: error sending request

Debug source:
Generic { store: "S3", source: RetryError( RetryErrorImpl { inner: Http( HttpError { kind: Connect, source: reqwest::Error {
ConnectError( "tcp connect error", 127.0.0.1:9, Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }"""
_NO_SUCH_HOST = _REFUSED.replace("tcp connect error", "dns error")
_METADATA_REFUSES = (
    "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 2ms"
    " - Server returned non-2xx status code: 403 Forbidden"
)
_GOOGLE_NO_KEYS = (
    "Generic GCS error: Error performing token request: Error performing GET http://169.254.169.254/computeMetadata/v1/instance"
)
_AZURE_NO_ACCOUNT = "Generic MicrosoftAzure error: Account must be specified\n\nDebug source:\nGeneric { source: MissingAccount }"
_XML = (
    "Error performing PUT https://h/b - Server returned non-2xx status code: {status} X: <?xml?><Error><Code>{code}</Code>"
    "<AWSAccessKeyId>AKIAKEY</AWSAccessKeyId><StringToSign>hunter2</StringToSign></Error>"
)
_TIMED_OUT = (
    "Generic S3 error: HTTP error: request or response body error\n\nDebug source:\nreqwest::Error { kind: Body, source: TimedOut }"
)
_FULL = "Generic LocalFileSystem error: Unable to copy data to file: No space left on device (os error 28)"
_CERTIFICATE = "HttpError { kind: Connect, source: ConnectError( Custom { error: InvalidCertificate(UnknownIssuer) } )"


def xml(code: str, status: int = 403) -> str:
    return _XML.format(code=code, status=status)


@pytest.mark.parametrize(
    ("error", "says", "transient"),
    [
        (GenericError(_REFUSED), "the endpoint cannot be reached", True),
        (GenericError(_NO_SUCH_HOST), "the endpoint cannot be reached", True),
        (GenericError(_METADATA_REFUSES), "no credentials were found", False),
        (GenericError(_GOOGLE_NO_KEYS), "no credentials were found", False),
        (GenericError(_AZURE_NO_ACCOUNT), "no credentials were found", False),
        (GenericError(_TIMED_OUT), "broke off or fell silent", True),
        (GenericError(_FULL), "the disk is full", False),
        (GenericError(_CERTIFICATE), "TLS certificate is not trusted", False),
        (GenericError(xml("NoSuchBucket", 404)), "no such bucket", False),
        (GenericError(xml("SlowDown", 503)), r"overloaded or broken \(503\)", True),
        (GenericError(xml("EntityTooLarge", 400)), r"refused \(EntityTooLarge\)", False),
        (FileNotFoundError(xml("ContainerNotFound", 404)), "no such bucket or container", False),
        (FileNotFoundError("Object at location zz not found: status code: 404 Not Found: "), "no such object", False),
        (FileNotFoundError(2, "No such file or directory"), "no such file or directory", False),
        (OSError(28, "No space left on device"), "the disk is full", False),
        (PermissionError(13, "Permission denied"), "permission denied", False),
        (PermissionDeniedError("status code: 403 Forbidden: "), "access denied", False),
        (PermissionDeniedError(xml("SignatureDoesNotMatch")), "the credentials are wrong", False),
        (PermissionDeniedError(xml("RequestTimeTooSkewed")), "clock is wrong", False),
        (GenericError(xml("PermanentRedirect", 301)), "in another region", False),
        (UnauthenticatedError("status code: 401 Unauthorized"), "access denied", False),
        (PreconditionError("status code: 412 Precondition Failed"), "changed while it was read", False),
        (ValueError("something new"), r"refused \(ValueError\)", True),
    ],
)
def test_each_refusal_has_its_cause(error: Exception, says: str, transient: bool) -> None:
    found = explain(error, "s3://bucket/a")
    line = str(found)
    assert line.startswith("s3://bucket/a: ")
    assert says.replace("\\", "") in line
    assert found.cause.transient is transient
    assert "\n" not in line
    for secret in ("AKIAKEY", "hunter2", "127.0.0.1", "Error {"):
        assert secret not in line
