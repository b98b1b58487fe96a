"""Each input of each resource of each program, held against its SDK; and the holding itself, held against known mistakes."""

import copy
from typing import Any

import pytest
from recorded_program import SITES, recorded
from sdk_schema import faults


@pytest.mark.parametrize("cloud", SITES)
def test_the_sdk_takes_every_input(cloud: str) -> None:
    found = {each.label: faults(each.type, each.inputs) for each in recorded(cloud).resources if each.custom}
    assert {label: wrong for label, wrong in found.items() if wrong} == {}
    assert len(found) > 30


def node_group() -> dict[str, Any]:
    return copy.deepcopy(recorded("aws").one("eks/nodeGroup:NodeGroup", "l4").inputs)


def test_a_misspelt_nested_key_is_found() -> None:
    inputs = node_group()
    inputs["scalingConfig"]["maxsize"] = inputs["scalingConfig"].pop("maxSize")
    assert faults("aws:eks/nodeGroup:NodeGroup", inputs) == [
        "scalingConfig.maxSize: missing in NodeGroupScalingConfigArgs",
        "scalingConfig.maxsize: unknown in NodeGroupScalingConfigArgs",
    ]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("instanceTypes", "g6.xlarge", "instanceTypes: 'g6.xlarge' is no"),
        ("instanceTypes", [4], "instanceTypes[0]: 4 is no"),
        ("labels", {"a": True}, "labels.a: True is no"),
        ("diskSize", "50", "diskSize: '50' is no"),
        ("scalingConfig", [], "scalingConfig: [] is no"),
        ("amiType", "AL2_x86_64_GPU", "amiType: 'AL2_x86_64_GPU' is none of"),
        ("taints", [{"key": "k", "effect": "NoSchedule"}], "taints[0].effect: 'NoSchedule' is none of"),
        ("machineType", "g6.xlarge", "machineType: unknown in NodeGroupArgs"),
    ],
)
def test_a_wrong_value_is_found(key: str, value: Any, said: str) -> None:
    wrong = faults("aws:eks/nodeGroup:NodeGroup", {**node_group(), key: value})
    assert len(wrong) == 1
    assert wrong[0].startswith(said)


def test_an_enumeration_of_azure_is_held() -> None:
    pool = copy.deepcopy(recorded("azure").all("containerservice:AgentPool")[0].inputs)
    assert faults("azure-native:containerservice:AgentPool", {**pool, "scaleSetPriority": "Cheap"}) == [
        "scaleSetPriority: 'Cheap' is none of Spot, Regular"
    ]
