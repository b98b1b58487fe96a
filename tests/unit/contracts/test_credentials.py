import base64
from typing import Any

import pytest

from lorafleet.contracts.credentials import find_credential

# Put together here, so that no scanner takes them for real ones.
PEM = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE\n"
CERTIFICATE = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----\n").decode()


@pytest.mark.parametrize(
    "value",
    [
        PEM,
        base64.b64encode(PEM.encode()).decode(),
        "AKIA" + "A" * 16,
        "eyJ" + "a" * 10 + ".eyJ" + "b" * 10 + ".sig",
        "ghp_" + "a" * 36,
        "xoxb-" + "1" * 12,
        "spk_" + "a" * 12,
        "https://user:" + "pass@host/path",
        "az://container?" + "sig=abc",
        "DefaultEndpointsProtocol=https;" + "AccountKey=abc",
        "apiVersion: v1\nkind: Config\nusers: []",
        '{"kind": "Config"}',
        "https://hooks.slack.com/" + "services/T/B/x",
        "--token=abc",
    ],
)
def test_values_that_are_credentials(value: str) -> None:
    found = find_credential({"a": {"b": ["fine", value]}})
    assert found is not None
    place, what = found
    assert place == "a.b[1]"
    assert value not in what


@pytest.mark.parametrize(
    "name", ["token", "kubeconfig", "Password", "client_secret", "private-key", "authToken", "AWS_SECRET_ACCESS_KEY", "api_key"]
)
def test_names_of_credentials(name: str) -> None:
    found = find_credential({"cluster": {name: "x"}})
    assert found is not None
    assert found[0] == f"cluster.{name}"


@pytest.mark.parametrize(
    "value",
    [
        {"kubeconfig_command": ["aws", "eks", "update-kubeconfig", "--name", "fleet"]},
        {"ca": CERTIFICATE},
        {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/trainer"},
        {"eks.amazonaws.com/token-expiration": "86400"},
        {"address": "#releases", "other": "ops@example.org"},
        {"max_tokens": 64, "kind": "ConfigMap"},
        {"token": None},
        {"url": "https://host:8443/path"},
        [],
        None,
        3,
    ],
)
def test_what_is_no_credential(value: Any) -> None:
    assert find_credential(value) is None
