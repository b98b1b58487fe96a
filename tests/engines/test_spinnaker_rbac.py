"""Spinnaker's own token at a real API server: it may do what the generated pipelines do, and nothing else."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.incluster.program import SITE_EXPORT
from infra.incluster.spinnaker_role import RIGHTS, ROLE
from lorafleet.contracts.image import digest12
from lorafleet.contracts.site import Site
from pipelines.compile import compile_fleet
from tests.engines.delivery import fleet
from tests.engines.kubernetes.cluster import Cluster
from tests.engines.pulumi import cluster_site
from tests.engines.pulumi.engine import Engine
from tests.engines.pulumi.rights import Caller, Right

DIGEST = "sha256:" + "5e" * 32
ELSEWHERE = ("default", "kube-system", "lorafleet-backup", "lorafleet-deployers", "lorafleet-monitoring")


@dataclass(frozen=True)
class Bed:
    """A cluster with the stack ``local-incluster`` in it, what the stack exports, and Spinnaker with its own token."""

    cluster: Cluster
    site: Site
    spinnaker: Caller
    folder: Path

    def kubectl(self, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """As Clouddriver calls it: with a kubeconfig of Spinnaker's."""
        given = ["kubectl", f"--kubeconfig={self.folder / 'spinnaker.kubeconfig'}", *words]
        return subprocess.run(given, input=stdin, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("spinnaker")
    with cluster_site.running("home", folder / "home") as cluster:
        stack = Engine(folder / "engine", {"KUBECONFIG": str(cluster.kubeconfig)}).add_stack("local-incluster")
        stack.change_config(keda={"chart": str(cluster_site.keda_chart(folder))})
        made = stack.up()
        assert made.code == 0, made.text
        site = Site.model_validate(stack.outputs()[SITE_EXPORT])
        namespace, account = site.identities.spinnaker.split(":")[2:]
        token = cluster.kubectl("create", "token", account, "-n", namespace, "--duration=20m").strip()
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        (folder / "spinnaker.kubeconfig").write_text(yaml.safe_dump(config))
        yield Bed(cluster, site, Caller(cluster, token=token), folder)


def test_it_may_exactly_what_is_listed(bed: Bed) -> None:
    namespace = bed.site.namespace
    listed = {Right(namespace, each.group, each.resource, verb) for each in RIGHTS for verb in each.verbs}
    assert bed.spinnaker.allowed(namespace) == listed


@pytest.mark.parametrize("namespace", [*ELSEWHERE, ""], ids=[*ELSEWHERE, "the whole cluster"])
def test_it_may_nothing_elsewhere(bed: Bed, namespace: str) -> None:
    assert not bed.spinnaker.allowed(namespace)


_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_ROLE_REF = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
_POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "own"},
    "spec": {"containers": [{"name": "own", "image": "own"}]},
}
_ALL = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
_TOKEN = "kubernetes.io/service-account-token"
_SUBJECT = {"kind": "ServiceAccount", "name": "spinnaker", "namespace": "lorafleet-deployers"}

