"""What Clouddriver does to manifests before kubectl sees them, and how it reads the state of what is there. Pure."""

import copy
from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]

_VERSIONED = "strategy.spinnaker.io/versioned"
_VERSIONED_KINDS = frozenset({"configMap", "secret", "replicaSet", "pod", "networkPolicy"})
_CLUSTER_SCOPED = frozenset({"namespace", "clusterRole", "clusterRoleBinding", "persistentVolume", "storageClass", "priorityClass"})
# Clouddriver's deploy priorities: what others need goes first.
_ORDER = ("namespace", "role", "serviceAccount", "roleBinding", "secret", "configMap", "persistentVolumeClaim", "service")


class NotStoodIn(Exception):
    """Clouddriver does more here than this stand-in, so that a test's result would mean nothing."""


def kind_of(manifest: Mapping[str, Any]) -> str:
    """The kind as Clouddriver writes it: ``deployment``, ``configMap``, and with its group where it is a custom resource."""
    kind, group = str(manifest["kind"]), str(manifest["apiVersion"]).rpartition("/")[0]
    if "." in group and not group.endswith(".k8s.io"):
        return f"{kind}.{group}"
    return kind[0].lower() + kind[1:]


def full_name(manifest: Mapping[str, Any]) -> str:
    """The name by which stages point to it: ``deployment trainer``."""
    return f"{kind_of(manifest)} {manifest['metadata']['name']}"


def split_name(name: str) -> tuple[str, str]:
    """``deployment trainer`` to kind and name."""
    kind, _, rest = name.partition(" ")
    if not kind or not rest:
        raise ValueError(f"'{name}' is no '<kind> <name>'")
    return kind, rest


def annotations(manifest: Mapping[str, Any]) -> dict[str, str]:
    return dict((manifest.get("metadata") or {}).get("annotations") or {})


def ordered(manifests: list[Manifest]) -> list[Manifest]:
    """In the order in which Clouddriver deploys; workloads last."""
    return sorted(manifests, key=lambda each: _ORDER.index(kind_of(each)) if kind_of(each) in _ORDER else len(_ORDER))


def prepared(manifest: Manifest, description: Mapping[str, Any]) -> Manifest:
    """The manifest as it is applied: namespace, labels and annotations of Spinnaker.

    Raises:
        NotStoodIn: Clouddriver would give it a version, or shift a Service's traffic.
    """
    result = copy.deepcopy(manifest)
    metadata = result.setdefault("metadata", {})
    kind = kind_of(result)
    if kind in _VERSIONED_KINDS and annotations(result).get(_VERSIONED) != "false":
        raise NotStoodIn(f"{kind} gets a version suffix unless annotated {_VERSIONED}: 'false'")
    if (description.get("trafficManagement") or {}).get("enabled") and kind == "replicaSet":
        raise NotStoodIn("traffic management of ReplicaSets")
    if kind not in _CLUSTER_SCOPED:
        metadata["namespace"] = description.get("namespaceOverride") or metadata.get("namespace") or "default"
    moniker = description.get("moniker") or {}
    application = moniker.get("app") or description["application"]
    labels = {"app.kubernetes.io/managed-by": "spinnaker"}
    notes = {
        "moniker.spinnaker.io/application": application,
        "moniker.spinnaker.io/cluster": moniker.get("cluster") or (full_name(result) if metadata.get("name") else kind),
        "artifact.spinnaker.io/type": f"kubernetes/{kind}",
        "artifact.spinnaker.io/location": metadata.get("namespace", ""),
        "artifact.spinnaker.io/name": metadata.get("name", ""),
        "artifact.spinnaker.io/version": "",
    }
    parts = [metadata]
    template = (result.get("spec") or {}).get("template")
    if isinstance(template, dict) and not description.get("skipSpecTemplateLabels"):
        parts.append(template.setdefault("metadata", {}))
    for part in parts:
        part["labels"] = {"app.kubernetes.io/name": application, **(part.get("labels") or {}), **labels}
        part["annotations"] = {**(part.get("annotations") or {}), **notes}
    return result


def state(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """How Clouddriver judges an object: stable, failed, or neither yet, with the reason."""
    failed, waiting = _judged(manifest)
    return {
        "stable": {"state": waiting is None and failed is None, "message": waiting},
        "failed": {"state": failed is not None, "message": failed},
    }


def _judged(manifest: Mapping[str, Any]) -> tuple[str | None, str | None]:
    status = manifest.get("status") or {}
    spec = manifest.get("spec") or {}
    match kind_of(manifest):
        case "deployment":
            return _deployment(manifest, spec, status)
        case "job":
            done = int(status.get("succeeded") or 0) >= int(spec.get("completions") or 1)
            return job_failure(manifest), None if done else "Waiting for jobs to finish"
        case "replicaSet" | "statefulSet" | "daemonSet" | "pod" as kind:
            raise NotStoodIn(f"the state of a {kind}")
    return None, None


def _deployment(manifest: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[str | None, str | None]:
    if not status or status.get("observedGeneration") != manifest["metadata"].get("generation"):
        return None, "Waiting for status generation to match updated object generation"
    conditions = {each["type"]: each for each in status.get("conditions") or []}
    if conditions.get("Progressing", {}).get("reason") == "ProgressDeadlineExceeded":
        return "Deployment exceeded its progress deadline", None
    wanted = int(spec.get("replicas") or 0)
    updated = int(status.get("updatedReplicas") or 0)
    if updated < wanted:
        return None, "Waiting for all replicas to be updated"
    if int(status.get("replicas") or 0) > updated:
        return None, "Waiting for old replicas to finish termination"
    if int(status.get("availableReplicas") or 0) < wanted:
        return None, "Waiting for all replicas to be available"
    if int(status.get("readyReplicas") or 0) < wanted:
        return None, "Waiting for all replicas to be ready"
    if conditions.get("Available", {}).get("status") == "False":
        return None, conditions["Available"].get("message")
    return None, None


def job_failure(job: Mapping[str, Any]) -> str | None:
    """Why a Job failed, from its condition ``Failed``; None while it has none."""
    for condition in (job.get("status") or {}).get("conditions") or []:
        if condition["type"] == "Failed" and condition["status"] == "True":
            return str(condition.get("message") or "failed")
    return None


def artifact(manifest: Mapping[str, Any], account: str) -> dict[str, Any]:
    """What a deployed object is to later stages."""
    metadata = manifest["metadata"]
    return {
        "type": f"kubernetes/{kind_of(manifest)}",
        "name": metadata["name"],
        "location": metadata.get("namespace", ""),
        "reference": metadata["name"],
        "version": "",
        "metadata": {"account": account},
    }


def images(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The images that an object runs, as artifacts."""
    template = ((manifest.get("spec") or {}).get("template") or {}).get("spec") or {}
    found = [each["image"] for each in [*(template.get("initContainers") or []), *(template.get("containers") or [])]]
    return [{"type": "docker/image", "name": image.partition("@")[0], "reference": image} for image in dict.fromkeys(found)]
