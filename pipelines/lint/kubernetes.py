"""LF4: the stages that change a cluster."""

from collections.abc import Iterator, Mapping
from typing import Any

from lorafleet.contracts.image import parse_image
from pipelines.lint.findings import Hit, Rule, error, warning
from pipelines.lint.view import PipelineView, StageView, at, items, mapping, text

_EXECUTED = "seen on Orca 8.56 with Clouddriver 5.90"
_STRATEGIES = (None, "none", "redblack", "bluegreen", "highlander")
_HISTORY = "strategy.spinnaker.io/max-version-history"
_VERSIONED = "strategy.spinnaker.io/versioned"


def _traffic(stage: StageView) -> tuple[bool, str | None, list[Any]]:
    """Whether traffic management is on, its strategy and its services."""
    options = mapping(at(stage.raw, "trafficManagement", "options"))
    return at(stage.raw, "trafficManagement", "enabled") is True, options.get("strategy"), items(options.get("services"))


def _annotation(manifest: Mapping[str, Any], key: str) -> str | None:
    value = at(manifest, "metadata", "annotations", key)
    return None if value is None else str(value)


def _pod(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(manifest if manifest.get("kind") == "Pod" else at(manifest, "spec", "template"))


@error(
    "LF401",
    "A strategy that Kubernetes' stage does not have",
    way_out="build a canary from a Deployment of its own, a share and a watch",
    source="DeployManifestContext.java of Orca: none, redblack, bluegreen, highlander",
)
def unknown_strategy(pipeline: PipelineView) -> Iterator[Hit]:
    """``canary``, ``rolling``."""
    for stage in pipeline.of_type("deployManifest"):
        _, strategy, _ = _traffic(stage)
        if strategy not in _STRATEGIES:
            yield stage, f"deployManifest has no strategy '{strategy}'"


@error(
    "LF402",
    "A strategy on something that is no ReplicaSet",
    way_out="use a new Deployment for each release and move the share, or deploy a ReplicaSet",
    source="DeployManifestStage.java of Orca: its after stages are added for ReplicaSets alone",
)
def strategy_on_deployment(pipeline: PipelineView) -> Iterator[Hit]:
    """It silently does nothing."""
    for stage in pipeline.of_type("deployManifest"):
        enabled, strategy, _ = _traffic(stage)
        kinds = {text(manifest.get("kind")) for manifest in stage.manifests} - {"ReplicaSet", "Service"}
        if enabled and strategy not in (None, "none") and kinds:
            yield stage, f"'{strategy}' does nothing to {' and '.join(sorted(kinds))}"


@error(
    "LF403",
    "A blue-green that deletes the old version first",
    way_out=f'set the annotation {_HISTORY}: "2", or more',
    source="DeployManifestStage.java and the version cleanup of Clouddriver",
)
def short_history(pipeline: PipelineView) -> Iterator[Hit]:
    """``max-version-history: 1``."""
    for stage in pipeline.of_type("deployManifest"):
        _, strategy, _ = _traffic(stage)
        for manifest in stage.manifests:
            if strategy in ("bluegreen", "redblack") and _annotation(manifest, _HISTORY) in ("0", "1"):
                yield stage, f"with {_HISTORY} below 2 the old version is deleted before the new one has its traffic"


@error(
    "LF404",
    "Traffic management without a Service",
    way_out="name the Service in services, or move shares by other means",
    source="KubernetesServiceHandler.java of Clouddriver: enable and disable only patch labels that a Service selects",
)
def no_service(pipeline: PipelineView) -> Iterator[Hit]:
    """Queue workers have none."""
    for stage in pipeline.of_type("deployManifest"):
        enabled, strategy, services = _traffic(stage)
        if enabled and strategy not in (None, "none") and not services:
            yield stage, f"'{strategy}' moves a Service's traffic, and none is named"


@warning(
    "LF405",
    "Enabling or disabling what no Service selects",
    way_out="set the share at the dispatcher instead",
    source="enableManifest and disableManifest of Clouddriver patch labels of annotated load balancers",
)
def switch_without_service(pipeline: PipelineView) -> Iterator[Hit]:
    """``enableManifest`` and ``disableManifest`` of something else than a ReplicaSet."""
    for stage in pipeline.of_type("enableManifest", "disableManifest"):
        target = text(stage.raw.get("manifestName") or stage.raw.get("cluster") or stage.raw.get("kind"))
        if target.split(" ")[0].lower() != "replicaset":
            yield stage, f"it changes labels that only a Service in front of a ReplicaSet reads, not '{target}'"


@warning(
    "LF406",
    "A ReplicaSet that cannot fail",
    way_out="deploy a Deployment with progressDeadlineSeconds, or watch the pods beside it",
    source="KubernetesReplicaSetHandler.java of Clouddriver: its status knows no failure",
)
def replica_set(pipeline: PipelineView) -> Iterator[Hit]:
    """A crash loop lasts until the stage's limit."""
    for stage in pipeline.of_type("deployManifest"):
        if any(manifest.get("kind") == "ReplicaSet" for manifest in stage.manifests):
            yield stage, "a ReplicaSet never fails: a crash loop lasts until the stage's limit"


@error(
    "LF407",
    "An image that may change",
    way_out="name it as registry/repository@sha256:…",
    source="Spinnaker cannot resolve a tag; a Docker trigger's artifact has the tag as its reference",
)
def mutable_image(pipeline: PipelineView) -> Iterator[Hit]:
    """Tags, and nothing."""
    for stage in pipeline.stages:
        for manifest in stage.manifests:
            spec = mapping(_pod(manifest).get("spec"))
            for container in [*items(spec.get("containers")), *items(spec.get("initContainers"))]:
                image = text(mapping(container).get("image"))
                if not _pinned(image):
                    yield stage, f"'{image}' may be another image tomorrow"


def _pinned(image: str) -> bool:
    name, _, digest = image.partition("@")
    if digest.startswith("${"):
        return bool(name)
    try:
        return not parse_image(image).mutable
    except ValueError:
        return False


@error(
    "LF408",
    "Artifact binding on an image that is named by digest",
    way_out="set enableArtifactBinding to false",
    source="Replacer.java of Clouddriver (clouddriver#4874): a bound artifact of the same name overwrites the digest",
)
def binding(pipeline: PipelineView) -> Iterator[Hit]:
    """It is on unless it is switched off."""
    for stage in pipeline.of_type("deployManifest"):
        if stage.raw.get("enableArtifactBinding") is not False and stage.raw.get("manifests"):
            yield stage, "a bound artifact of the same name would overwrite the digest"


@warning(
    "LF409",
    "A switch that does not keep SpEL out",
    way_out="leave it out, and write no ${ into manifests",
    source=f"{_EXECUTED}: inline manifests are evaluated even with skipExpressionEvaluation",
)
def skip_evaluation(pipeline: PipelineView) -> Iterator[Hit]:
    """``skipExpressionEvaluation: true``."""
    for stage in pipeline.stages:
        if stage.raw.get("skipExpressionEvaluation") is True:
            yield stage, "skipExpressionEvaluation does not keep Orca from evaluating ${ in manifests"


@error(
    "LF410",
    "An undo without a number",
    way_out="set numRevisionsBack or revision",
    source=f"{_EXECUTED}: undoRolloutManifest needs one of them",
)
def undo_number(pipeline: PipelineView) -> Iterator[Hit]:
    """Neither of the two."""
    for stage in pipeline.of_type("undoRolloutManifest"):
        if not stage.raw.get("numRevisionsBack") and not stage.raw.get("revision"):
            yield stage, "it does not say how far back"


@warning(
    "LF411",
    "An undo of what may be healthy",
    way_out="release beside the stable Deployment, and delete the candidate",
    source="undoRolloutManifest makes a new forward revision: if the deploy never applied, it undoes the healthy one",
)
def undo(pipeline: PipelineView) -> Iterator[Hit]:
    """Any undo."""
    for stage in pipeline.of_type("undoRolloutManifest"):
        yield stage, "if the new version was never applied, this undoes the healthy one"


@error(
    "LF412",
    "A scale without a number",
    way_out="set replicas",
    source=f"{_EXECUTED}: scaleManifest without replicas scales to 0 and SUCCEEDS",
)
def scale_number(pipeline: PipelineView) -> Iterator[Hit]:
    """``replicas`` missing."""
    for stage in pipeline.of_type("scaleManifest"):
        if stage.raw.get("replicas") in (None, ""):
            yield stage, "it does not say how many, which means none at all"


@error(
    "LF413",
    "A patch that is no list",
    way_out="put the one patch into a list",
    source=f"{_EXECUTED}: patchBody is a list of one patch",
)
def patch_list(pipeline: PipelineView) -> Iterator[Hit]:
    """An object, or several patches."""
    for stage in pipeline.of_type("patchManifest"):
        body = stage.raw.get("patchBody")
        if not isinstance(body, list) or len(body) != 1:
            yield stage, "its patchBody is not a list with one patch"


@error(
    "LF414",
    "No namespace",
    way_out="set namespaceOverride, location or metadata.namespace",
    source=f"{_EXECUTED}: without a namespace it is 'default'",
)
def no_namespace(pipeline: PipelineView) -> Iterator[Hit]:
    """Things land in ``default``, or are looked for there."""
    for stage in pipeline.stages:
        if stage.type in ("deployManifest", "runJobManifest"):
            lost = [manifest for manifest in stage.manifests if not at(manifest, "metadata", "namespace")]
            if lost and not stage.raw.get("namespaceOverride"):
                yield stage, f"its {text(lost[0].get('kind')) or 'manifest'} lands in the namespace 'default'"
        elif stage.type.endswith("Manifest") and stage.type != "bakeManifest" and not stage.raw.get("location"):
            yield stage, "it looks for its target in the namespace 'default'"


@error(
    "LF415",
    "A deletion of everything",
    way_out="select by the labels of one release",
    source="deleteManifest of Clouddriver deletes each kind by its label selectors; without any, all of it",
)
def delete_all(pipeline: PipelineView) -> Iterator[Hit]:
    """Mode ``label`` without labels."""
    for stage in pipeline.of_type("deleteManifest"):
        if stage.raw.get("mode") == "label" and not items(at(stage.raw, "labelSelectors", "selectors")):
            yield stage, "it has no label selectors, and deletes everything of its kinds"


@error(
    "LF416",
    "A patch that misses its versioned object",
    way_out=f'set the annotation {_VERSIONED}: "false" on the object',
    source="Clouddriver versions ConfigMaps and Secrets that it deploys (name-v000); a patch by the plain name misses them",
)
def versioned(pipeline: PipelineView) -> Iterator[Hit]:
    """A ConfigMap or Secret that is deployed and patched by name."""
    patched = {text(stage.raw.get("manifestName")).lower() for stage in pipeline.of_type("patchManifest")}
    for stage in pipeline.of_type("deployManifest"):
        for manifest in stage.manifests:
            name = f"{manifest.get('kind')} {at(manifest, 'metadata', 'name')}".lower()
            if manifest.get("kind") in ("ConfigMap", "Secret") and name in patched and _annotation(manifest, _VERSIONED) != "false":
                yield stage, f"'{name}' is deployed with a version behind its name, and the patch does not find it"


@error(
    "LF417",
    "A Service that selects by labels of the pods",
    way_out="let the Service select by a label that is not in the template; Clouddriver adds it",
    source="KubernetesServiceHandler.java of Clouddriver: attach refuses a selector that shares keys with the template",
)
def shared_labels(pipeline: PipelineView) -> Iterator[Hit]:
    """Blue-green adds and takes the Service's labels."""
    services = [manifest for stage in pipeline.stages for manifest in stage.manifests if manifest.get("kind") == "Service"]
    for stage in pipeline.of_type("deployManifest"):
        if not _traffic(stage)[0]:
            continue
        for manifest in stage.manifests:
            own = set(mapping(at(_pod(manifest), "metadata", "labels")))
            for service in services:
                shared = own & set(mapping(at(service, "spec", "selector")))
                if shared:
                    yield stage, f"the Service selects by {', '.join(sorted(shared))}, which the pods have from the start"


@error(
    "LF418",
    "A Job in the wrong place",
    way_out="put one object of kind Job under manifest",
    source="RunJobManifest of Orca takes one manifest, and KubernetesRunJobOperation only a Job",
)
def one_job(pipeline: PipelineView) -> Iterator[Hit]:
    """``manifests``, or another kind."""
    for stage in pipeline.of_type("runJobManifest"):
        if text(at(stage.raw, "manifest", "kind")) != "Job":
            yield stage, "it runs one Job, which stands under manifest"


RULES: tuple[Rule, ...] = (
    unknown_strategy,
    strategy_on_deployment,
    short_history,
    no_service,
    switch_without_service,
    replica_set,
    mutable_image,
    binding,
    skip_evaluation,
    undo_number,
    undo,
    scale_number,
    patch_list,
    no_namespace,
    delete_all,
    versioned,
    shared_labels,
    one_job,
)
