"""The shared files: a volume that is there already, bound to one claim, in every cloud; or a class of one's own cluster."""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import core, storage

from infra.incluster.components.inside import Inside
from infra.incluster.components.namespaces import Namespace
from infra.incluster.components.pods import DO_NOT_WAIT, metadata
from infra.incluster.config import LocalVolume
from infra.incluster.facts import CLAIM, CsiVolume, SharedFiles

COMPONENT = "shared-files"
_CLASS = "lorafleet-shared"


@dataclass(frozen=True)
class SharedFilesProps:
    """``name`` is the site's; a PersistentVolume belongs to the whole cluster."""

    site: str
    home: Namespace
    files: SharedFiles
    protect: bool


class SharedFilesClaim(Inside):
    """The claim ``shared``, many pods at once. What it names is kept when the claim goes."""

    def __init__(self, name: str, props: SharedFilesProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("shared-files", name, props.home, opts)
        self._name, self._props = name, props
        gib = f"{props.files.gib}Gi"
        if isinstance(props.files, LocalVolume) and props.files.storage_class is not None:
            storage_class: pulumi.Input[str] = props.files.storage_class
            volume: pulumi.Input[str] | None = None
        else:
            storage_class = self._class()
            volume = self._volume(storage_class, gib)
        core.v1.PersistentVolumeClaim(
            name,
            metadata=metadata(CLAIM, COMPONENT, props.home.name, DO_NOT_WAIT),
            spec=core.v1.PersistentVolumeClaimSpecArgs(
                access_modes=["ReadWriteMany"],
                storage_class_name=storage_class,
                volume_name=volume,
                resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": gib}),
            ),
            opts=self.child(protect=props.protect),
        )
        self.register_outputs({})

    def _class(self) -> pulumi.Output[str]:
        """A class that makes nothing: no claim but ours gets a volume of it, and ours gets the one that is named."""
        made = storage.v1.StorageClass(
            self._name,
            metadata=metadata(_CLASS, COMPONENT),
            provisioner="kubernetes.io/no-provisioner",
            reclaim_policy="Retain",
            volume_binding_mode="Immediate",
            opts=self.child(),
        )
        name: pulumi.Output[str] = made.metadata.name
        return name

    def _volume(self, storage_class: pulumi.Input[str], gib: str) -> pulumi.Output[str]:
        files = self._props.files
        volume = core.v1.PersistentVolume(
            self._name,
            metadata=metadata(f"lorafleet-{self._props.site}-shared", COMPONENT),
            spec=core.v1.PersistentVolumeSpecArgs(
                access_modes=["ReadWriteMany"],
                capacity={"storage": gib},
                persistent_volume_reclaim_policy="Retain",
                storage_class_name=storage_class,
                claim_ref=core.v1.ObjectReferenceArgs(namespace=self._props.home.name, name=CLAIM),
                csi=_csi(files) if isinstance(files, CsiVolume) else None,
                nfs=_nfs(files) if isinstance(files, LocalVolume) else None,
                host_path=_host_path(files) if isinstance(files, LocalVolume) else None,
            ),
            opts=self.child(protect=self._props.protect),
        )
        name: pulumi.Output[str] = volume.metadata.name
        return name


def _csi(files: CsiVolume) -> core.v1.CSIPersistentVolumeSourceArgs:
    return core.v1.CSIPersistentVolumeSourceArgs(
        driver=files.driver, volume_handle=files.handle, volume_attributes=dict(files.attributes) or None
    )


def _nfs(files: LocalVolume) -> core.v1.NFSVolumeSourceArgs | None:
    return core.v1.NFSVolumeSourceArgs(server=files.nfs.server, path=files.nfs.path) if files.nfs else None


def _host_path(files: LocalVolume) -> core.v1.HostPathVolumeSourceArgs | None:
    return core.v1.HostPathVolumeSourceArgs(path=files.host_path, type="Directory") if files.host_path else None
