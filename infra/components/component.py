"""The base of every component."""

from collections.abc import Sequence

import pulumi


class Component(pulumi.ComponentResource):
    """A part of a site. Its type is ``lorafleet:<concern>:<Cloud>``; its resources take their provider from it."""

    def __init__(self, kind: str, name: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__(f"lorafleet:{kind}", name, None, opts)

    def child(
        self,
        *,
        protect: bool | None = None,
        depends_on: Sequence[pulumi.Resource] = (),
        ignore_changes: Sequence[str] = (),
        retain_on_delete: bool = False,
    ) -> pulumi.ResourceOptions:
        """Options of a resource that belongs to this component.

        ``retain_on_delete`` is for settings of a whole account or project, which another site may rely on.
        """
        return pulumi.ResourceOptions(
            parent=self,
            protect=protect,
            depends_on=list(depends_on) or None,
            ignore_changes=list(ignore_changes) or None,
            retain_on_delete=retain_on_delete or None,
        )
