"""Pulumi's resource provider protocol, answered from a :class:`~tests.engines.pulumi.cloud_standin.store.Store`."""

import json
import secrets
import threading
from pathlib import Path
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, empty_pb2
from invented_outputs import declared, merged, unknown_until_made
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2
from sdk_schema import faults
from sdk_types import inputs_class, inputs_of, outputs_of, resource_class

from tests.engines.pulumi.cloud_standin import rules
from tests.engines.pulumi.cloud_standin.asked import Asked, Kubernetes
from tests.engines.pulumi.cloud_standin.injection import Injection
from tests.engines.pulumi.cloud_standin.store import Record, Store
from tests.engines.pulumi.cloud_standin.values import differences, dump, load, plain, within

_IMPORTS = threading.Lock()
_DEFAULTS = "__defaults"  # Where a provider keeps which inputs are its own choice and not the program's.


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One provider of one cloud. ``folder`` holds its resources."""

    def __init__(self, package: str, version: str, folder: Path, injection: Injection) -> None:
        self._package = package
        self._version = version
        self._folder = folder
        self._store = Store(folder)
        self._injection = injection
        self._settings: dict[str, Any] = {}
        self._lock = threading.Lock()

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True)

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version=self._version)

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        known = inputs_of(inputs_class(f"pulumi:providers:{self._package}")).keys() | {"version"}
        wrong = [
            provider_pb2.CheckFailure(property=name, reason="the provider has no such setting")
            for name in load(request.news)
            if name not in known
        ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=wrong)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        return _diff(dict(differences(plain(load(request.old_inputs)), plain(load(request.news)))), set(), False)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._settings = {name: _unpacked(value) for name, value in plain(load(request.args)).items()}
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=True)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        token, name = _named(request.urn)
        inputs, old = load(request.news), load(request.olds)
        wrong = [provider_pb2.CheckFailure(reason=each) for each in faults(token, plain(inputs))]
        own = rules.name_property(token)
        if own and own not in inputs:
            invented = f"{name}-{request.randomSeed.hex()[:7] if request.randomSeed else secrets.token_hex(4)[:7]}"
            inputs[own] = old[own] if own in old.get(_DEFAULTS, ()) else invented
            inputs[_DEFAULTS] = [own]
        return provider_pb2.CheckResponse(inputs=dump(inputs), failures=wrong)

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        token, _ = _named(request.urn)
        old, new = plain(load(request.old_inputs)), plain(load(request.news))
        changes = dict(differences(_given(old), _given(new)))
        anew = {path for path in changes if rules.replaces(token, path)}
        own = rules.name_property(token)
        # Two cannot bear one name: where the program chose it, the old one goes first.
        keeps_name = own is None or (own not in new.get(_DEFAULTS, ()) and old.get(own) == new.get(own))
        return _diff(changes, anew, bool(anew) and keeps_name)

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        token, name = _named(request.urn)
        inputs = plain(load(request.properties))
        if request.preview:
            return provider_pb2.CreateResponse(properties=dump(unknown_until_made(token, _given(inputs))))
        if self._injection.strikes("create", token, name):
            _refuse(context, f"injected: no capacity for {token} {name}")
        self._injection.wait()
        identity, record, answered = self._made(token, name, inputs, secrets.token_hex(9)[:17])
        with self._lock:
            if lost := rules.missing(self._store, inputs):
                _refuse(context, f"{', '.join(sorted(lost))}: not found")
            if self._store.get(token, identity):
                _refuse(context, f"{token} {identity} exists already")
            self._store.put(record)
        if self._injection.strikes("unready", token, name):
            _made_but_unready(context, identity, answered, inputs)
        return provider_pb2.CreateResponse(id=identity, properties=dump(answered))

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        token, name = _named(request.urn)
        record = self._store.get(token, request.id)
        if record is None:
            return provider_pb2.ReadResponse()
        asked = plain(load(request.inputs))
        told = within(dict(record.outputs), _given(asked))
        kept = {_DEFAULTS: asked[_DEFAULTS]} if _DEFAULTS in asked else {}
        answered = merged(self._made(token, name, dict(record.inputs), record.mark)[2], dict(record.outputs))
        return provider_pb2.ReadResponse(id=request.id, properties=dump(answered), inputs=dump({**told, **kept}))

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        token, name = _named(request.urn)
        inputs = plain(load(request.news))
        old = self._store.get(token, request.id)
        if old is None:
            _refuse(context, f"{token} {request.id}: not found")
        _, record, answered = self._made(token, name, inputs, old.mark)
        if not request.preview:
            if self._injection.strikes("update", token, name):
                _refuse(context, f"injected: {token} {name} cannot be changed")
            self._store.put(record)
        return provider_pb2.UpdateResponse(properties=dump(answered))

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        token, name = _named(request.urn)
        if self._injection.strikes("delete", token, name):
            _refuse(context, f"injected: {token} {name} cannot be deleted")
        with self._lock:
            record = self._store.get(token, request.id)
            if record and (why := rules.refusal(self._store, record)):
                _refuse(context, f"{token} {request.id}: {why}")
            self._store.remove(token, request.id)
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:
        answered = rules.invoke(request.tok, Kubernetes.of(self._folder, "example"))
        if answered is None:
            _refuse(context, f"the stand-in has no function {request.tok}")
        return provider_pb2.InvokeResponse(**{"return": dump(answered)})

    def _made(self, token: str, name: str, inputs: dict[str, Any], mark: str) -> tuple[str, Record, dict[str, Any]]:
        """The id of a resource, what is kept of it, and what the engine is told."""
        given = _given(inputs)
        told = rules.answer(Asked(token, name, given, self._settings, mark, Kubernetes.of(self._folder, mark)))
        identity = told.pop("id")
        promised = outputs_of(resource_class(token))
        own = {key: value for key, value in told.items() if key in promised}
        answered: dict[str, Any] = merged(declared(token, name, given), own)
        return identity, Record(token, name, identity, mark, given, plain(answered)), answered


def _named(urn: str) -> tuple[str, str]:
    kind, name = urn.split("::", 3)[2:]
    token = kind.rpartition("$")[2]
    # The SDKs import their parts when they are first looked at, which two threads at once find half done.
    with _IMPORTS:
        inputs_class(token)
    return token, name


def _given(inputs: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in inputs.items() if key != _DEFAULTS}


def _unpacked(value: Any) -> Any:
    # The SDKs send a provider's nested settings, numbers and switches as JSON text; what is no JSON is text.
    try:
        return json.loads(value) if isinstance(value, str) and not value.isdigit() else value
    except ValueError:
        return value


def _diff(changes: dict[str, Any], anew: set[str], delete_first: bool) -> Any:
    detail = {
        path: provider_pb2.PropertyDiff(
            kind=getattr(provider_pb2.PropertyDiff, change + ("_REPLACE" if path in anew else "")), inputDiff=True
        )
        for path, change in changes.items()
    }
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if changes else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=_tops(changes),
        replaces=_tops(anew),
        detailedDiff=detail,
        hasDetailedDiff=True,
        deleteBeforeReplace=delete_first,
    )


def _tops(paths: Any) -> list[str]:
    return sorted({path.replace("[", ".").partition(".")[0] for path in paths})


def _refuse(context: grpc.ServicerContext, why: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, why)
    raise AssertionError("abort raises")


def _made_but_unready(context: grpc.ServicerContext, identity: str, answered: dict[str, Any], inputs: dict[str, Any]) -> NoReturn:
    """The engine keeps such a resource in its state and mends it on the next run."""
    why = f"injected: {identity} is made but never became ready"
    detail = any_pb2.Any()
    detail.Pack(provider_pb2.ErrorResourceInitFailed(id=identity, properties=dump(answered), inputs=dump(inputs), reasons=[why]))
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=why, details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    _refuse(context, why)
