"""LF6: webhook stages."""

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from pipelines.lint.findings import Hit, Rule, error
from pipelines.lint.view import PipelineView, mapping, text

# UserConfiguredUrlRestrictions.java of Orca, defaults of orca.yml's user-configured-url-restrictions.
_REFUSED_ENDINGS = (".spinnaker", ".local", ".localdomain", ".internal", ".localhost")
_RESTRICTIONS = "UserConfiguredUrlRestrictions.java of Orca (spinnaker#7343)"
_HEADERS_OF_SECRETS = ("authorization", "proxy-authorization", "cookie", "x-api-key", "x-spinnaker-token")


def _refused(url: str) -> str:
    """Why Orca would not call it; empty if it would."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return f"'{host}' is an address"
    if "." not in host:
        return f"'{host}' has no dot"
    ending = next((ending for ending in _REFUSED_ENDINGS if host.endswith(ending)), "")
    return f"'{host}' ends with {ending}" if ending else ""


@error(
    "LF601",
    "A host that Orca does not call",
    way_out="use a public DNS name, or loosen user-configured-url-restrictions in orca.yml",
    source=_RESTRICTIONS,
)
def refused_host(pipeline: PipelineView) -> Iterator[Hit]:
    """Addresses, names without a dot, names inside a cluster."""
    for stage in pipeline.of_type("webhook"):
        for key in ("url", "statusEndpoint", "cancelEndpoint"):
            url = text(stage.raw.get(key))
            if url and not url.startswith("${") and (why := _refused(url)):
                yield stage, f"Orca refuses its {key}: {why}"


@error(
    "LF602",
    "A call that anyone on the way can read",
    way_out="call https://",
    source="the header carries a token that may take a release back",
)
def plain_http(pipeline: PipelineView) -> Iterator[Hit]:
    """``http://``."""
    for stage in pipeline.of_type("webhook"):
        if text(stage.raw.get("url")).startswith("http://"):
            yield stage, "it calls http://"


@error(
    "LF603",
    "A poll that knows no end",
    way_out="set statusJsonPath, successStatuses and terminalStatuses",
    source="MonitorWebhookTask.java of Orca: a status in neither list is polled on, a missing path is TERMINAL",
)
def endless_poll(pipeline: PipelineView) -> Iterator[Hit]:
    """Waiting without words for yes and no."""
    for stage in pipeline.of_type("webhook"):
        lacking = [key for key in ("statusJsonPath", "successStatuses", "terminalStatuses") if not stage.raw.get(key)]
        if stage.raw.get("waitForCompletion") is True and lacking:
            yield stage, f"it waits and has no {', '.join(lacking)}"


@error(
    "LF604",
    "A poll without an address",
    way_out="set statusUrlResolution, and statusUrlJsonPath with webhookResponse",
    source="WebhookStage.java of Orca (StageData)",
)
def no_status_url(pipeline: PipelineView) -> Iterator[Hit]:
    """Where the status is asked."""
    for stage in pipeline.of_type("webhook"):
        if stage.raw.get("waitForCompletion") is not True or stage.raw.get("monitorOnly") is True:
            continue
        resolution = stage.raw.get("statusUrlResolution")
        if resolution not in ("getMethod", "locationHeader", "webhookResponse"):
            yield stage, f"its statusUrlResolution is {resolution!r}"
        elif resolution == "webhookResponse" and not stage.raw.get("statusUrlJsonPath"):
            yield stage, "it takes the address from the answer and does not say where it stands there"


@error(
    "LF605",
    "A watch without something to watch",
    way_out="set statusEndpoint and waitForCompletion",
    source="WebhookStage.java of Orca: monitorOnly leaves the first call out",
)
def monitor_nothing(pipeline: PipelineView) -> Iterator[Hit]:
    """``monitorOnly`` alone."""
    for stage in pipeline.of_type("webhook"):
        lacking = not stage.raw.get("statusEndpoint") or stage.raw.get("waitForCompletion") is not True
        if stage.raw.get("monitorOnly") is True and lacking:
            yield stage, "monitorOnly polls statusEndpoint, and only with waitForCompletion"


@error(
    "LF606",
    "A credential in the pipeline",
    way_out="give it as a parameter of the run, and let it die with the run",
    source="pipelines are stored in Front50 and shown to everyone who may read the application",
)
def credential(pipeline: PipelineView) -> Iterator[Hit]:
    """Headers with a value that is no expression."""
    for stage in pipeline.of_type("webhook"):
        for header, value in mapping(stage.raw.get("customHeaders")).items():
            if header.lower() in _HEADERS_OF_SECRETS and "${" not in str(value):
                yield stage, f"the header {header} stands in the pipeline in clear"


@error(
    "LF607",
    "A method that Orca does not call",
    way_out="use GET, HEAD, POST, PUT, PATCH or DELETE",
    source="WebhookStage.java of Orca: Spring's HttpMethod, in capitals",
)
def unknown_method(pipeline: PipelineView) -> Iterator[Hit]:
    """Small letters, and none."""
    for stage in pipeline.of_type("webhook"):
        if stage.raw.get("method") not in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
            yield stage, f"there is no method {stage.raw.get('method')!r}"


RULES: tuple[Rule, ...] = (
    refused_host,
    plain_http,
    endless_poll,
    no_status_url,
    monitor_nothing,
    credential,
    unknown_method,
)
