"""Kubeconfigs: one that is made in memory from a cloud's outputs, and what one says of its cluster."""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from infra.contract import CloudOutputs
from infra.incluster.config import Local
from lorafleet.contracts.problems import ConfigError
from lorafleet.contracts.site import Cluster


def exec_kubeconfig(outputs: CloudOutputs) -> str:
    """A kubeconfig without any credential: the cloud's own command gives one, for minutes, to whoever is allowed."""
    command, *arguments = outputs.login_command
    name = outputs.cluster.name
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": name,
                    "cluster": {"server": outputs.cluster.endpoint, "certificate-authority-data": outputs.cluster.ca},
                }
            ],
            "users": [
                {
                    "name": name,
                    "user": {
                        "exec": {
                            "apiVersion": "client.authentication.k8s.io/v1beta1",
                            "command": command,
                            "args": arguments,
                            "interactiveMode": "Never",
                            "provideClusterInfo": True,
                        }
                    },
                }
            ],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        },
        sort_keys=True,
    )


def kubeconfig_path(environment: Mapping[str, str] = os.environ) -> Path:
    """The first file that ``KUBECONFIG`` names, or kubectl's own."""
    named = environment.get("KUBECONFIG", "").split(os.pathsep)[0]
    return Path(named) if named else Path.home() / ".kube" / "config"


def cluster_of(local: Local, path: Path) -> Cluster:
    """Address and authority of the cluster that the configuration's context names. No credential is read.

    Raises:
        ConfigError: the file is not there, or does not say it.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise ConfigError(f"cannot be read as a kubeconfig [{NO_FILE}]", where=str(path), hint="let KUBECONFIG name one") from None
    contexts, clusters = _named(found, "contexts"), _named(found, "clusters")
    if local.context not in contexts:
        there = ", ".join(sorted(contexts)) or "none"
        raise ConfigError(f"no context '{local.context}' [{NO_CONTEXT}]", where=str(path), hint=f"there are: {there}")
    name = str((contexts[local.context].get("context") or {}).get("cluster"))
    described = (clusters.get(name) or {}).get("cluster") or {}
    ca = described.get("certificate-authority-data") or _authority(path, described.get("certificate-authority"))
    endpoint = local.endpoint or described.get("server") or ""
    if not ca or not endpoint.startswith("https://"):
        what = f"cluster '{name}' has no https address with an authority [{NO_AUTHORITY}]"
        raise ConfigError(what, where=str(path), hint="the API has to be spoken to over TLS that can be verified")
    command = ("kubectl", "config", "view", "--minify", "--flatten", "--context", local.context)
    return Cluster(name=name, endpoint=endpoint.rstrip("/"), ca=ca, identifier=local.identifier, kubeconfig_command=command)


NO_FILE = "INF231"
NO_CONTEXT = "INF232"
NO_AUTHORITY = "INF233"


def _named(config: Any, key: str) -> dict[str, Any]:
    entries = config.get(key) if isinstance(config, dict) else None
    return {each["name"]: each for each in entries or () if isinstance(each, dict) and "name" in each}


def _authority(kubeconfig: Path, file: Any) -> str | None:
    if not isinstance(file, str):
        return None
    try:
        return base64.b64encode((kubeconfig.parent / file).read_bytes()).decode()
    except OSError:
        return None
