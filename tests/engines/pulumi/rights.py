"""What somebody may do in a cluster, asked of its API server, verb by verb and kind by kind."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.engines.kubernetes.cluster import Cluster

_SPECIAL = (
    *(("rbac.authorization.k8s.io", kind, verb) for kind in ("roles", "clusterroles") for verb in ("bind", "escalate")),
    *(("", kind, "impersonate") for kind in ("users", "groups", "serviceaccounts")),
    ("authentication.k8s.io", "userextras/scopes", "impersonate"),
    ("certificates.k8s.io", "signers", "approve"),
    ("certificates.k8s.io", "signers", "sign"),
    ("*", "*", "*"),
)
"""Rights that no list of kinds has: the verbs of RBAC itself, and everything at once."""

_OF_EVERYBODY = frozenset(
    {
        ("authentication.k8s.io", "selfsubjectreviews", "create"),
        ("authorization.k8s.io", "selfsubjectaccessreviews", "create"),
        ("authorization.k8s.io", "selfsubjectrulesreviews", "create"),
    }
)
"""Whoever has logged in may ask who he is and what he may do."""


@dataclass(frozen=True, order=True)
class Right:
    """``namespace`` is empty for the whole cluster."""

    namespace: str
    group: str
    resource: str
    verb: str


@dataclass
class Caller:
    """Somebody at a cluster's API, by a token of his own or in the place of whom a cloud would have let in."""

    cluster: Cluster
    token: str = ""
    user: str = ""
    group: str = ""
    _session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        # An authority that the environment names would come before the cluster's own.
        self._session.trust_env = False
        self._session.verify = str(self.cluster.folder / "ca.crt")
        if self.token:
            self._session.headers["Authorization"] = f"Bearer {self.token}"
        else:
            self._session.cert = (str(self.cluster.folder / "admin.crt"), str(self.cluster.folder / "admin.key"))
        if self.user:
            self._session.headers.update({"Impersonate-User": self.user, "Impersonate-Group": self.group})

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        url = f"https://127.0.0.1:{self.cluster.port}{path}"
        return self._session.request(method, url, json=body, headers=headers, timeout=10)

    def allowed(self, namespace: str) -> set[Right]:
        """Every right that the API server grants in a namespace, of all verbs on all kinds that it knows."""
        with ThreadPoolExecutor(4) as pool:
            rights = [Right(namespace, *each) for each in sorted(set(self._kinds()) - _OF_EVERYBODY)]
            assert len(rights) > 400, "the API server has told of hardly anything"
            return {right for right, granted in zip(rights, pool.map(self._may, rights), strict=True) if granted}

    def _may(self, right: Right) -> bool:
        resource, _, subresource = right.resource.partition("/")
        asked = {"namespace": right.namespace, "verb": right.verb, "group": right.group, "resource": resource}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {**asked, "subresource": subresource}},
        }
        answer = self.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        answer.raise_for_status()
        return bool(answer.json()["status"]["allowed"])

    def _kinds(self) -> Iterator[tuple[str, str, str]]:
        groups = self.ask("GET", "/apis").json()["groups"]
        versions = [version["groupVersion"] for group in groups for version in group["versions"]]
        for path, group in [("/api/v1", ""), *((f"/apis/{version}", version.partition("/")[0]) for version in versions)]:
            for resource in self.ask("GET", path).json()["resources"]:
                # Every verb is tried on what can be listed, whether the API server offers it or not.
                offered = {*resource["verbs"], "deletecollection", "update"} if "list" in resource["verbs"] else resource["verbs"]
                for verb in offered:
                    yield group, resource["name"], verb
        yield from _SPECIAL