ATTEMPTS: Mapping[str, tuple[str, str, dict[str, Any] | None]] = {
    "read the enrolment credential": ("GET", "/api/v1/namespaces/{lora}/secrets/lorafleet-enrolment", None),
    "list secrets": ("GET", "/api/v1/namespaces/{lora}/secrets", None),
    "list secrets of all namespaces": ("GET", "/api/v1/secrets", None),
    "make a secret with an account's token": (
        "POST",
        "/api/v1/namespaces/{lora}/secrets",
        {
            "metadata": {"name": "t", "annotations": {"kubernetes.io/service-account.name": "trainer"}},
            "type": "kubernetes.io/service-account-token",
        },
    ),
    "run a command in a pod": ("POST", "/api/v1/namespaces/{lora}/pods/any/exec?command=sh&stdout=true", None),
    "attach to a pod": ("POST", "/api/v1/namespaces/{lora}/pods/any/attach?stdout=true", None),
    "forward a port of a pod": ("POST", "/api/v1/namespaces/{lora}/pods/any/portforward", None),
    "read a pod's log": ("GET", "/api/v1/namespaces/{lora}/pods/any/log", None),
    "make a pod by itself": ("POST", "/api/v1/namespaces/{lora}/pods", _POD),
    "take a token of the trainer's": ("POST", "/api/v1/namespaces/{lora}/serviceaccounts/trainer/token", {"spec": {}}),
    "deploy beside Prometheus": (
        "POST",
        "/apis/apps/v1/namespaces/lorafleet-monitoring/deployments",
        {"metadata": {"name": "own"}},
    ),
    "delete the namespace": ("DELETE", "/api/v1/namespaces/{lora}", None),
    "delete the shared files": ("DELETE", "/api/v1/namespaces/{lora}/persistentvolumeclaims/shared", None),
    "take the walls down": ("DELETE", "/apis/networking.k8s.io/v1/namespaces/{lora}/networkpolicies/deny", None),
    "raise the quota": ("DELETE", "/api/v1/namespaces/{lora}/resourcequotas/room", None),
    "widen its own role": ("PUT", f"{_RBAC}/namespaces/{{lora}}/roles/{ROLE}", {"metadata": {"name": ROLE}, "rules": [_ALL]}),
    "make a role": ("POST", f"{_RBAC}/namespaces/{{lora}}/roles", {"metadata": {"name": "own"}, "rules": [_ALL]}),
    "bind itself to everything": (
        "POST",
        f"{_RBAC}/clusterrolebindings",
        {"metadata": {"name": "own"}, "roleRef": _ROLE_REF, "subjects": [_SUBJECT]},
    ),
    "bind itself to everything here": (
        "POST",
        f"{_RBAC}/namespaces/{{lora}}/rolebindings",
        {"metadata": {"name": "own"}, "roleRef": _ROLE_REF, "subjects": [_SUBJECT]},
    ),
    "reach a node": ("GET", "/api/v1/nodes/home-gpu/proxy/pods", None),
    "let in whom it wants": (
        "POST",
        "/apis/certificates.k8s.io/v1/certificatesigningrequests",
        {
            "metadata": {"name": "own"},
            "spec": {"request": "", "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]},
        },
    ),
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_it_is_refused(bed: Bed, attempt: str) -> None:
    method, path, body = ATTEMPTS[attempt]
    answer = bed.spinnaker.ask(method, path.format(lora=bed.site.namespace), body)
    assert answer.status_code == 403, answer.text
    assert bed.site.identities.spinnaker in answer.json()["message"]


def test_it_cannot_be_another(bed: Bed) -> None:
    answer = bed.spinnaker.ask(
        "GET", "/api/v1/secrets", headers={"Impersonate-User": "admin", "Impersonate-Group": "system:masters"}
    )
    assert answer.status_code == 403


def test_it_cannot_make_pods_that_take_what_is_not_theirs(bed: Bed) -> None:
    """Who makes Deployments makes pods: what these may is bounded by the namespace, not by the role."""
    namespace = bed.site.namespace
    template = {"metadata": {"labels": {"app": "own"}}, "spec": {**_POD["spec"], "hostPID": True}}
    spec = {"selector": {"matchLabels": {"app": "own"}}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "own"}, "spec": spec}
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    assert bed.spinnaker.ask("POST", path, body).status_code == 201
    try:
        why = "violates PodSecurity"
        words = ("wait", "--for=jsonpath={.status.conditions[?(@.type=='ReplicaFailure')].status}=True", "deployment/own")
        bed.cluster.kubectl(*words, "-n", namespace, "--timeout=30s")
        assert why in bed.cluster.kubectl("get", "deployment", "own", "-n", namespace, "-o", "jsonpath={.status.conditions}")
    finally:
        assert bed.spinnaker.ask("DELETE", f"{path}/own").status_code == 200


def _manifests(site: Site) -> list[dict[str, Any]]:
    """Everything that the generated pipelines of a fleet put into a site, for one image."""
    written = fleet.spec("lora-training", "https://fleet.example.org").model_dump(mode="json", by_alias=True, exclude_none=True)
    written |= {"sites": [site.name], "home": site.name}
    written["release"]["clusters"] = [{"site": site.name, "targetSize": 1, "strategy": "canary", "share": "10%"}]
    delivery = compile_fleet(type(fleet.spec("a", "https://fleet.example.org")).model_validate(written), {site.name: site})
    found = []
    for pipeline in delivery.pipelines:
        text = json.dumps(pipeline.to_json())
        text = text.replace("${parameters.image_digest.substring(7,19)}", digest12(DIGEST)).replace(
            "${parameters.image_digest}", DIGEST
        )
        for stage in json.loads(text)["stages"]:
            found += [*stage.get("manifests", ()), *([stage["manifest"]] if "manifest" in stage else ())]
    return found


def test_it_applies_every_generated_manifest_and_removes_it(bed: Bed) -> None:
    manifests = _manifests(bed.site)
    assert {each["kind"] for each in manifests} == {"Job", "Deployment", "ScaledObject"}
    assert "${" not in json.dumps(manifests)
    namespace = bed.site.namespace
    text = yaml.safe_dump_all(manifests)
    for words in (("apply", "--dry-run=server", "-f", "-"), ("apply", "-f", "-"), ("apply", "-f", "-")):
        done = bed.kubectl(*words, stdin=text)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
    labels = f"lorafleet/release={digest12(DIGEST)}"
    # Admitted in deed: pods are made, within the quota and the pod security of the namespace.
    for kind in ("deployment", "job"):
        condition = {"deployment": "Available", "job": "Complete"}[kind]
        bed.cluster.kubectl("wait", f"--for=condition={condition}", kind, "-l", labels, "-n", namespace, "--timeout=60s")
    for kind in ("deployment", "scaledobject.keda.sh", "job", "pod"):
        seen = bed.kubectl("get", kind, "-l", labels, "-n", namespace, "-o", "name")
        assert seen.returncode == 0, seen.stderr
        assert seen.stdout.strip(), kind
    for kind in ("deployment", "scaledobject.keda.sh", "job"):
        gone = bed.kubectl("delete", kind, "-l", labels, "-n", namespace, "--timeout=60s")
        assert gone.returncode == 0, gone.stderr
        assert "deleted" in gone.stdout
