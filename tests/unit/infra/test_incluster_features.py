"""Each feature of the in-cluster stack, by its name."""

import json
from typing import Any

import pytest
from recorded_incluster import KINDS, changed_incluster, cloud_outputs, incluster, record_incluster, recorded_incluster
from recorded_program import Recording, Resource

from infra.contract import TRAINER
from infra.incluster.components.autoscaler import NAME as AUTOSCALER
from infra.incluster.images import TABLE
from infra.incluster.secrets import ENROLMENT
from infra.incluster.spinnaker_role import RIGHTS
from lorafleet.contracts.site import Site
from pipelines.manifests.pod import GPU, USER
from pipelines.manifests.release import TrackValue
from pipelines.manifests.worker import ENROLMENT_SECRET, Workers, deployment

LOCAL = recorded_incluster("local")
AWS = recorded_incluster("aws")
CLOUDS = [kind for kind in KINDS if kind != "local"]
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}


def named(recording: Recording, kind: str, name: str, namespace: str | None = None) -> dict[str, Any]:
    """The inputs of the object of this Kubernetes name."""
    found = [
        each.inputs
        for each in recording.all(f":{kind}")
        if each.inputs["metadata"].get("name") == name and each.inputs["metadata"].get("namespace") == namespace
    ]
    assert len(found) == 1, (kind, name, namespace)
    return found[0]


