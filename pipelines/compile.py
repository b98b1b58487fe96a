"""From ``fleet.yaml`` to what is pushed: pure, the same for the same input on every machine."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from lorafleet.contracts.fleet import FleetSpec
from lorafleet.contracts.problems import ConfigError, Problem
from lorafleet.contracts.site import Site
from pipelines.budget import check_budget
from pipelines.model.pipeline import Application, Delivery, Pipeline
from pipelines.patterns.analysis import canary_config
from pipelines.patterns.release import release_pipeline, workers_of
from pipelines.patterns.rollback import rollback_pipeline

__all__ = ["Delivery", "Pipeline", "compile_fleet"]


def compile_fleet(spec: FleetSpec, sites: Mapping[str, Site]) -> Delivery:
    """The application and its pipelines *release* and *rollback*. ``sites`` by name; more than the release needs do no harm.

    Raises:
        ConfigError: something is missing (the console's address, a site's file), a site cannot hold its workers, or the worst case
            of a rollback takes longer than ``rollback.within``.
    """
    problems = [*_missing(spec, sites)]
    if problems or spec.console is None:
        raise ConfigError(problems)
    console_url = spec.console.url
    workers = workers_of(spec, sites, console_url)
    release = release_pipeline(spec, workers, console_url)
    check_budget(release, spec.rollback.within)
    pipelines = (release, rollback_pipeline(spec, workers, console_url))
    return Delivery(_application(spec, console_url), pipelines, canary_config(spec))


def _missing(spec: FleetSpec, sites: Mapping[str, Site]) -> list[Problem]:
    problems = []
    if spec.console is None:
        what = "key 'console.url' is missing: workers and Spinnaker's webhooks call the console there"
        problems.append(Problem(what, hint="the compact form has no place for it; give it by option, or write fleet.yaml"))
    for cluster in spec.release.clusters:
        site = sites.get(cluster.site)
        if site is None:
            hint = f"lorafleet site export {cluster.site} writes it"
            problems.append(Problem(f"the facts of site '{cluster.site}' are missing", f"sites/{cluster.site}.json", hint))
        elif site.name != cluster.site:
            problems.append(Problem(f"this file is of site '{site.name}'", f"sites/{cluster.site}.json", "export it again"))
        elif sum(pool.max for pool in site.gpu_pools) < cluster.target_size * cluster.gpus:
            room, needed = sum(pool.max for pool in site.gpu_pools), cluster.target_size * cluster.gpus
            what = f"{cluster.site}: {cluster.target_size} workers need {needed} GPUs, and its pools grow to {room}"
            problems.append(Problem(what, hint="lower targetSize, or let the site's pools grow"))
    return problems


def _application(spec: FleetSpec, console_url: str) -> Application:
    mails = [asked.address for asked in spec.notifications if asked.type == "email"]
    owner = mails[0] if mails else f"{spec.application}@{urlsplit(console_url).hostname}"
    return Application(spec.application, owner, "Trainers of LoRAs, released by lorafleet.")
