"""Names that each cloud takes, whatever the site is called."""

import re

from hypothesis import given
from hypothesis import strategies as st

from infra.naming import Names
from lorafleet.contracts.layout import ID

sites = st.from_regex(ID, fullmatch=True)
organizations = st.from_regex(r"[a-z][a-z0-9-]{1,18}[a-z0-9]", fullmatch=True)


@given(site=sites, organization=organizations, owner=st.text(max_size=40))
def test_every_name_is_allowed(site: str, organization: str, owner: str) -> None:
    names = Names(site, organization, owner)
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,38}[a-z0-9]", names.cluster)
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", names.bucket)
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,61}[a-z0-9]", names.repository)
    assert re.fullmatch(r"[a-z0-9]{3,24}", names.storage_account)
    assert re.fullmatch(r"[a-z0-9]{3,24}", names.file_account)
    assert re.fullmatch(r"[a-z0-9]{5,50}", names.container_registry)
    for ending in ("node", "trainer", "spinnaker"):
        assert re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", f"{names.service_account}-{ending}")


@given(site=sites, organization=organizations)
def test_what_is_unique_in_the_world_differs_by_account(site: str, organization: str) -> None:
    one, other = Names(site, organization, "111111111111"), Names(site, organization, "222222222222")
    for name in ("bucket", "storage_account", "file_account", "container_registry"):
        assert getattr(one, name) != getattr(other, name)
    assert one.storage_account != one.file_account


@given(one=sites, other=sites)
def test_two_sites_never_share_a_name(one: str, other: str) -> None:
    if one != other:
        first, second = Names(one, "example", "1"), Names(other, "example", "1")
        for name in ("cluster", "bucket", "repository", "service_account", "storage_account", "container_registry"):
            assert getattr(first, name) != getattr(second, name)
