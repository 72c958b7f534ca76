"""Images from a registry: OCI distribution specification 1.1 (https://github.com/opencontainers/distribution-spec).

    reference ──► manifest, of an index the one for the machine ──► layers, kept in the cache by their digests

Whoever asks is nobody, or who the user has logged in as with docker (or podman) in ~/.docker/config.json.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import parse_dict_header

from relenv.bundle.oci import INDEXES, MANIFESTS
from relenv.checksums import mismatch
from relenv.download import Answer, FetchError
from relenv.errors import ConfigError, SourceError, naming
from relenv.store import part_of, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from requests import PreparedRequest

    from relenv.download import Fetcher
    from relenv.store import Cache
    from relenv.ui import Ui

HUB = "docker.io"
"""What is meant where no registry is named; docker's `library/` holds what has no other directory there."""
HOSTS = {HUB: "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
LOGINS = {HUB: ("https://index.docker.io/v1/", HUB, "index.docker.io")}
"""What config.json calls a registry, if not by its host."""
LARGEST = 8 << 20
"""Bytes that a manifest, a config or a token may have; the specification asks registries for 4 MiB."""
ACCEPT = ", ".join((*INDEXES, *MANIFESTS))
REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
NO_NETWORK = 'a local image layout needs no network (base = "./base.tar", by `skopeo copy`), nor does base = "none"'
DIGEST = r"sha256:[0-9a-f]{64}"
_REFERENCE = re.compile(
    r"(?:(?P<scheme>https?)://)?"
    r"(?:(?P<host>(?=[^/]*[.:]|localhost/)[A-Za-z0-9.-]+(?::\d+)?|\[[0-9a-f:]+\](?::\d+)?)/)?"
    r"(?P<repository>[a-z0-9]+(?:(?:\.|_|__|-+|/)[a-z0-9]+)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    rf"(?:@(?P<digest>{DIGEST}))?",
    re.ASCII,
)
"""As docker reads them (https://github.com/distribution/reference)."""
_LOCAL = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What names an image."""

    host: str
    repository: str
    tag: str = ""
    digest: str = ""
    scheme: str = "https"

    def __str__(self) -> str:
        """Return it in full."""
        return f"{self.host}/{self.repository}{self.tag and f':{self.tag}'}{self.digest and f'@{self.digest}'}"

    @property
    def familiar(self) -> str:
        """As people write it: without what is meant anyway."""
        return str(self).removeprefix(f"{HUB}/").removeprefix("library/")

    def manifest(self, which: str = "") -> str:
        """Return where a manifest is: that of a digest, else its own."""
        return self._url("manifests", which or self.digest or self.tag or "latest")

    def blob(self, digest: str) -> str:
        """Return where a blob is."""
        return self._url("blobs", digest)

    def _url(self, kind: str, which: str) -> str:
        return f"{self.scheme}://{HOSTS.get(self.host, self.host)}/v2/{self.repository}/{kind}/{which}"


def parse_reference(text: str, *, what: str) -> Reference:
    """Read a reference such as `debian:12-slim` or `registry.example.org:5000/team/base@sha256:...`.

    Args:
        text: the reference; `http://` before it means a registry without TLS, as one on this machine has none.
        what: whose value it is, for the message.

    Raises:
        ConfigError: it is none.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise ConfigError(f"{what}: {text!r} is no reference to an image", hint="as in docker: registry/name:tag")
    host, repository = found["host"] or HUB, found["repository"]
    if host == HUB and "/" not in repository:
        repository = f"library/{repository}"
    scheme = found["scheme"] or ("http" if _LOCAL.fullmatch(host) else "https")
    return Reference(
        host=host, repository=repository, tag=found["tag"] or "", digest=found["digest"] or "", scheme=scheme
    )


def name_of(text: str, version: str) -> Reference:
    """Return what an image is called.

    Args:
        text: a name, with a tag or without; of what is not allowed there the nearest is made.
        version: the tag, if it has none; `+` is not allowed there either.
    """
    folders, slash, last = text.rpartition("/")
    name, _, tag = last.partition(":")
    name = re.sub(r"[^a-z0-9]*([._-])[^a-z0-9]*", r"\1", re.sub(r"[^a-z0-9._-]+", "-", name.lower())).strip("._-")
    tag = re.sub(r"[^\w.-]", "-", tag or version, flags=re.ASCII)[:128]
    return parse_reference(f"{folders}{slash}{name or 'app'}:{tag}", what="oci.tag")


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Registry:
    """Where an image comes from: the cache, else a registry.

    Args:
        reference: of the image.
        cache: keeps manifests and layers, in `downloads`.
        fetcher: gets them.
        environ: where docker's configuration is found.
        ui: hears of what takes a while.
        offline: look in the cache only.
    """

    def __init__(
        self,
        reference: Reference,
        *,
        cache: Cache,
        fetcher: Fetcher,
        environ: Mapping[str, str],
        ui: Ui,
        offline: bool = False,
    ) -> None:
        self._reference, self._cache, self._fetcher, self._ui = reference, cache, fetcher, ui
        self._login, self._offline = _login(reference.host, environ), offline
        self._met, self._challenge, self._auth = False, "", None

    _auth: AuthBase | None

    def top(self) -> bytes:
        """Return the manifest or index that the reference names.

        Without a network it is what the same name stood for the last time.

        Raises:
            SourceError: it cannot be had. ChecksumError: it is not what the digest says.
        """
        reference = self._reference
        if reference.digest:
            return self.document(reference.digest)
        known = self._cache.downloads / f"oci-{hashlib.sha256(str(reference).encode()).hexdigest()[:16]}.json"
        self._cache.use(known)
        if self._offline:
            if not known.is_file():
                raise self._unobtainable("without a network it cannot be looked up")
            return self._remembered(known)
        try:
            data = self._current()
        except FetchError as error:
            if not known.is_file():
                raise
            self._ui.warn(f"{reference.familiar} is what it was the last time: {error.message}")
            return self._remembered(known)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self._keep(digest, data)
        write_text(known, json.dumps({"reference": str(reference), "digest": digest}) + "\n")
        return data

    def _current(self) -> bytes:
        data = self._manifest("")
        if not _is_manifest(data):  # of a network that wants one to log in first: it must not be remembered
            error = FetchError(self._reference.manifest(), "what comes from there is no manifest")
            error.hint = NO_NETWORK
            raise error
        return data

    def _remembered(self, known: Path) -> bytes:
        try:
            return self.document(json.loads(known.read_bytes())["digest"])
        except (ValueError, LookupError, TypeError) as error:
            raise self._unobtainable(f"{known} is damaged") from error

    def document(self, digest: str) -> bytes:
        """Return a manifest or an index by its digest.

        Raises:
            SourceError: it cannot be had. ChecksumError: it is another.
        """
        path = self._place(digest)
        if not path.is_file():
            if self._offline:
                raise self._unobtainable("it is not in the cache")
            data = self._manifest(digest)
            found = f"sha256:{hashlib.sha256(data).hexdigest()}"
            if found != digest:
                raise mismatch(f"{self._reference.familiar}", found=found, pinned=digest)
            self._keep(digest, data)
        return path.read_bytes()

    def layer(self, digest: str, what: str) -> Path:
        """Return the file of a blob.

        Args:
            digest: its digest.
            what: `layer 1 of 3`.

        Raises:
            SourceError: it cannot be had. ChecksumError: it is another.
        """
        path = self._place(digest)
        with self._cache.lock(path.name, self._ui):
            if not path.is_file():
                if self._offline:
                    raise self._unobtainable(f"{what} is not in the cache")
                if not self._met:  # the manifest of a pinned image may be in the cache: nothing was asked yet
                    self._ask(self._reference.manifest())
                if self._challenge:  # a token may last a minute, and a layer take longer
                    self._auth = self._answer(self._challenge)
                url, label = self._reference.blob(digest), f"{self._reference.familiar}, {what}"
                sha256 = digest.partition(":")[2]
                self._fetcher.fetch(url, path, sha256=sha256, ui=self._ui, label=label, auth=self._auth)
        return path

    def _place(self, digest: str) -> Path:
        if not re.fullmatch(DIGEST, digest):
            raise SourceError(f"{self._reference.familiar}: {digest!r} is no digest by sha256")
        path = self._cache.downloads / f"oci-{digest.partition(':')[2]}"
        self._cache.use(path)
        return path

    def _keep(self, digest: str, data: bytes) -> None:
        path = self._place(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._cache.lock(path.name, self._ui), naming(path):
            part_of(path).write_bytes(data)
            part_of(path).replace(path)

    def _manifest(self, digest: str) -> bytes:
        url = self._reference.manifest(digest)
        try:
            answer = self._ask(url)
            if answer.status == HTTPStatus.UNAUTHORIZED and self._challenge:
                self._auth = self._answer(self._challenge)
                answer = self._ask(url)
        except FetchError as error:
            error.hint = NO_NETWORK
            raise
        if answer.status == HTTPStatus.OK:
            return answer.body
        raise self._refused(answer)

    def _ask(self, url: str) -> Answer:
        """Ask for a manifest, and note what the registry wants to know of who asks."""
        self._met = True
        answer = self._fetcher.ask(url, limit=LARGEST, headers={"Accept": ACCEPT}, auth=self._auth)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._challenge = answer.headers.get("WWW-Authenticate", "")
        return answer

    def _answer(self, challenge: str) -> AuthBase | None:
        """Answer what a registry asks of whom it does not know (https://distribution.github.io/distribution/spec/auth)."""
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            return HTTPBasicAuth(*self._login) if self._login else None
        asked: dict[str, str | None] = parse_dict_header(rest)  # type: ignore[no-untyped-call]
        realm = asked.get("realm") or ""
        if scheme.lower() != "bearer" or urlsplit(realm).scheme not in ("http", "https"):
            raise self._unobtainable(f"it asks for a login of a kind that relenv does not know ({scheme})")
        if self._login and self._reference.scheme == "https" and urlsplit(realm).scheme == "http":
            raise self._unobtainable(f"it asks for the password to be sent in the clear, to {realm}")
        query = {name: asked[name] for name in ("service", "scope") if asked.get(name)}
        query.setdefault("scope", f"repository:{self._reference.repository}:pull")
        auth = HTTPBasicAuth(*self._login) if self._login else None
        answer = self._fetcher.ask(f"{realm}?{urlencode(query)}", limit=LARGEST, auth=auth)
        if answer.status != HTTPStatus.OK:
            raise self._refused(answer)
        try:
            told = json.loads(answer.body)
            return _Bearer(str(told.get("token") or told["access_token"]))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise self._unobtainable(f"{realm} gave no token") from error

    def _refused(self, answer: Answer) -> SourceError:
        if answer.status in REFUSED:
            who = "the login in docker's config.json" if self._login else "whoever has not logged in"
            error = self._unobtainable(f"{self._reference.host} does not give it to {who}, or has none")
            error.hint = f"`docker login {self._reference.host}` or `podman login` writes one; helpers are not asked"
            return error
        if answer.status == HTTPStatus.NOT_FOUND:
            return self._unobtainable(f"{self._reference.host} has none of this name")
        return self._unobtainable(f"{self._reference.host} says {answer.status} {answer.reason}")

    def _unobtainable(self, reason: str) -> SourceError:
        return SourceError(f"the image {self._reference.familiar} cannot be had: {reason}", hint=NO_NETWORK)


def _is_manifest(data: bytes) -> bool:
    """Tell whether something looks like a manifest or an index."""
    try:
        document = json.loads(data)
    except ValueError:
        return False
    return isinstance(document, dict) and not document.keys().isdisjoint(("layers", "manifests"))


def _login(host: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Return name and password of the user's at a registry, from docker's config.json; what is not in order is none."""
    home = environ.get("HOME", "")
    folder = environ.get("DOCKER_CONFIG") or (f"{home}/.docker" if home else "")
    try:
        entries: Mapping[str, Any] = json.loads((Path(folder) / "config.json").read_bytes())["auths"] if folder else {}
        names = LOGINS.get(host, (host, f"https://{host}", f"http://{host}"))
        auth = next((entries[name]["auth"] for name in names if name in entries), "")
        user, _, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, binascii.Error):
        return None
    return (user, password) if user else None
