"""A real Kubernetes of one node: a control plane, and a kubelet whose containers are containerd's and runc's."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Self

import yaml

from tests.engines.kubernetes.cluster import GPU_TAINT
from tests.engines.kubernetes.control_plane import ControlPlane
from tests.engines.node import enclosure, pause_image
from tests.engines.node.enclosure import Enclosure
from tests.engines.processes import Server, binary, wait_until

NAME = "node-1"
_BUILD = "tests/engines/node/build.sh"
_CNI = Path("/usr/lib/cni")
_INSTALLED = ("containerd", "ctr", "runc", "iptables")


def missing() -> str:
    """Why no node can run here; empty where one can."""
    if absent := [program for program in _INSTALLED if shutil.which(program) is None]:
        return f"{', '.join(absent)} not installed"
    if not (_CNI / "bridge").exists():
        return "the CNI plugins (containernetworking-plugins) are not installed"
    return enclosure.missing()


class Node(ControlPlane):
    """About 800 MB, Ready in some ten seconds.

    Pods reach this machine at :attr:`ControlPlane.address` alone, where the tests' own servers listen; names are asked for there
    too (:class:`tests.engines.node.names.Names`). ``trusted``: certificates that every container on this node trusts, as where a
    company has an authority of its own. Images come over plain HTTP from what :meth:`add_registry` names.
    """

    def __init__(self, name: str, folder: Path, trusted: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.enclosure = Enclosure(folder)
        super().__init__(name, folder, self.enclosure.outside)
        self._trusted = folder / "trusted.pem"
        self._trusted.write_bytes(trusted)
        self._socket = folder / "containerd.sock"

    def start(self) -> Self:
        """Control plane and node; waits until the node is Ready. It has one GPU, behind which there is none."""
        self.enclosure.open()
        super().start()
        self._start_containerd()
        self._start_kubelet()
        wait_until(lambda: self._kubectl(["get", "node", NAME]).returncode == 0, 60, "the node's registration")
        self.kubectl("wait", "--for=condition=Ready", f"node/{NAME}", "--timeout=60s")
        one = [{"op": "add", "path": f"/status/{where}/nvidia.com~1gpu", "value": "1"} for where in ("capacity", "allocatable")]
        self.kubectl("patch", "node", NAME, "--subresource=status", "--type=json", "--patch", json.dumps(one))
        return self

    def stop(self) -> None:
        """End everything, pods first, and remove what containers and volumes have left on the disk."""
        try:
            self.enclosure.close()
        finally:
            for server in self._servers.values():
                server.kill()
            # A hundred thousand files, for which shutil would need a minute.
            left = [str(self.folder / name) for name in ("containerd", "containerd-state", "kubelet")]
            subprocess.run(["rm", "-rf", *left], check=True)

    def add_registry(self, host: str, address: str) -> None:
        """Images of registry ``host`` are pulled from ``address``."""
        folder = self.folder / "registries" / host
        folder.mkdir(parents=True)
        (folder / "hosts.toml").write_text(
            f'server = "http://{address}"\n[host."http://{address}"]\ncapabilities = ["pull", "resolve"]\n'
        )

    def ctr(self, *words: str) -> str:
        """What containerd's own client says about the pods' containers and images."""
        return self.enclosure.run("ctr", f"--address={self._socket}", "--namespace=k8s.io", *words)

    def _start_containerd(self) -> None:
        self._network()
        (self.folder / "registries").mkdir(exist_ok=True)
        config = self._write("containerd.toml", _CONTAINERD.format(folder=self.folder, pause=pause_image.NAME, plugins=_CNI))
        spec = json.loads(self.enclosure.run("ctr", "oci", "spec"))
        spec["mounts"].append({"destination": _CA, "type": "bind", "source": str(self._trusted), "options": ["rbind", "ro"]})
        spec["process"]["env"] = [f"{variable}={_CA}" for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")]
        self._write("container.json", json.dumps(spec))
        server = self._start_inside("containerd", "containerd", f"--config={config}")
        server.wait_for(lambda: self._socket.exists() and self._answers(), 30)
        archive = self.folder / "pause.tar"
        pause_image.write_pause_image(binary("pause", _BUILD), archive)
        self.ctr("images", "import", str(archive))

    def _start_kubelet(self) -> None:
        for folder in ("kubelet", "logs", "volume-plugins"):
            (self.folder / folder).mkdir()
        resolve = self._write("resolv.conf", f"nameserver {self.address}\n")
        self.enclosure.show(resolve, "/etc/resolv.conf")
        settings = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.enclosure.cgroup}",
            "failCgroupV1": False,
            "failSwapOn": False,
            # Without CAP_SYS_RESOURCE nothing may make itself harder to kill.
            "oomScoreAdj": 0,
            "containerRuntimeEndpoint": f"unix://{self._socket}",
            "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(self.folder / "ca.crt")}},
            "authorization": {"mode": "AlwaysAllow"},
            "clusterDNS": [self.address],
            "clusterDomain": "cluster.local",
            "resolvConf": str(resolve),
            "volumePluginDir": str(self.folder / "volume-plugins"),
            "podLogsDir": str(self.folder / "logs"),
            "registerWithTaints": [GPU_TAINT],
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
        }
        self._start_inside(
            "kubelet",
            str(binary("kubelet", _BUILD)),
            f"--config={self._write('kubelet.yaml', yaml.safe_dump(settings))}",
            f"--kubeconfig={self.write_kubeconfig('kubelet.kubeconfig', f'system:node:{NAME}', 'system:nodes')}",
            f"--hostname-override={NAME}",
            f"--node-ip={self.enclosure.inside}",
            f"--root-dir={self.folder / 'kubelet'}",
            f"--cert-dir={self.folder / 'kubelet-certificates'}",
            "--v=2",
        )
        self._start_inside(
            "kube-proxy",
            str(binary("kube-proxy", _BUILD)),
            f"--kubeconfig={self.write_kubeconfig('kube-proxy.kubeconfig', 'system:kube-proxy')}",
            f"--hostname-override={NAME}",
            "--proxy-mode=iptables",
            f"--cluster-cidr={self.enclosure.pods}",
            # The limit of connections is the whole machine's.
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        )

    def _network(self) -> None:
        (self.folder / "cni").mkdir()
        ipam = {
            "type": "host-local",
            "dataDir": str(self.folder / "addresses"),
            "ranges": [[{"subnet": self.enclosure.pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "ipMasq": True, "hairpinMode": True, "ipam": ipam}
        plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
        self._write("cni/pods.conflist", json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": plugins}))

    def _answers(self) -> bool:
        try:
            self.ctr("version")
        except RuntimeError:
            return False
        return True

    def _write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def _start_inside(self, name: str, *words: str) -> Server:
        server = Server(name, self.enclosure.command(*words), self.folder, {"PATH": _PATH}).start()
        self._servers[name] = server
        return server


_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CA = "/etc/ssl/certs/trusted.pem"
# restrict_oom_score_adj: without CAP_SYS_RESOURCE every sandbox would fail with "can't get final child's PID from pipe: EOF".
_CONTAINERD = """\
version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
oom_score = 0
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    discard_unpacked_layers = true
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      base_runtime_spec = "{folder}/container.json"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{folder}/registries"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
"""
