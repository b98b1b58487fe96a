"""``lorafleet site`` from end to end: the command, Pulumi's real engine and a real Kubernetes API."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engines.kubernetes.cluster import Cluster
from tests.engines.processes import wait_until
from tests.engines.pulumi.engine import ROOT, Engine

SITE = "local"


class Site:
    """A project with one site in one's own cluster, and the command as a person types it."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.cluster = cluster
        self.engine = Engine(folder)
        self.file = self.engine.project / "Pulumi.local-incluster.yaml"
        context = yaml.safe_load(cluster.kubeconfig.read_text())["current-context"]
        self.local: dict[str, Any] = {
            "region": "home",
            "context": context,
            "identifier": "home-2026",
            "registry": "registry.example.org/fleet",
            "object_store": "s3://loras-home/fleet",
            "gpu_pools": [{"gpu": "L4", "driver": "580.95.05", "gpus": 4}],
        }
        self.config: dict[str, Any] = {
            "local": self.local,
            "present_secrets": ["lorafleet-enrolment"],
            "keda": {"mode": "present"},
            "prometheus": {"url": "http://prometheus.monitoring.svc:9090", "console": "https://fleet.example.org"},
            "protect": False,
        }
        self.write()

    def write(self) -> None:
        kept = yaml.safe_load(self.file.read_text()) if self.file.exists() else {}
        self.file.write_text(yaml.safe_dump({**kept, "config": {"lorafleet:incluster": self.config}}))

    def environment(self, **changes: str) -> dict[str, str]:
        return {**self.engine.environment(), "KUBECONFIG": str(self.cluster.kubeconfig), "COLUMNS": "150", **changes}

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "lorafleet", "site", *words, "--project", str(self.engine.project)]

    def bring_up(self) -> None:
        """The site as its files say, whatever a test before has left."""
        done = self.run("up", SITE, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(*words),
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def events(self, *words: str) -> list[dict[str, Any]]:
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One cluster and one project for all tests here; nothing is up yet."""
    folder = tmp_path_factory.mktemp("site")
    cluster = Cluster("home", folder / "cluster").start()
    cluster.kubectl("apply", "-f", str(Path(__file__).parent / "kubernetes" / "keda-crd.yaml"))
    try:
        yield Site(folder / "pulumi", cluster)
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def first_up(project: Site) -> str:
    """What an ``up`` printed that was interrupted at its first object, with its exit code in the last line. Another one followed."""
    for verb, code, line in (
        ("drift", 1, "error: site local is not up (lorafleet site up local)"),
        ("export", 69, "error: local-incluster: the backend has no stack local-incluster (lorafleet site up makes it)"),
    ):
        done = project.run(verb, SITE)
        assert (done.returncode, done.stderr.strip()) == (code, line)
    log = project.engine.folder / "interrupted.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            project.words("up", SITE, "--yes"), env=project.environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        wait_until(lambda: "created kubernetes:" in log.read_text(), 120, "the first object was made", every=0.02)
        # To the command alone, as a supervisor does it: the command hands it on.
        os.kill(process.pid, signal.SIGINT)
        process.wait(timeout=120)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    project.bring_up()
    return f"{log.read_text()}{process.returncode}"


@pytest.fixture
def site(project: Site, first_up: str) -> Site:
    """A site that is up."""
    return project


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of an error, or the lines; a traceback is none."""
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


def test_ctrl_c_ends_the_engine_in_its_own_way_and_the_next_up_goes_on(site: Site, first_up: str) -> None:
    assert first_up.endswith("\n130")
    assert "stopping: the engine finishes what it has begun" in first_up
    assert "stopped: up of local-incluster was stopped" in first_up
    assert "lorafleet site up local goes on" in first_up
    assert site.run("preview", SITE).returncode == 0


def test_the_site_that_is_up(site: Site) -> None:
    listed = json.loads(site.run("list", "--json").stdout)
    assert [each["site"] for each in listed] == [SITE]
    assert listed[0]["stacks"]["local-incluster"].endswith("resources")
    file = site.engine.project / "sites" / "local.json"
    assert site.run("export", SITE).returncode == 0
    facts = json.loads(file.read_text())
    assert facts["gpu_pools"] == [{"type": "L4", "driver": "580.95.05", "max": 4}]
    assert facts["cluster"]["endpoint"] == f"https://127.0.0.1:{site.cluster.port}"
    assert site.run("export", SITE, "--check").returncode == 0
    assert site.run("check").returncode == 0
    file.write_text(file.read_text().replace('"max": 4', '"max": 5'))
    done = site.run("export", SITE, "--check")
    assert done.returncode == 78
    assert "gpu_pools is" in said(done)
    assert site.run("check").returncode == 78


def test_spinnakers_account_lets_it_in_and_only_where_it_belongs(site: Site) -> None:
    assert site.run("export", SITE).returncode == 0
    printed = site.run("spinnaker-account", SITE)
    assert printed.returncode == 0, printed.stderr
    account, kubeconfig = (yaml.safe_load(part) for part in printed.stdout.split("---\n"))
    [entry] = account["kubernetes"]["accounts"]
    token = site.engine.folder / "token"
    token.write_text(site.cluster.kubectl("-n", "lorafleet-deployers", "create", "token", "spinnaker"))
    kubeconfig["users"][0]["user"]["tokenFile"] = str(token)
    path = site.engine.folder / "spinnaker.yaml"
    path.write_text(yaml.safe_dump(kubeconfig))

    def may(verb: str, kind: str, namespace: str) -> bool:
        words = ["kubectl", f"--kubeconfig={path}", "auth", "can-i", verb, kind, "-n", namespace]
        done = subprocess.run(words, env={"PATH": os.environ["PATH"], "HOME": str(path.parent)}, capture_output=True, check=False)
        return done.returncode == 0

    for kind in entry["kinds"]:
        # Clouddriver lists each kind of the account again and again.
        assert may("list", "scaledobjects.keda.sh" if "." in kind else kind, entry["namespaces"][0]), kind
    assert not may("list", "secrets", entry["namespaces"][0])
    assert not may("list", "deployments", "kube-system")


def test_what_was_changed_by_hand_is_told_and_taken_back(site: Site) -> None:
    done = site.run("drift", SITE)
    assert (done.returncode, done.stdout) == (0, "local: nothing was changed by hand\n")
    site.cluster.kubectl("-n", "lora", "patch", "resourcequota", "room", "--type=merge", "-p", '{"spec":{"hard":{"pods":"7"}}}')
    site.cluster.kubectl("-n", "lora", "delete", "role", "spinnaker")
    done = site.run("drift", SITE, "--json")
    assert done.returncode == 2, done.stderr
    changes = {(each["name"], each["path"], each["kind"], each["after"]) for each in json.loads(done.stdout)}
    assert ("workers-room", "spec.hard.pods", "changed", "7") in changes
    assert ("spinnaker", "", "gone", "") in changes
    assert site.run("refresh", SITE, "--yes").returncode == 0
    told = site.events("up", SITE, "--yes")
    done_steps = {(each["op"], each["name"]) for each in told if each["event"] == "step" and each["phase"] == "done"}
    assert done_steps == {("update", "workers-room"), ("create", "spinnaker")}
    assert site.run("drift", SITE).returncode == 0


@pytest.mark.parametrize(
    ("environment", "code", "line"),
    [
        ({"PULUMI_CONFIG_PASSPHRASE": "wrong"}, 78, "the passphrase is not the one that the stack's secrets are under"),
        ({"PATH": "/usr/bin:/bin"}, 69, "the command 'pulumi' is not there"),
        ({"PULUMI_BACKEND_URL": "file:///nowhere/at/all"}, 69, "the backend of Pulumi's states does not answer"),
        ({"PULUMI_BACKEND_URL": ""}, 69, "Pulumi is logged in to no backend"),
    ],
    ids=["passphrase", "no-pulumi", "backend", "login"],
)
def test_each_thing_that_is_missing_is_one_line(site: Site, environment: dict[str, str], code: int, line: str) -> None:
    done = site.run("preview", SITE, **environment)
    assert done.returncode == code, done.stdout + done.stderr
    assert line in said(done)
    assert len(done.stderr.splitlines()) == 1


def test_a_stack_that_another_run_holds(site: Site) -> None:
    locks = site.engine.folder / "backend" / ".pulumi" / "locks" / "organization" / "lorafleet" / "local-incluster"
    locks.mkdir(parents=True, exist_ok=True)
    lock = locks / "00000000-0000-0000-0000-000000000000.json"
    lock.write_text(json.dumps({"pid": 1, "username": "somebody", "hostname": "elsewhere", "timestamp": "2026-11-24T00:00:00Z"}))
    try:
        done = site.run("up", SITE, "--yes")
    finally:
        lock.unlink()
    assert done.returncode == 69, done.stdout + done.stderr
    assert "another run holds the stack's lock" in said(done)
    assert "pulumi cancel --stack local-incluster" in done.stderr


def test_nobody_is_asked_where_there_is_nobody(site: Site) -> None:
    for verb in ("up", "destroy", "refresh"):
        done = site.run(verb, SITE)
        assert (done.returncode, said(done)) == (2, "error: there is nobody to ask (give --yes)\n")


def test_a_wrong_configuration_is_said_before_the_engine_starts(site: Site) -> None:
    site.local["gpu_pools"][0]["gpu"] = "L5"
    site.write()
    try:
        done = site.run("up", SITE, "--yes", PATH="/usr/bin:/bin")
    finally:
        site.local["gpu_pools"][0]["gpu"] = "L4"
        site.write()
    assert done.returncode == 78
    assert "L5" in said(done)
    assert done.stderr.startswith("error: Pulumi.local-incluster.yaml:")


def test_what_is_protected_stops_a_destroy_before_anything_goes_and_then_all_goes(site: Site) -> None:
    site.config["protect"] = True
    site.write()
    try:
        site.bring_up()
        done = site.run("destroy", SITE, "--yes")
    finally:
        site.config["protect"] = False
        site.write()
    assert done.returncode == 78
    assert "are protected: " in said(done)
    assert "set protect: false in Pulumi.local-incluster.yaml" in done.stderr
    assert site.cluster.kubectl("get", "namespace", "lora", "-o", "name") == "namespace/lora\n"
    site.bring_up()
    try:
        told = site.events("destroy", SITE, "--yes")
        assert told[-1]["text"].startswith("local is down, ")
        assert "namespace/lora" not in site.cluster.kubectl("get", "namespaces", "-o", "name").split()
        assert "nothing to delete" in site.run("destroy", SITE, "--yes").stdout
        assert site.run("preview", SITE).returncode == 2
    finally:
        site.bring_up()


def test_a_cloud_whose_cluster_does_not_answer_stops_the_walk_and_keeps_its_data(tmp_path: Path) -> None:
    name, tools = "aws-eu-central-1", tmp_path / "tools"
    engine = Engine(tmp_path / "pulumi")
    for stack in (name, f"{name}-incluster"):
        shutil.copy(ROOT / f"Pulumi.{stack}.yaml", engine.project)
    tools.mkdir()
    (tools / "aws").write_text("#!/bin/sh\nexit 1\n")
    (tools / "aws").chmod(0o755)
    environment = {**engine.environment(), "PATH": f"{tools}{os.pathsep}{engine.environment()['PATH']}"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lorafleet", "site", *words, "--project", str(engine.project)]
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=290
        )

    done = run("up", name, "--yes")
    assert done.returncode == 1, done.stdout + done.stderr
    why, on = said(done).splitlines()
    assert why.startswith(f"error: {name}-incluster: ")
    assert on == f"error: up of {name} stopped at {name}-incluster (lorafleet site up {name} goes on)"
    assert run("drift", name).returncode == 0
    done = run("destroy", name, "--yes")
    assert done.returncode == 78
    assert "aws:s3/bucket:Bucket store" in said(done)
    assert run("drift", name).returncode == 0, "nothing went"
