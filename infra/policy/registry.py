"""Container registries: a tag means one image, and each image is looked at."""

from collections.abc import Iterator

from infra.policy.reading import at, items
from infra.policy.rule import Resource, Rule, Stack, StackRule

ECR = "aws:ecr/repository:Repository"
GAR = "gcp:artifactregistry/repository:Repository"
ACR = "azure-native:containerregistry:Registry"


def _ecr_tags(repository: Resource) -> Iterator[str]:
    mutability = at(repository.props, "imageTagMutability")
    movable = {at(each, "filter") for each in items(repository.props, "imageTagMutabilityExclusionFilters")}
    if mutability != "IMMUTABLE" and (mutability != "IMMUTABLE_WITH_EXCLUSION" or movable != {"sha256-*"}):
        yield "a tag can be moved to another image"


def _gar_tags(repository: Resource) -> Iterator[str]:
    if at(repository.props, "format") == "DOCKER" and at(repository.props, "dockerConfig", "immutableTags") is not True:
        yield "a tag can be moved to another image"


def _ecr_scan(repository: Resource) -> Iterator[str]:
    if at(repository.props, "imageScanningConfiguration", "scanOnPush") is not True:
        yield "images are not scanned when they are pushed"


def _gar_scan(repository: Resource) -> Iterator[str]:
    if at(repository.props, "vulnerabilityScanningConfig", "enablementConfig") != "INHERITED":
        yield "images are not scanned when they are pushed"


def _acr_scan(_: Resource, stack: Stack) -> Iterator[str]:
    for each in stack.all("azure-native:security:Pricing"):
        scans = {at(extension, "name") for extension in items(each.props, "extensions") if at(extension, "isEnabled") == "True"}
        if at(each.props, "pricingTier") == "Standard" and "ContainerRegistriesVulnerabilityAssessments" in scans:
            return
    yield "images are not scanned when they are pushed"


def _acr_users(registry: Resource) -> Iterator[str]:
    if at(registry.props, "adminUserEnabled") is not False:
        yield "a password opens it"
    if at(registry.props, "anonymousPullEnabled") is not False:
        yield "everybody may pull"


def _ecr_ends(repository: Resource, stack: Stack) -> Iterator[str]:
    policies = stack.all("aws:ecr/lifecyclePolicy:LifecyclePolicy")
    if not any(at(each.props, "repository") == at(repository.props, "name") for each in policies):
        yield "images are kept and paid for ever"


def _gar_ends(repository: Resource, _: Stack) -> Iterator[str]:
    if not items(repository.props, "cleanupPolicies") or at(repository.props, "cleanupPolicyDryRun") is True:
        yield "images are kept and paid for ever"


def _acr_ends(registry: Resource, _: Stack) -> Iterator[str]:
    if at(registry.props, "policies", "retentionPolicy", "status") != "enabled":
        yield "untagged images are kept and paid for ever"


RULES = (
    Rule(
        "POL141",
        "A tag means one image (Azure's registry cannot hold that; releases go by digest)",
        "make tags immutable",
        {ECR: _ecr_tags, GAR: _gar_tags},
    ),
    Rule("POL142", "Images are scanned when they are pushed", "turn scanning on", {ECR: _ecr_scan, GAR: _gar_scan}),
    StackRule(
        "POL143",
        "Images in Azure's registry are scanned when they are pushed",
        "turn on Defender for Containers with its assessment of registries",
        {ACR: _acr_scan},
    ),
    Rule("POL144", "Nobody pulls without an identity", "turn off the admin user and anonymous pulls", {ACR: _acr_users}),
    StackRule(
        "POL145",
        "Images that nobody uses end",
        "add a lifecycle policy to the repository",
        {ECR: _ecr_ends, GAR: _gar_ends, ACR: _acr_ends},
    ),
)
