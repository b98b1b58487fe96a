"""The base of a component that lives in one of the stack's namespaces."""

from collections.abc import Sequence

import pulumi

from infra.components.component import Component
from infra.incluster.components.namespaces import Namespace


class Inside(Component):
    """Its resources wait for the namespace and for what confines it: nothing runs before the walls stand."""

    def __init__(self, kind: str, name: str, home: Namespace, opts: pulumi.ResourceOptions) -> None:
        super().__init__(f"{kind}:InCluster", name, opts)
        self._walls = home.ready

    def child(
        self,
        *,
        protect: bool | None = None,
        depends_on: Sequence[pulumi.Resource] = (),
        ignore_changes: Sequence[str] = (),
        retain_on_delete: bool = False,
    ) -> pulumi.ResourceOptions:
        """As :meth:`Component.child`, after the namespace's walls."""
        return super().child(
            protect=protect,
            depends_on=[*self._walls, *depends_on],
            ignore_changes=ignore_changes,
            retain_on_delete=retain_on_delete,
        )
