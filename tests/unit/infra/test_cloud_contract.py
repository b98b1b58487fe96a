"""What a cloud stack hands on."""

import copy
from typing import Any

import pytest
from pydantic import ValidationError
from recorded_program import recorded

from infra.contract import CloudOutputs


def told() -> dict[str, Any]:
    outputs: dict[str, Any] = copy.deepcopy(recorded("aws").outputs["cloud"])
    return outputs


def test_gpus_of_one_kind_and_driver_are_added_up() -> None:
    value = told()
    value["gpu_pools"][0].update(gpus=4, max_nodes=3)
    value["gpu_pools"][1].update(gpus=1, max_nodes=2)
    site = CloudOutputs.model_validate(value).site(claim="shared", prometheus=None, spinnaker_account="a")
    assert [(pool.type, pool.driver, pool.max) for pool in site.gpu_pools] == [("L4", "580.95.05", 14)]


def test_another_driver_is_another_pool() -> None:
    value = told()
    value["gpu_pools"][1]["driver"] = "570.1"
    site = CloudOutputs.model_validate(value).site(claim="shared", prometheus=None, spinnaker_account="a")
    assert [(pool.driver, pool.max) for pool in site.gpu_pools] == [("580.95.05", 6), ("570.1", 2)]


@pytest.mark.parametrize(("key", "value"), [("kubeconfig", "x"), ("registry", "host/-----BEGIN PRIVATE KEY-----"), ("token", "x")])
def test_a_credential_is_refused_and_not_shown(key: str, value: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CloudOutputs.model_validate({**told(), key: value})
    assert "read by everybody" in str(caught.value)
    assert "BEGIN" not in str(caught.value)
