"""The Clouddriver account of a site."""

import json

import pytest
import yaml
from recorded_program import ROOT, SITES

from infra.incluster.spinnaker_role import RIGHTS
from infra.sites.account_text import account_text
from infra.sites.facts import facts_file, read_facts
from infra.sites.spinnaker_account import Login, account, kubeconfig, rotation
from infra.sites.stacks import find_site
from lorafleet.contracts.credentials import find_credential
from lorafleet.contracts.site import Site

ALL = [*SITES.values(), "local"]


def site(name: str) -> Site:
    return read_facts(facts_file(ROOT, name))


@pytest.mark.parametrize("name", ALL)
def test_the_account_is_the_one_that_the_pipelines_name(name: str) -> None:
    [entry] = account(site(name))["kubernetes"]["accounts"]
    assert entry["name"] == site(name).spinnaker_account
    assert entry["namespaces"] == [site(name).namespace]
    assert entry["kinds"] == [right.kind for right in RIGHTS]
    assert "omitKinds" not in entry  # Clouddriver takes one of the two.
    assert entry["onlySpinnakerManaged"] is True
    assert entry["checkPermissionsOnStartup"] is False
    assert {each["kubernetesKind"] for each in entry["customResources"]} == {"ScaledObject.keda.sh"}


@pytest.mark.parametrize("name", ALL)
def test_no_credential_is_in_it(name: str) -> None:
    login = Login("arn:aws:iam::123456789012:role/x", "00000000-0000-0000-0000-000000000002")
    user = kubeconfig(site(name), login)["users"][0]["user"]
    assert user.keys() <= {"exec", "tokenFile"}
    assert find_credential(account(site(name))) is None


def words(name: str, login: Login) -> list[str]:
    user = kubeconfig(site(name), login)["users"][0]["user"]["exec"]
    return [user["command"], *user["args"], *(f"{each['name']}={each['value']}" for each in user["env"])]


def test_each_clouds_login_is_as_spinnakers_identity_and_nobody_else() -> None:
    role = "arn:aws:iam::123456789012:role/spinnaker"
    assert words("aws-eu-central-1", Login(role))[-3] == role
    assert words("gcp-us-west1", Login()) == [
        "gke-gcloud-auth-plugin",
        f"CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT={site('gcp-us-west1').identities.spinnaker}",
    ]
    assert words("azure-westeurope", Login("client", "tenant"))[-2:] == ["AZURE_CLIENT_ID=client", "AZURE_TENANT_ID=tenant"]
    assert kubeconfig(site("local"), Login())["users"][0]["user"]["tokenFile"].endswith("/local")


IDENTITIES = {
    "aws-eu-central-1": "arn:aws:iam::123456789012:role/x",
    "azure-westeurope": "00000000-0000-0000-0000-000000000009",
}


@pytest.mark.parametrize("name", ALL)
def test_what_is_printed_can_be_pasted(name: str) -> None:
    text = account_text(ROOT, find_site(ROOT, name), site(name), IDENTITIES.get(name))
    first, second = yaml.safe_load_all(text)
    assert first == account(site(name))
    assert second["current-context"] == name
    assert "# Rotating the credential:" in text
    if name == "azure-westeurope":
        assert "00000000-0000-0000-0000-000000000002" in json.dumps(second)


@pytest.mark.parametrize("name", ALL)
def test_the_way_to_rotate_and_to_revoke_is_told(name: str) -> None:
    lines = "\n".join(rotation(site(name)))
    assert "take" in lines
    assert "lorafleet site up" in lines