def spec_of(recording: Recording, kind: str, name: str, namespace: str | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = named(recording, kind, name, namespace)["spec"]
    return spec


def pod_of(resource: Resource) -> dict[str, Any]:
    spec: dict[str, Any] = resource.inputs["spec"]
    spec = spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec
    pod: dict[str, Any] = spec["template"]["spec"]
    return pod


@pytest.mark.parametrize("kind", KINDS)
def test_namespaces_have_pod_security_restricted(kind: str) -> None:
    for each in recorded_incluster(kind).all(":Namespace"):
        labels = each.inputs["metadata"].get("labels", {})
        if each.type.startswith("kubernetes:") and each.name != "devices":
            assert RESTRICTED.items() <= labels.items(), each.name
            assert labels["app.kubernetes.io/part-of"] == "lorafleet"
            assert labels["app.kubernetes.io/component"] == each.name


def test_only_what_drives_the_nodes_devices_is_privileged() -> None:
    levels = {
        each.inputs["metadata"]["name"]: each.inputs["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for each in AWS.all("core/v1:Namespace")
    }
    assert {name for name, level in levels.items() if level != "restricted"} == {"lorafleet-devices"}
    in_it = {each.name for each in AWS.resources if pod_namespace(each) == "lorafleet-devices"}
    assert in_it == {"device-plugin", "dcgm-exporter"}


def pod_namespace(each: Resource) -> str | None:
    if each.type.rpartition(":")[2] not in ("Deployment", "DaemonSet", "StatefulSet", "CronJob"):
        return None
    namespace: str = each.inputs["metadata"]["namespace"]
    return namespace


@pytest.mark.parametrize("kind", KINDS)
def test_every_namespace_denies_all_by_default(kind: str) -> None:
    recording = recorded_incluster(kind)
    for each in recording.all("core/v1:Namespace"):
        spec = spec_of(recording, "NetworkPolicy", "deny", each.inputs["metadata"]["name"])
        assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("kind", KINDS)
def test_workers_reach_443_names_and_who_they_are(kind: str) -> None:
    recording = recorded_incluster(kind)
    own = {
        each.inputs["metadata"]["name"]: each.inputs["spec"]
        for each in recording.all(":NetworkPolicy")
        if each.inputs["metadata"]["namespace"] == "lora" and not each.inputs["spec"]["podSelector"]
    }
    assert own.pop("deny")
    assert own.pop("https")["egress"] == [{"ports": [{"port": 443, "protocol": "TCP"}]}]
    dns = own.pop("dns")["egress"]
    assert {(port["port"], port["protocol"]) for port in dns[0]["ports"]} == {(53, "UDP"), (53, "TCP")}
    assert dns[0]["to"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "kube-system"}
    agents = [
        (peer["ipBlock"]["cidr"], port["port"])
        for rule in own.pop("identity", {}).get("egress", [])
        for peer in rule["to"]
        for port in rule["ports"]
    ]
    assert agents == {
        "aws": [("169.254.170.23/32", 80)],
        "gcp": [("169.254.169.254/32", 80), ("169.254.169.252/32", 988)],
    }.get(kind, [])
    assert own == {}


@pytest.mark.parametrize("kind", KINDS)
def test_quotas_hold_the_workers_to_the_gpus_of_the_pools(kind: str) -> None:
    recording = recorded_incluster(kind)
    site = Site.model_validate(recording.outputs["site"])
    hard = spec_of(recording, "ResourceQuota", "room", "lora")["hard"]
    assert hard["requests.nvidia.com/gpu"] == str(sum(pool.max for pool in site.gpu_pools))
    assert (hard["services.nodeports"], hard["services.loadbalancers"]) == ("0", "0")
    assert (hard["requests.cpu"], hard["pods"]) == (incluster(kind).room.cpu, str(incluster(kind).room.pods))


@pytest.mark.parametrize("kind", KINDS)
def test_limits_bound_containers_that_say_nothing(kind: str) -> None:
    (limit,) = spec_of(recorded_incluster(kind), "LimitRange", "limits", "lora")["limits"]
    assert limit["type"] == "Container"
    assert limit["default"]["memory"] == limit["defaultRequest"]["memory"]


@pytest.mark.parametrize("kind", CLOUDS)
def test_the_shared_files_are_the_clouds_own_volume(kind: str) -> None:
    recording, volume = recorded_incluster(kind), cloud_outputs(kind).shared_volume
    name = f"lorafleet-{KINDS[kind]}-shared"
    source = spec_of(recording, "PersistentVolume", name)
    assert source["csi"]["driver"] == volume.driver
    assert source["csi"]["volumeHandle"] == volume.handle
    assert source["csi"]["volumeAttributes"] == volume.attributes
    assert source["persistentVolumeReclaimPolicy"] == "Retain"
    assert source["claimRef"] == {"namespace": "lora", "name": "shared"}
    claim = spec_of(recording, "PersistentVolumeClaim", "shared", "lora")
    assert (claim["volumeName"], claim["accessModes"]) == (name, ["ReadWriteMany"])
    storage = named(recording, "StorageClass", claim["storageClassName"])
    assert (storage["provisioner"], storage["reclaimPolicy"]) == ("kubernetes.io/no-provisioner", "Retain")


@pytest.mark.parametrize(
    ("shared", "source"),
    [
        ({"nfs": {"server": "nas", "path": "/v"}}, {"nfs": {"server": "nas", "path": "/v"}}),
        ({"host_path": "/srv/lora"}, {"hostPath": {"path": "/srv/lora", "type": "Directory"}}),
    ],
)
def test_the_shared_files_of_ones_own_cluster(shared: dict[str, Any], source: dict[str, Any]) -> None:
    recording = record_incluster("local", changed_local(shared=shared))
    volume = spec_of(recording, "PersistentVolume", "lorafleet-local-shared")
    assert source.items() <= volume.items()


def test_a_class_of_ones_own_cluster_makes_the_shared_files() -> None:
    recording = record_incluster("local", changed_local(shared={"storage_class": "cephfs", "gib": 7}))
    claim = spec_of(recording, "PersistentVolumeClaim", "shared", "lora")
    assert (claim["storageClassName"], claim["resources"]["requests"]["storage"]) == ("cephfs", "7Gi")
    assert "volumeName" not in claim
    assert not recording.all(":PersistentVolume")
    assert not recording.all(":StorageClass", "shared")


def test_a_site_may_have_no_shared_files() -> None:
    recording = record_incluster("local", changed_local(shared=None))
    assert not recording.all(":PersistentVolumeClaim", "shared")
    assert recording.outputs["site"]["shared_volume"] is None


def changed_local(**changes: Any) -> Any:
    value = json.loads(incluster("local").model_dump_json(exclude_none=True))["local"]
    return changed_incluster("local", local={key: each for key, each in {**value, **changes}.items() if each is not None})


@pytest.mark.parametrize("kind", KINDS)
def test_the_trainers_account_is_who_the_cloud_knows(kind: str) -> None:
    recording = recorded_incluster(kind)
    account = named(recording, "ServiceAccount", TRAINER, "lora")
    annotations = {} if kind == "local" else cloud_outputs(kind).trainer.annotations
    assert account["metadata"].get("annotations", {}) == annotations
    assert account["automountServiceAccountToken"] is False


@pytest.mark.parametrize("kind", KINDS)
def test_a_generated_worker_finds_what_it_names(kind: str) -> None:
    recording = recorded_incluster(kind)
    site = Site.model_validate(recording.outputs["site"])
    manifest = deployment(Workers("app", site, "trainer", "https://fleet.example.org", 2), TrackValue.STABLE)
    pod = manifest["spec"]["template"]["spec"]
    namespace = manifest["metadata"]["namespace"]
    assert named(recording, "ServiceAccount", pod["serviceAccountName"], namespace)
    for volume in pod["volumes"]:
        if "persistentVolumeClaim" in volume:
            assert named(recording, "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"], namespace)
        if "secret" in volume:
            assert (volume["secret"]["secretName"], volume["secret"]["items"][0]["key"]) == (ENROLMENT.name, ENROLMENT.key)
    assert "persistentVolumeClaim" in json.dumps(pod["volumes"])
    assert ENROLMENT.name == ENROLMENT_SECRET


def test_an_enrolment_credential_of_the_configuration_is_the_workers_secret() -> None:
    recording = record_incluster("azure", changed_incluster("azure", present_secrets=[]), secrets={ENROLMENT: "text"})
    made = named(recording, "Secret", "lorafleet-enrolment", "lora")
    assert made["stringData"]["value"] == {"credential": "text"}


@pytest.mark.parametrize("kind", KINDS)
def test_spinnaker_may_do_what_the_table_says_and_nothing_else(kind: str) -> None:
    recording = recorded_incluster(kind)
    bindings = [
        each for each in recording.resources if each.type.endswith("RoleBinding") and "spinnaker" in json.dumps(each.inputs)
    ]
    (binding,) = bindings
    assert binding.type.endswith(":RoleBinding")
    assert binding.inputs["metadata"]["namespace"] == "lora"
    role = named(recording, "Role", binding.inputs["roleRef"]["name"], "lora")
    given = {
        (group, resource, tuple(rule["verbs"]))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert given == {(right.group, right.resource, right.verbs) for right in RIGHTS}
    (subject,) = binding.inputs["subjects"]
    if kind == "local":
        assert (subject["kind"], subject["name"], subject["namespace"]) == ("ServiceAccount", "spinnaker", "lorafleet-deployers")
        assert named(recording, "ServiceAccount", "spinnaker", "lorafleet-deployers")["automountServiceAccountToken"] is False
        # No pod can take it where Spinnaker makes pods, and none runs where it lives.
        assert spec_of(recording, "ResourceQuota", "room", "lorafleet-deployers")["hard"]["pods"] == "0"
    else:
        wanted = cloud_outputs(kind).spinnaker_subject
        assert (subject["kind"], subject["name"]) == (wanted.kind, wanted.name)


def test_spinnakers_table_has_the_kinds_of_a_release_and_no_secrets() -> None:
    site = Site.model_validate(AWS.outputs["site"])
    kinds = {right.kind for right in RIGHTS}
    assert {*Workers("app", site, "trainer", "https://fleet.example.org", 2).kinds, "job"} <= kinds
    assert kinds <= {"deployment", "job", "ScaledObject.keda.sh", "pod"}
    for right in RIGHTS:
        assert "*" not in (right.group, right.resource, *right.verbs)
        assert "/" not in right.resource
        assert set(right.verbs) <= {"get", "list", "watch", "create", "patch", "delete"}
    assert {right.verbs for right in RIGHTS if right.kind == "pod"} == {("get", "list")}


@pytest.mark.parametrize("kind", KINDS)
def test_the_device_plugin_is_where_the_cloud_lacks_it(kind: str) -> None:
    found = recorded_incluster(kind).all("apps/v1:DaemonSet", "device-plugin")
    assert len(found) == (0 if kind == "gcp" else 1)
    for each in found:
        pod = pod_of(each)
        assert pod["containers"][0]["volumeMounts"][0]["mountPath"] == "/var/lib/kubelet/device-plugins"
        assert "privileged" not in pod["containers"][0]["securityContext"]
        assert_on_gpu_nodes(kind, pod)


@pytest.mark.parametrize("kind", KINDS)
def test_the_dcgm_exporter_is_where_the_cloud_lacks_it(kind: str) -> None:
    recording = recorded_incluster(kind)
    found = recording.all("apps/v1:DaemonSet", "dcgm-exporter")
    assert len(found) == (0 if kind == "gcp" else 1)
    for each in found:
        assert_on_gpu_nodes(kind, pod_of(each))
        labels = each.inputs["spec"]["template"]["metadata"]["labels"]
        (scraped,) = [job for job in scrapes(recording) if job["job_name"] == "dcgm"]
        assert labels["app.kubernetes.io/name"] == "dcgm-exporter"
        assert scraped["relabel_configs"][0]["regex"] == ".*dcgm-exporter"
        (rule,) = spec_of(recording, "NetworkPolicy", "dcgm-exporter", "lorafleet-devices")["ingress"]
        assert rule["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "lorafleet-monitoring"}


def assert_on_gpu_nodes(kind: str, pod: dict[str, Any]) -> None:
    terms = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    chosen = [{each["key"]: each["values"][0] for each in term["matchExpressions"]} for term in terms]
    if kind == "local":
        assert chosen == [{"nvidia.com/gpu.present": "true"}]
    else:
        assert chosen == [{"lorafleet/pool": pool.name} for pool in cloud_outputs(kind).gpu_pools]
        taints = {taint.key for pool in cloud_outputs(kind).gpu_pools for taint in pool.taints}
        assert {each["key"] for each in pod["tolerations"]} == taints
    assert GPU in {each["key"] for each in pod["tolerations"]}


@pytest.mark.parametrize("kind", KINDS)
def test_the_cluster_autoscaler_is_where_the_cloud_has_none(kind: str) -> None:
    found = recorded_incluster(kind).all("apps/v1:Deployment", "autoscaler")
    assert len(found) == (1 if kind == "aws" else 0)


def test_the_cluster_autoscaler_knows_its_own_groups_and_account() -> None:
    pod = pod_of(AWS.one("apps/v1:Deployment", "autoscaler"))
    (container,) = pod["containers"]
    assert pod["serviceAccountName"] == AUTOSCALER
    assert any(
        argument.endswith(f"k8s.io/cluster-autoscaler/{cloud_outputs('aws').cluster.name}") for argument in container["args"]
    )
    assert container["env"] == [{"name": "AWS_REGION", "value": "eu-central-1"}]
    assert AWS.one("apps/v1:Deployment", "autoscaler").inputs["metadata"]["namespace"] == "kube-system"


def scrapes(recording: Recording) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(recording.one("core/v1:ConfigMap", "prometheus").inputs["data"]["prometheus.yml"])[
        "scrape_configs"
    ]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_prometheus_has_the_rules_and_asks_the_console(kind: str) -> None:
    recording = recorded_incluster(kind)
    data = recording.one("core/v1:ConfigMap", "prometheus").inputs["data"]
    groups = {group["name"] for group in json.loads(data["rules.yml"])["groups"]}
    assert {"lorafleet-releases", "lorafleet-alerts", "lorafleet-gpus", "lorafleet-monitoring"} == groups
    (console,) = [job for job in scrapes(recording) if job["job_name"] == "console"]
    # Each of several consoles tells the same: the sum over two of them would be double.
    (target,) = console["static_configs"][0]["targets"]
    assert target == ("console.lorafleet-console.svc:8400" if kind == "aws" else "fleet.example.org")
    assert console["scheme"] == ("http" if kind == "aws" else "https")
    assert {"nodes", "keda", "dcgm"} <= {job["job_name"] for job in scrapes(recording)}


def test_a_changed_file_restarts_prometheus() -> None:
    def mark(recording: Recording) -> str:
        template = recording.one("apps/v1:Deployment", "prometheus").inputs["spec"]["template"]
        return str(template["metadata"]["annotations"]["lorafleet/configuration"])

    settings = {"console": "https://fleet.example.org"}
    changed = record_incluster("azure", changed_incluster("azure", prometheus={**settings, "conditions": ["latency > 9s"]}))
    assert mark(changed) != mark(recorded_incluster("azure"))


def test_prometheus_keeps_its_history_on_a_volume_that_it_cannot_fill() -> None:
    azure = recorded_incluster("azure")
    (container,) = pod_of(azure.one("apps/v1:Deployment", "prometheus"))["containers"]
    assert "--storage.tsdb.retention.time=30d" in container["args"]
    assert "--storage.tsdb.retention.size=45GB" in container["args"]
    assert spec_of(azure, "PersistentVolumeClaim", "prometheus", "lorafleet-monitoring")["resources"]["requests"] == {
        "storage": "50Gi"
    }


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_site_keeps_lies_on_encrypted_disks_that_outlive_their_claim(kind: str) -> None:
    recording = recorded_incluster(kind)
    claim = spec_of(recording, "PersistentVolumeClaim", "prometheus", "lorafleet-monitoring")
    if kind == "local":
        assert "storageClassName" not in claim
        assert not recording.all(":StorageClass", "disks")
    else:
        made = named(recording, "StorageClass", claim["storageClassName"])
        assert (made["reclaimPolicy"], made["volumeBindingMode"]) == ("Retain", "WaitForFirstConsumer")
        assert made["parameters"].get("encrypted", "true") == "true"
    other = record_incluster(
        kind, changed_incluster(kind, prometheus={"console": "https://x.example.org", "storage_class": "mine"})
    )
    assert spec_of(other, "PersistentVolumeClaim", "prometheus", "lorafleet-monitoring")["storageClassName"] == "mine"


def test_prometheus_only_reads() -> None:
    rules = AWS.one(":ClusterRole", "prometheus").inputs["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert {resource for rule in rules for resource in rule["resources"]} == {"nodes", "pods", "nodes/metrics"}


def test_prometheus_is_asked_by_keda_and_the_console_only() -> None:
    (rule,) = spec_of(AWS, "NetworkPolicy", "prometheus", "lorafleet-monitoring")["ingress"]
    assert {peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in rule["from"]} == {
        "keda",
        "lorafleet-console",
    }


def prometheus_reaches(recording: Recording) -> set[int]:
    _, rule = spec_of(recording, "NetworkPolicy", "prometheus", "lorafleet-monitoring")["egress"]
    return {each["port"] for each in rule["ports"]}


def test_prometheus_reaches_the_alertmanager_and_the_console() -> None:
    assert 9093 in prometheus_reaches(recorded_incluster("gcp"))
    assert 9093 not in prometheus_reaches(AWS)
    settings = {"console": "https://fleet.example.org:8443/x", "alertmanager": "alerts.example.org:9095"}
    assert {8443, 9095} <= prometheus_reaches(record_incluster("azure", changed_incluster("azure", prometheus=settings)))


def test_a_keda_that_is_there_already_may_ask_prometheus() -> None:
    keda = {"mode": "present", "namespace": "kube-system"}
    recording = record_incluster("azure", changed_incluster("azure", keda=keda))
    (rule,) = spec_of(recording, "NetworkPolicy", "prometheus", "lorafleet-monitoring")["ingress"]
    names = [each["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for each in rule["from"]]
    assert names == ["kube-system", "lorafleet-console"]


def test_a_prometheus_that_is_there_already_is_used() -> None:
    url = "http://prometheus.example.org:9091"
    recording = record_incluster("azure", changed_incluster("azure", prometheus={"url": url}))
    assert not recording.all("", "prometheus")
    assert recording.outputs["site"]["prometheus"] == url
    egress = spec_of(recording, "NetworkPolicy", "keda", "keda")["egress"]
    assert {"ports": [{"port": 9091, "protocol": "TCP"}]} in egress


@pytest.mark.parametrize("kind", KINDS)
def test_keda_is_its_own_chart_of_one_version(kind: str) -> None:
    release = recorded_incluster(kind).one(":Release", "keda").inputs
    assert (release["chart"], release["version"]) == ("keda", incluster(kind).keda.version)
    assert release["repositoryOpts"] == {"repo": "https://kedacore.github.io/charts"}
    assert release["values"]["watchNamespace"] == "lora"
    assert release["values"]["permissions"] == {"operator": {"restrict": {"secret": True}}}
    assert release["atomic"] is True


@pytest.mark.parametrize("chart", ["oci://registry.example.org/charts/keda", "charts/keda"])
def test_kedas_chart_may_lie_elsewhere(chart: str) -> None:
    settings = {"chart": chart, "version": "2.18.1"}
    release = record_incluster("azure", changed_incluster("azure", keda=settings)).one(":Release", "keda").inputs
    assert (release["chart"], release["version"]) == (chart, "2.18.1")
    assert "repositoryOpts" not in release


def test_a_keda_that_is_there_already_is_left_alone() -> None:
    recording = record_incluster("azure", changed_incluster("azure", keda={"mode": "present"}))
    assert not recording.all("", "keda")
    assert "keda" not in {job["job_name"] for job in scrapes(recording)}


def test_the_backup_copies_finished_weights_by_the_clock_as_the_trainer() -> None:
    spec = AWS.one(":CronJob", "mirror").inputs["spec"]
    (container,) = pod_of(AWS.one(":CronJob", "mirror"))["containers"]
    assert (spec["schedule"], spec["concurrencyPolicy"]) == ("17 * * * *", "Forbid")
    assert container["command"] == ["lorafleet", "mirror"]
    assert container["args"][:2] == [cloud_outputs("aws").object_store, "gs://example-lorafleet-backup/aws-eu-central-1"]
    assert "--source-secret" not in container["args"]
    assert pod_of(AWS.one(":CronJob", "mirror"))["serviceAccountName"] == TRAINER
    assert container["image"].startswith(cloud_outputs("aws").registry + "/console@sha256:")
    gcp = pod_of(recorded_incluster("gcp").one(":CronJob", "mirror"))["containers"][0]
    assert gcp["args"][-3:] == ["--target-setting", "region=eu-central-1", "--json"]


def test_the_backup_takes_keys_that_nobody_else_may_read() -> None:
    pod = pod_of(LOCAL.one(":CronJob", "mirror"))
    (keys,) = pod["initContainers"]
    assert keys["command"][:5] == ["install", "-m", "0600", "-t", "/run/mirror"]
    assert keys["command"][5:] == ["/given/backup-source/source.json", "/given/backup-target/target.json"]
    arguments = pod["containers"][0]["args"]
    assert arguments[arguments.index("--target-secret") + 1] == "/run/mirror/target.json"
    assert arguments[arguments.index("--source-secret") + 1] == "/run/mirror/source.json"
    assert {each["name"]: each for each in pod["volumes"]}["own"]["emptyDir"]["medium"] == "Memory"


def test_the_stacks_own_backup_store_speaks_tls_and_lets_the_copying_in_alone() -> None:
    server = pod_of(LOCAL.one(":StatefulSet", "backup-server"))
    (container,) = server["containers"]
    assert container["args"] == ["--port", ":7070", "--cert", "/tls/tls.crt", "--key", "/tls/tls.key", "posix", "/data"]
    assert container["image"] == str(TABLE["versitygw"])
    (rule,) = spec_of(LOCAL, "NetworkPolicy", "backup-server", "lorafleet-backup")["ingress"]
    (peer,) = rule["from"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "lora"}
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "mirror"
    mirror = pod_of(LOCAL.one(":CronJob", "mirror"))["containers"][0]
    assert "endpoint=https://backup-server.lorafleet-backup.svc:7070" in mirror["args"]
    authorities = {each["name"]: each["value"] for each in mirror["env"]}
    assert authorities["SSL_CERT_FILE"] == "/authority/ca.crt"
    assert authorities["SSL_CERT_DIR"] == "/etc/ssl/certs"
    assert spec_of(LOCAL, "NetworkPolicy", "mirror", "lora")["egress"] == [{"ports": [{"port": 7070, "protocol": "TCP"}]}]


def test_the_copying_reaches_a_store_at_another_port() -> None:
    settings = {"region": "eu", "endpoint": "https://s3.example.org:9000"}
    recording = record_incluster("gcp", changed_incluster("gcp", backup={"url": "s3://b/x", "settings": settings}))
    assert spec_of(recording, "NetworkPolicy", "mirror", "lora")["egress"] == [{"ports": [{"port": 9000, "protocol": "TCP"}]}]


def test_without_a_backup_nothing_of_it_is_made() -> None:
    assert not recorded_incluster("azure").all(":CronJob")
    assert not recorded_incluster("azure").all("", "backup")


def test_the_console_runs_several_times_behind_the_ingress() -> None:
    deployment_ = AWS.one("apps/v1:Deployment", "console")
    (container,) = pod_of(deployment_)["containers"]
    assert container["command"] == ["lorafleet", "serve"]
    arguments = " ".join(container["args"])
    assert "--replicas 2 --public-url https://fleet.example.org" in arguments
    assert "--prometheus http://prometheus.lorafleet-monitoring.svc:9090" in arguments
    assert deployment_.inputs["spec"]["replicas"] == 2
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {each["name"]: each["valueFrom"]["secretKeyRef"]["name"] for each in container["env"]} == {
        "LORAFLEET_SECRET": "console-secret",
        "LORAFLEET_DATABASE": "console-database",
    }
    ingress = spec_of(AWS, "Ingress", "console", "lorafleet-console")
    assert ingress["tls"] == [{"hosts": ["fleet.example.org"], "secretName": "console-tls"}]
    assert spec_of(AWS, "PodDisruptionBudget", "console", "lorafleet-console")["maxUnavailable"] == 1
    assert spec_of(AWS, "Service", "console", "lorafleet-console")["sessionAffinity"] == "ClientIP"
    assert AWS.one("core/v1:ConfigMap", "console-authority").inputs["data"]["ca.crt"].startswith("-----BEGIN CERTIFICATE-----")
    assert {"name": "authority", "mountPath": "/authority", "readOnly": True} in container["volumeMounts"]
    site = json.loads(AWS.one("core/v1:ConfigMap", "console").inputs["data"]["aws-eu-central-1.json"])
    assert Site.model_validate(site) == Site.model_validate(AWS.outputs["site"])


def test_the_console_is_in_the_site_that_wants_it() -> None:
    for kind in ("gcp", "azure", "local"):
        assert not recorded_incluster(kind).all("", "console")


def test_the_postgres_is_in_the_sites_that_want_it() -> None:
    assert {kind for kind in KINDS if recorded_incluster(kind).all(":StatefulSet", "postgres")} == {"aws", "gcp"}


@pytest.mark.parametrize("kind", CLOUDS)
def test_what_serves_the_site_stands_on_the_system_nodes(kind: str) -> None:
    for each in recorded_incluster(kind).resources:
        if pod_namespace(each) is not None and "DaemonSet" not in each.type:
            assert pod_of(each)["nodeSelector"] == {"lorafleet/pool": "system"}, each.label


def test_a_mirror_of_images_is_used_for_all_of_them() -> None:
    settings = {"registry": "mirror.example.org:5000/others", "pull_secret": "mirror"}
    recording = record_incluster("local", changed_incluster("local", images=settings))
    for each in recording.resources:
        if pod_namespace(each) is not None:
            assert pod_of(each)["imagePullSecrets"] == [{"name": "mirror"}]
            for container in pod_of(each)["containers"]:
                ours = container["image"].startswith("registry.example.org/fleet/console@")
                assert ours or container["image"].startswith("mirror.example.org:5000/others/"), container["image"]
    parts = recording.one(":Release", "keda").inputs["values"]["image"]
    assert parts["webhooks"] == {"registry": "mirror.example.org:5000", "repository": "others/keda-admission-webhooks"}
    assert {"name": "mirror"} in named(recording, "ServiceAccount", TRAINER, "lora")["imagePullSecrets"]


def test_pods_run_as_the_user_of_the_images() -> None:
    assert pod_of(AWS.one("apps/v1:Deployment", "console"))["securityContext"]["runAsUser"] == USER
