"""One colour for each thing that a stage can be there for."""

from collections.abc import Mapping

from pipelines.model.stages import Role

FILL: Mapping[Role, str] = {
    Role.CHECK: "#eef1f5",
    Role.APPROVAL: "#fff3cd",
    Role.DEPLOY: "#dbeafe",
    Role.SHARE: "#d7f0e3",
    Role.WATCH: "#e8e0fb",
    Role.REVOKE: "#fbd5d0",
    Role.REMOVE: "#fde8e4",
    Role.NOTICE: "#f6f6f6",
}
STROKE: Mapping[Role, str] = {
    Role.CHECK: "#7d8590",
    Role.APPROVAL: "#b58900",
    Role.DEPLOY: "#3b76c4",
    Role.SHARE: "#2f8f5f",
    Role.WATCH: "#7a5cc4",
    Role.REVOKE: "#c0392b",
    Role.REMOVE: "#c0392b",
    Role.NOTICE: "#9a9a9a",
}

AFTER_FAILURE = frozenset({Role.REVOKE, Role.REMOVE})
"""Drawn with dashes: a run in which all goes well skips these."""
