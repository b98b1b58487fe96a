"""The unchanged in-cluster program with the repository's own stack files, on Pulumi's real engine and its real Kubernetes provider,
against a real API server. What a simulated cluster lacks (file systems, a cloud's load balancer, KEDA's chart) stands in."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.contract import EXPORT, CloudOutputs
from infra.incluster.program import SITE_EXPORT
from infra.incluster.spinnaker_role import RIGHTS, ROLE
from lorafleet.contracts.site import Site
from tests.engines.kubernetes.cluster import Cluster
from tests.engines.pulumi import cluster_site
from tests.engines.pulumi.engine import POLICIES, Engine, Stack
from tests.engines.pulumi.rights import Caller, Right

ENROLMENT = "the-enrolment-credential-of-this-test"
_COMES_AND_GOES = {"Event", "EndpointSlice", "Endpoints", "Lease", "PersistentVolume", "PodMetrics", "ControllerRevision", "Node"}


@dataclass(frozen=True)
class Bed:
    """A stack and the cluster that it is in."""

    stack: Stack
    cluster: Cluster

    def there(self) -> set[tuple[str, str, str]]:
        """Kind, namespace and name of every object in the cluster, but those that it makes and drops by itself."""
        kinds = ",".join(self.cluster.kubectl("api-resources", "--verbs=list", "-o", "name").split())
        items = json.loads(self.cluster.kubectl("get", kinds, "-A", "-o", "json", "--ignore-not-found"))["items"]
        found = {(each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]) for each in items}
        return {each for each in found if each[0] not in _COMES_AND_GOES}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Cluster]:
    with cluster_site.running("home", tmp_path / "home") as cluster:
        yield cluster


@pytest.mark.timeout(1800)
def test_the_life_of_a_site_of_ones_own(home: Cluster, tmp_path: Path) -> None:
    stack = Engine(tmp_path / "engine", {"KUBECONFIG": str(home.kubeconfig)}).add_stack("local-incluster")
    bed = Bed(stack, home)
    before = bed.there()
    stack.change_config(
        keda={"chart": str(cluster_site.keda_chart(tmp_path))}, present_secrets=["backup-target", "backup-source", "backup-server"]
    )
    given = stack.run("config", "set", "--secret", "lorafleet:enrolment", ENROLMENT, "--stack", stack.name)
    assert given.code == 0, given.text

    made = stack.up()
    assert made.code == 0, made.text
    _is_clean_twice(stack)
    _keeps_the_credential_to_the_cluster(bed)
    _finds_and_mends_drift(bed)
    _takes_a_change(bed)
    _refuses_to_destroy_data(bed)
    _leaves_nothing(bed, before)


def _is_clean_twice(stack: Stack) -> None:
    for again in (stack.preview(), stack.preview(*POLICIES)):
        assert (again.code, again.changes) == (0, {}), again.text
    assert "✅ lorafleet@" in again.text


def _keeps_the_credential_to_the_cluster(bed: Bed) -> None:
    held = bed.cluster.get("secret", "lora")
    assert [each["metadata"]["name"] for each in held] == ["lorafleet-enrolment"]
    logins = (bed.cluster.folder / "admin.key").read_text().splitlines()[1]
    for path in bed.stack.engine.folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and "project/infra" not in str(path):
            content = path.read_bytes()
            assert ENROLMENT.encode() not in content, path
            assert logins.encode() not in content, path
    Site.model_validate(bed.stack.outputs()[SITE_EXPORT])


def _finds_and_mends_drift(bed: Bed) -> None:
    def rules() -> object:
        return json.loads(bed.cluster.kubectl("get", "role", ROLE, "-n", "lora", "-o", "json"))["rules"]

    before = rules()
    wider = [{"op": "replace", "path": "/rules/0/verbs", "value": ["*"]}]
    bed.cluster.kubectl("patch", "role", ROLE, "-n", "lora", "--type=json", "-p", json.dumps(wider))
    bed.cluster.kubectl("delete", "networkpolicy", "deny", "-n", "lora")
    found = bed.stack.refresh()
    assert (found.code, found.changes) == (0, {"update": 1, "delete": 1}), found.text
    mended = bed.stack.up()
    assert (mended.code, mended.changes) == (0, {"update": 1, "create": 1}), mended.text
    assert rules() == before
    bed.cluster.kubectl("get", "networkpolicy", "deny", "-n", "lora")


def _takes_a_change(bed: Bed) -> None:
    bed.stack.change_config(room={"pods": 123})
    changed = bed.stack.up()
    assert (changed.code, changed.changes) == (0, {"update": 1}), changed.text
    quota = json.loads(bed.cluster.kubectl("get", "resourcequota", "room", "-n", "lora", "-o", "json"))
    assert quota["spec"]["hard"]["pods"] == "123"


def _refuses_to_destroy_data(bed: Bed) -> None:
    before = bed.there()
    refused = bed.stack.destroy()
    assert refused.code != 0
    assert "protected" in refused.text
    assert bed.there() == before
    claims = bed.cluster.get("pvc", "lora") + bed.cluster.get("pvc", "lorafleet-backup")
    assert [(each["metadata"]["name"], each["status"]["phase"]) for each in claims] == [
        ("shared", "Bound"),
        ("backup-server", "Bound"),
    ]


def _leaves_nothing(bed: Bed, before: set[tuple[str, str, str]]) -> None:
    bed.stack.change_config(protect=False)
    opened = bed.stack.up()
    assert opened.code == 0, opened.text
    gone = bed.stack.destroy()
    if gone.code != 0 and "timed out" in gone.text.lower():
        # The provider waits five minutes for a namespace. On a busy machine Kubernetes once took longer; then the same command goes on.
        gone = bed.stack.destroy()
    assert gone.code == 0, gone.text
    assert bed.there() == before
    assert not bed.stack.made()


@pytest.fixture
def managed(tmp_path: Path) -> Iterator[Cluster]:
    """What stands behind the endpoint of a cluster that the stand-in of a cloud has made."""
    with cluster_site.running("managed", tmp_path / "managed") as cluster:
        yield cluster


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["aws-eu-central-1", "gcp-us-west1"])
def test_a_clouds_site_is_reached_by_what_its_cloud_stack_tells(name: str, managed: Cluster, tmp_path: Path) -> None:
    """Both stacks of a site: the endpoint, the authority and the login of the first are all that the second has."""
    engine = Engine(tmp_path / "engine")
    engine.store.mkdir()
    cluster_site.address(managed).write(engine.store)
    cloud = engine.add_stack(name)
    made = cloud.up()
    assert made.code == 0, made.text
    told = CloudOutputs.model_validate(cloud.outputs()[EXPORT])
    cluster_site.stand_in_for_the_login(engine.tools, told.login_command, managed)

    inside = engine.add_stack(f"{name}-incluster")
    inside.change_config(keda={"chart": str(cluster_site.keda_chart(tmp_path))})
    made = inside.up()
    assert made.code == 0, made.text
    _is_clean_twice(inside)
    site = Site.model_validate(inside.outputs()[SITE_EXPORT])
    assert site.cluster.identifier == told.cluster.identifier
    # A cloud tells the API which user or group Spinnaker is; here the administrator says so in its place.
    who = told.spinnaker_subject
    named = {"user": who.name} if who.kind == "User" else {"user": "spinnaker-of-the-cloud", "group": who.name}
    spinnaker = Caller(managed, **named)
    listed = {Right(site.namespace, each.group, each.resource, verb) for each in RIGHTS for verb in each.verbs}
    assert spinnaker.allowed(site.namespace) == listed
    assert not spinnaker.allowed("")
