"""The Clouddriver account of a site, and the kubeconfig that belongs to it. There is no secret in either.

Sources: Spinnaker's reference of Kubernetes accounts; since 1.31 ``kinds`` narrow what Clouddriver caches and no more what it
deploys, so that the namespaced Role of the in-cluster stack is what holds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from infra.incluster.spinnaker_role import RIGHTS
from lorafleet.contracts.site import Cloud, Site

FOLDER = "/home/spinnaker/.kube/lorafleet"
"""Where Clouddriver's pod has the kubeconfigs."""

TOKENS = "/home/spinnaker/.secrets/lorafleet"
"""Where it has the tokens of clusters of one's own."""

_AKS_SERVER = "6dae42f8-4368-4678-94ff-3960e28e3630"  # AKS's Entra application, the same in every tenant.


@dataclass(frozen=True)
class Login:
    """Who Spinnaker is to the cloud, where the cluster's own name of it does not say that.

    ``identity`` is the role's ARN (AWS) or the client id (Azure), ``tenant`` Azure's.
    """

    identity: str = ""
    tenant: str = ""


def account(site: Site) -> dict[str, Any]:
    """What goes into ``clouddriver.yml`` (or a Halyard or operator's ``profiles.clouddriver``)."""
    kinds = [right.kind for right in RIGHTS]
    return {
        "kubernetes": {
            "enabled": True,
            "accounts": [
                {
                    "name": site.spinnaker_account,
                    "kubeconfigFile": f"{FOLDER}/{site.name}.yaml",
                    "context": site.name,
                    # Both, or Clouddriver lists the whole cluster, which the Role refuses.
                    "namespaces": [site.namespace],
                    "kinds": kinds,
                    "customResources": [{"kubernetesKind": kind, "versioned": False} for kind in kinds if "." in kind],
                    "onlySpinnakerManaged": True,
                    # It would ask for rights on kinds that the Role leaves out, and drop them silently.
                    "checkPermissionsOnStartup": False,
                    "liveManifestCalls": True,
                    "cacheThreads": 1,
                    "permissions": {"READ": ["lorafleet"], "WRITE": ["lorafleet"]},
                }
            ],
        }
    }


def kubeconfig(site: Site, login: Login) -> dict[str, Any]:
    """Clouddriver's kubeconfig of the site. It asks a command for a credential of minutes, or reads a file that is renewed."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": site.name, "cluster": {"server": site.cluster.endpoint, "certificate-authority-data": site.cluster.ca}}
        ],
        "users": [{"name": site.name, "user": _user(site, login)}],
        "contexts": [{"name": site.name, "context": {"cluster": site.name, "user": site.name, "namespace": site.namespace}}],
        "current-context": site.name,
    }


def _user(site: Site, login: Login) -> dict[str, Any]:
    match site.cloud:
        case Cloud.AWS:
            # Without --role-arn it would be whoever Clouddriver happens to be.
            where = ["--region", site.region, "--cluster-name", site.cluster.name, "--role-arn", login.identity]
            return _command("aws", ["eks", "get-token", *where, "--output", "json"], {})
        case Cloud.GCP:
            who = {"CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT": site.identities.spinnaker}
            return _command("gke-gcloud-auth-plugin", [], who)
        case Cloud.AZURE:
            who = {"AZURE_CLIENT_ID": login.identity, "AZURE_TENANT_ID": login.tenant}
            return _command("kubelogin", ["get-token", "--login", "workloadidentity", "--server-id", _AKS_SERVER], who)
        case Cloud.LOCAL:
            return {"tokenFile": f"{TOKENS}/{site.name}"}


def _command(command: str, arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "command": command,
            "args": arguments,
            "env": [{"name": name, "value": value} for name, value in environment.items()],
            "interactiveMode": "Never",
            "provideClusterInfo": True,
        }
    }


def rotation(site: Site) -> Iterator[str]:
    """How the account's credential is renewed and how it is taken away, line by line."""
    yield "Rotating the credential:"
    match site.cloud:
        case Cloud.AWS:
            yield "- nothing is kept: `aws eks get-token` makes a token of 15 minutes from the role, whose session lasts an hour"
            yield "- rotate what Clouddriver itself is at home (its web identity, or its keys); the trust of this role stays"
            yield "- take it away: remove `spinnaker.principal`'s trust, or the access entry, with `lorafleet site up`"
        case Cloud.GCP:
            yield "- nothing is kept: the plugin asks Google for a token of an hour as the site's service account"
            yield "- rotate what Clouddriver itself is at home; make no key of the service account"
            yield "- take it away: another `spinnaker.principal` in the stack file, then `lorafleet site up`"
        case Cloud.AZURE:
            yield "- nothing is kept: kubelogin exchanges the pod's projected token (AZURE_FEDERATED_TOKEN_FILE) for one of an hour"
            yield "- rotate the keys of the issuer that signs it; the federated credential names issuer and subject, no key"
            yield "- take it away: another `spinnaker.subject` in the stack file, then `lorafleet site up`"
        case Cloud.LOCAL:
            _, _, namespace, name = site.identities.spinnaker.split(":")
            make = f"kubectl -n {namespace} create token {name} --duration=24h"
            yield f"- a token of the service account lies in {TOKENS}/{site.name}, mounted from a Secret of Spinnaker's cluster"
            yield f"- renew it before it ends, such as by a CronJob every 12 hours: `{make}`, into that Secret"
            yield "- kubectl reads the file anew on each call: Clouddriver needs no restart"
            yield f"- take all of them away at once: `kubectl -n {namespace} delete serviceaccount {name}`, then `lorafleet site up`"
