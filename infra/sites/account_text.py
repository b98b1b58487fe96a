"""What ``site spinnaker-account`` prints."""

from pathlib import Path

import yaml

from infra.config import AzureConfig
from infra.sites.spinnaker_account import FOLDER, Login, account, kubeconfig, rotation
from infra.sites.stacks import SiteStacks
from infra.stack_file import load, stack_file
from lorafleet.contracts.site import Cloud, Site


def account_text(root: Path, stacks: SiteStacks, site: Site, identity: str | None) -> str:
    """Account and kubeconfig as YAML, the rotation as comments below them.

    Raises:
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
    if site.cloud not in (Cloud.AWS, Cloud.AZURE):
        return Login()
    tenant = ""
    if site.cloud is Cloud.AZURE and stacks.cloud is not None:
        config = load(stack_file(root, stacks.cloud))
        tenant = config.tenant if isinstance(config, AzureConfig) else ""
    if identity is None:
        from infra.engine.outputs import cloud_outputs

        identity = cloud_outputs(root, stacks).spinnaker_identity
    return Login(identity, tenant)
