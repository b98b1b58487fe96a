"""What clouds' registries ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.registry.challenge import Challenge, parse_challenge

SEEN = {
    "ECR": (
        'Basic realm="https://123456789012.dkr.ecr.eu-central-1.amazonaws.com/",service="ecr.amazonaws.com"',
        Challenge("basic", "https://123456789012.dkr.ecr.eu-central-1.amazonaws.com/", "ecr.amazonaws.com"),
    ),
    "Artifact Registry": (
        'Bearer realm="https://us-west1-docker.pkg.dev/v2/token",service="us-west1-docker.pkg.dev"',
        Challenge("bearer", "https://us-west1-docker.pkg.dev/v2/token", "us-west1-docker.pkg.dev"),
    ),
    "ACR": (
        'Bearer realm="https://example.azurecr.io/oauth2/token",service="example.azurecr.io",scope="repository:a:pull",error="invalid_token"',
        Challenge("bearer", "https://example.azurecr.io/oauth2/token", "example.azurecr.io"),
    ),
    "a comma in quotes": ('Bearer realm="https://a/t?x=1,2", service="b\\"c"', Challenge("bearer", "https://a/t?x=1,2", 'b"c')),
    "bare words": ("bearer realm=https://a/t, service=b", Challenge("bearer", "https://a/t", "b")),
    "no parameters": ("Basic", Challenge("basic")),
    "something else": ('Negotiate realm="x"', None),
    "nothing": ("", None),
}


@pytest.mark.parametrize("name", SEEN)
def test_challenges(name: str) -> None:
    header, expected = SEEN[name]
    assert parse_challenge(header) == expected


@given(st.text(max_size=80))
def test_no_header_breaks_it(header: str) -> None:
    found = parse_challenge(header)
    assert found is None or found.scheme in ("basic", "bearer")
