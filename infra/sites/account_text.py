"""What ``site spinnaker-account`` prints."""

import re
from pathlib import Path

import yaml

from infra.config import AzureConfig
from infra.sites.spinnaker_account import FOLDER, Login, account, kubeconfig, rotation
from infra.sites.stacks import SiteStacks
from infra.stack_file import load, stack_file
from lorafleet.contracts.problems import UsageError
from lorafleet.contracts.site import Cloud, Site

_IDENTITIES = {
    Cloud.AWS: (r"arn:aws:iam::\d{12}:role/[\w+=,.@/-]+", "role's ARN"),
    Cloud.AZURE: (r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "client id"),
}
"""Who Spinnaker is to the clouds whose cluster has another name of it."""


def account_text(root: Path, stacks: SiteStacks, site: Site, identity: str | None) -> str:
    """Account and kubeconfig as YAML, the rotation as comments below them.

    Raises:
        UsageError: the identity that is given cannot be one.
        LorafleetError: the site's identity of Spinnaker is not given, and no backend tells it.
    """
    login = _login(root, stacks, site, identity)
    parts = [
        "# clouddriver.yml\n" + yaml.safe_dump(account(site), sort_keys=False),
        f"---\n# {FOLDER}/{site.name}.yaml in Clouddriver's pod\n" + yaml.safe_dump(kubeconfig(site, login), sort_keys=False),
        "".join(f"# {line}\n" for line in rotation(site)),
    ]
    return "".join(parts)


def _login(root: Path, stacks: SiteStacks, site: Site, identity: str | None) -> Login:
    form = _IDENTITIES.get(site.cloud)
    if identity is not None and form is None:
        raise UsageError(f"--identity: the account of a {site.cloud} site needs none", hint="leave it out")
    if identity is not None and form is not None and re.fullmatch(form[0], identity) is None:
        raise UsageError(f"--identity: '{identity}' is no {form[1]}", hint="or leave it out, and the cloud stack is asked")
    if form is None:
        return Login()
    tenant = ""
    if site.cloud is Cloud.AZURE and stacks.cloud is not None:
        config = load(stack_file(root, stacks.cloud))
        tenant = config.tenant if isinstance(config, AzureConfig) else ""
    if identity is None:
        from infra.engine.outputs import cloud_outputs

        identity = cloud_outputs(root, stacks).spinnaker_identity
    return Login(identity, tenant)
