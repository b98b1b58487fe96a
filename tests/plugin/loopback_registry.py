"""A container registry in this process that keeps the OCI distribution contract, and breaks it where a test asks for that."""

import base64
import json
import re
import secrets
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class Fault:
    """What happens to the next request that fits. ``drop`` resets the connection after so many bytes of the body, either way."""

    method: str
    path: str
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: int | None = None


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    server: str = "registry"


@dataclass
class Repository:
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    blobs: set[str] = field(default_factory=set)


class LoopbackRegistry:
    """``users`` make it ask for credentials, by ``scheme``. ``bucket`` makes it send readers of blobs elsewhere, as clouds do."""

    def __init__(self, users: Mapping[str, str] | None = None, scheme: str = "bearer") -> None:
        self.users = dict(users or {})
        self.scheme = scheme
        self.realm = ""
        self.has_referrers = True
        self.names_digests = True
        self.takes_parts = True
        self.immutable_tags = False
        self.page = 100
        self.capacity: int | None = None
        self.bucket: LoopbackRegistry | None = None
        self.identity_token = ""
        self.content: dict[str, bytes] = {}
        self.repositories: dict[str, Repository] = {}
        self.uploads: dict[str, bytearray] = {}
        self.faults: deque[Fault] = deque()
        self.asked: list[Asked] = []
        self._tokens: dict[str, set[str]] = {}
        self._lock = threading.RLock()
        registry = self

        class Handler(_Handler):
            owner = registry

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        if self.bucket is not None:
            self.bucket.close()

    def repository(self, name: str) -> Repository:
        with self._lock:
            return self.repositories.setdefault(name, Repository())

    def keep(self, name: str, content: bytes, digest: str = "") -> str:
        """Store a blob; ``digest`` may lie."""
        digest = digest or _digest(content)
        self.content[digest] = content
        self.repository(name).blobs.add(digest)
        return digest

    def counted(self, method: str, path: str) -> int:
        return sum(each.method == method and re.search(path, each.path) is not None for each in self.asked)

    def take_fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.method == method and re.search(fault.path, path):
                    self.faults.remove(fault)
                    return fault
        return None

    def grant(self, scopes: list[str]) -> str:
        token = secrets.token_hex(8)
        self._tokens[token] = set(scopes)
        return token

    def may(self, authorization: str, name: str, action: str) -> int:
        """0, or the status of the refusal."""
        if not self.users and not self.identity_token:
            return 0
        kind, _, value = authorization.partition(" ")
        if self.scheme == "basic":
            return 0 if kind == "Basic" and self.knows(value) else 401
        if kind != "Bearer" or value not in self._tokens:
            return 401
        granted = [scope.split(":") for scope in self._tokens[value]]
        return 0 if any(each[1] == name and action in each[2].split(",") for each in granted) else 403

    def knows(self, basic: str) -> bool:
        user, _, password = base64.b64decode(basic).decode().partition(":")
        return self.users.get(user) == password

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self._lock:
            yield


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        # Connections are reset on purpose, by the tests and by clients that read no further.
        if not isinstance(sys.exc_info()[1], OSError | ValueError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: LoopbackRegistry

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_GET

    def _answer(self) -> None:
        owner = self.owner
        owner.asked.append(Asked(self.command, self.path, dict(self.headers.items())))
        self._fault = owner.take_fault(self.command, self.path)
        body = self._body()
        if body is None:
            return
        if self._fault is not None and self._fault.status:
            self._say(self._fault.status, _error("UNKNOWN", "as the test wants it"), self._fault.headers)
            return
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/token":
            self._token(body, parse_qs(parts.query))
        elif found := re.fullmatch(r"/v2/(.+)/(manifests|blobs|referrers)/(.+?)/?", parts.path):
            name, what, reference = found.groups()
            action = "pull" if self.command in ("GET", "HEAD") else "push"
            refused = owner.may(self.headers.get("Authorization", ""), name, action)
            if refused:
                self._refuse(refused)
            elif what == "blobs" and reference.startswith("uploads"):
                self._upload(name, reference.partition("/")[2], query, body)
            else:
                with owner.locked():
                    getattr(self, f"_{what}")(name, reference, body, query)
        elif found := re.fullmatch(r"/bucket/(.+)", parts.path):
            self._blob_content(found[1])
        else:
            self._say(404, _error("NOT_FOUND", "no such address"))

    def _body(self) -> bytes | None:
        """The request's body; None where the connection was dropped in it, whose bytes so far are kept as a real registry does."""
        length = int(self.headers.get("Content-Length") or 0)
        drop = self._fault.drop if self._fault is not None and self.command in ("PUT", "PATCH", "POST") else None
        if drop is None:
            return self.rfile.read(length)
        got = self.rfile.read(min(drop, length))
        found = re.search(r"/uploads/([0-9a-f]+)", self.path)
        if found and self.command == "PATCH" and found[1] in self.owner.uploads:
            self.owner.uploads[found[1]] += got
        self._reset()
        return None

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _manifests(self, name: str, reference: str, body: bytes, _: Mapping[str, str]) -> None:
        owner, known = self.owner, name in self.owner.repositories
        here = owner.repository(name) if known or self.command == "PUT" else Repository()
        if self.command == "PUT":
            digest = _digest(body)
            if owner.immutable_tags and here.tags.get(reference, digest) != digest:
                self._say(400, _error("TAG_INVALID", "the tag is immutable"))
                return
            values = json.loads(body)
            wanted = [values["config"], *values["layers"]] if "config" in values else []
            children = [each["digest"] for each in values.get("manifests", ())]
            if any(each["digest"] not in here.blobs for each in wanted) or any(each not in here.manifests for each in children):
                self._say(404, _error("MANIFEST_BLOB_UNKNOWN", "a part is not here"))
                return
            here.manifests[digest] = (self.headers["Content-Type"], body)
            if not reference.startswith("sha256:"):
                here.tags[reference] = digest
            subject = {"OCI-Subject": values["subject"]["digest"]} if owner.has_referrers and values.get("subject") else {}
            self._say(201, b"", {"Docker-Content-Digest": digest, "Location": self.path, **subject})
            return
        digest = here.tags.get(reference, reference)
        if digest not in here.manifests:
            self._say(404, _error("MANIFEST_UNKNOWN" if known else "NAME_UNKNOWN", "not here"))
            return
        kind, content = here.manifests[digest]
        named = {"Docker-Content-Digest": digest} if owner.names_digests else {}
        self._say(200, content, {"Content-Type": kind, **named})

    def _referrers(self, name: str, digest: str, _: bytes, query: Mapping[str, str]) -> None:
        if not self.owner.has_referrers:
            self._say(404, _error("NOT_FOUND", "no such address"))
            return
        found = []
        for each, (kind, content) in self.owner.repository(name).manifests.items():
            values = json.loads(content)
            if values.get("subject", {}).get("digest") == digest:
                artifact = values.get("artifactType") or values["config"]["mediaType"]
                found.append({"mediaType": kind, "digest": each, "size": len(content), "artifactType": artifact})
        start = int(query.get("start", "0"))
        page, end = found[start : start + self.owner.page], start + self.owner.page
        link = {"Link": f'</v2/{name}/referrers/{digest}?start={end}>; rel="next"'} if end < len(found) else {}
        content = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": page}).encode()
        self._say(200, content, {"Content-Type": INDEX, **link})

    def _blobs(self, name: str, digest: str, _: bytes, __: Mapping[str, str]) -> None:
        if digest not in self.owner.repository(name).blobs:
            self._say(404, _error("BLOB_UNKNOWN", "not here"))
        elif self.owner.bucket is not None and self.command == "GET":
            self.owner.bucket.content[digest] = self.owner.content[digest]
            self._say(307, b"", {"Location": f"http://{self.owner.bucket.host}/bucket/{digest}?signature=abc"})
        else:
            self._blob_content(digest)

    def _blob_content(self, digest: str) -> None:
        content = self.owner.content[digest]
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(found[1]) if found else 0
        status = 206 if found else 200
        self._say(status, content[start:], {"Docker-Content-Digest": digest, "Content-Type": "application/octet-stream"})

    def _upload(self, name: str, upload: str, query: Mapping[str, str], body: bytes) -> None:
        owner = self.owner
        if self.command == "POST":
            source = owner.repositories.get(query.get("from", ""))
            if source is not None and query.get("mount") in source.blobs:
                owner.repository(name).blobs.add(query["mount"])
                self._say(201, b"", {"Docker-Content-Digest": query["mount"], "Location": self.path})
                return
            upload = secrets.token_hex(8)
            owner.uploads[upload] = bytearray()
            self._uploaded(202, name, upload)
        elif upload not in owner.uploads:
            self._say(404, _error("BLOB_UPLOAD_UNKNOWN", "no such upload"))
        elif self.command == "GET":
            self._uploaded(204, name, upload)
        elif self.command == "DELETE":
            del owner.uploads[upload]
            self._say(204, b"")
        elif self.command == "PATCH" and not owner.takes_parts:
            self._say(405, _error("UNSUPPORTED", "whole blobs only"))
        elif self.command == "PATCH" and self.headers.get("Content-Range", "").partition("-")[0] != str(len(owner.uploads[upload])):
            self._say(416, _error("RANGE_INVALID", "not where it ended"))
        elif owner.capacity is not None and sum(map(len, owner.content.values())) + len(body) > owner.capacity:
            self._say(500, _error("UNKNOWN", "unknown error", {"Err": 28, "Op": "write", "Msg": "no space left on device"}))
        else:
            owner.uploads[upload] += body
            if self.command == "PATCH":
                self._uploaded(202, name, upload)
            else:
                self._finished(name, bytes(owner.uploads.pop(upload)), query["digest"])

    def _finished(self, name: str, content: bytes, digest: str) -> None:
        if _digest(content) != digest:
            self._say(400, _error("DIGEST_INVALID", "provided digest did not match uploaded content"))
        else:
            self.owner.keep(name, content)
            self._say(201, b"", {"Docker-Content-Digest": digest, "Location": f"/v2/{name}/blobs/{digest}"})

    def _uploaded(self, status: int, name: str, upload: str) -> None:
        reached = max(len(self.owner.uploads[upload]) - 1, 0)
        self._say(status, b"", {"Location": f"/v2/{name}/blobs/uploads/{upload}?state=x%2By", "Range": f"0-{reached}"})

    def _token(self, body: bytes, query: Mapping[str, list[str]]) -> None:
        owner = self.owner
        if self.command == "POST":
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            good = form.get("grant_type") == "refresh_token" and form.get("refresh_token") == owner.identity_token
            scopes = form.get("scope", "").split()
        else:
            kind, _, value = self.headers.get("Authorization", "").partition(" ")
            good = kind == "Basic" and owner.knows(value)
            scopes = query.get("scope", [])
        if not good:
            self._say(401, _error("UNAUTHORIZED", "wrong"))
            return
        name = "access_token" if self.command == "POST" else "token"
        self._say(200, json.dumps({name: owner.grant(scopes), "expires_in": 300}).encode())

    def _refuse(self, status: int) -> None:
        owner = self.owner
        realm = owner.realm or f"http://{owner.host}/token"
        scheme = "Basic" if owner.scheme == "basic" else "Bearer"
        headers = {"WWW-Authenticate": f'{scheme} realm="{realm}",service="{owner.host}"'} if status == 401 else {}
        self._say(status, _error("UNAUTHORIZED" if status == 401 else "DENIED", "no"), headers)

    def _say(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self._fault is not None and self._fault.drop is not None and self.command == "GET":
            self.wfile.write(content[: self._fault.drop])
            self.wfile.flush()
            self._reset()
            return
        self.wfile.write(content)

    def finish(self) -> None:
        # The connection may have been reset on purpose.
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


def _error(code: str, message: str, detail: Any = None) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message, "detail": detail}]}).encode()
