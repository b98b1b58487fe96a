"""What Spinnaker may do in a site: exactly the verbs and kinds that the generated pipelines use, in the workers' namespace.

Derived from what Clouddriver runs for each stage of :mod:`pipelines.patterns`:

- *deploy* applies a Deployment and a ScaledObject (``kubectl apply``: get, create, patch) and reads them until they are stable;
- *smoke* deletes the Job of an earlier try (``strategy.spinnaker.io/recreate``), applies it and reads its pods;
- *remove* deletes by labels (``kubectl delete -l``: list, delete, and watch until they are gone).

Clouddriver also lists, again and again, every kind of its account to fill its cache. So the account has to name these kinds and this
namespace, and nothing else: it would be refused whatever it asks besides. Logs of pods are not among them: pipelines read none, and a
person reads them with rights of their own.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Right:
    """Verbs on one kind of objects. ``kind`` is as Clouddriver's account names it."""

    group: str
    resource: str
    kind: str
    verbs: tuple[str, ...]


_CHANGES = ("get", "list", "watch", "create", "patch", "delete")

RIGHTS: tuple[Right, ...] = (
    Right("apps", "deployments", "deployment", _CHANGES),
    Right("keda.sh", "scaledobjects", "ScaledObject.keda.sh", _CHANGES),
    Right("batch", "jobs", "job", _CHANGES),
    Right("", "pods", "pod", ("get", "list")),
)

ROLE = "spinnaker"
"""The name of the Role and of its binding."""
