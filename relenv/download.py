"""Fetch a file whose checksum is known: resumed, retried, verified, and never on the word of the server."""

from __future__ import annotations

import hashlib
import ipaddress
import netrc
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy

from relenv import process
from relenv.checksums import mismatch
from relenv.errors import SourceError, naming
from relenv.store import part_of
from relenv.texts import shown
from relenv.ui import working

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from requests.auth import AuthBase

    from relenv.ui import Ui, Work

CHUNK = 1 << 17
CONNECT = 5.0
"""Seconds a host has to accept a connection, the look-up of its name included."""
READ = 15.0
"""Seconds a host may stay silent."""
DELAYS = (0.5, 1.0, 2.0, 4.0)
"""Seconds to wait before each further attempt."""
GIVEN = frozenset({HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT})
"""Answers that come with what was asked for."""
PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
"""Answers below 500 that may be others in a moment."""
IDENTITY = {"Accept-Encoding": "identity"}
"""Some servers take .tar.gz for a compressed .tar, and requests would undo that."""
T = TypeVar("T")
PORTS = {"http": 80, "https": 443}
SOCKS_PORT = 1080


class FetchError(SourceError):
    """A URL did not give its file.

    Args:
        url: what was asked for.
        reason: why not, in a few words.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{shown(url)}: {reason}")
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a host said to a request, whether it gave something or not."""

    url: str
    status: int
    reason: str
    headers: Mapping[str, str]
    """By name in any case."""
    body: bytes


class Fetcher:
    """Fetches files over HTTP, and remembers for its lifetime which hosts cannot be reached.

    Safe to use from several threads, for different files.

    Args:
        environ: where proxies, NETRC and REQUESTS_CA_BUNDLE are taken from, as requests itself would from
            the process's environment.
        delays: seconds to wait before each further attempt.
        connect: seconds a host has to accept a connection.
        read: seconds a host may stay silent.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        delays: Sequence[float] = DELAYS,
        connect: float = CONNECT,
        read: float = READ,
    ) -> None:
        self._delays = tuple(delays)
        self._timeout = (connect, read)
        self._hosts = _Hosts(connect)
        self._session = _Session(environ, self._hosts)

    def fetch(self, url: str, into: Path, *, sha256: str, ui: Ui, label: str, auth: AuthBase | None = None) -> None:
        """Fetch the file with this checksum; `into` appears whole or not at all.

        What an attempt cut short has got stays beside `into`, as `.part`, and is resumed, whichever URL it
        came from: the checksum tells whether the parts belong together. The caller sees to it that no one
        else fetches `into` at the same time.

        Args:
            url: its http or https address.
            into: where it goes.
            sha256: what it must be, in hexadecimal.
            ui: gets the progress in bytes.
            label: what it is: `openssl 3.5.7`.
            auth: says who asks; of no concern to a host that is redirected to.

        Raises:
            FetchError: it cannot be had from there.
            ChecksumError: what is there is something else; nothing of it is kept.
            OSError: it cannot be written; the disk may be full.
        """
        self._reach(url)
        into.parent.mkdir(parents=True, exist_ok=True)
        transfer = _Transfer(url=url, part=part_of(into), sha256=sha256, auth=auth)
        with working(ui, f"Fetching {label}", f"Fetched {label}", unit="bytes") as work:
            found = self._persist(url, lambda: self._attempt(transfer, work))
            if found != sha256 and transfer.resumed:  # a part of something else: that is not the host's fault
                transfer.restart()
                found = self._persist(url, lambda: self._attempt(transfer, work))
            if found != sha256:
                transfer.restart()
                raise mismatch(shown(url), found=found, pinned=sha256)
            transfer.part.replace(into)

    def read(self, url: str, *, limit: int) -> bytes:
        """Return a small file whose checksum is not known; retried as `fetch`, and not resumed.

        Args:
            url: its http or https address.
            limit: the most bytes that it may have.

        Raises:
            FetchError: it cannot be had from there, or is larger.
        """
        answer = self.ask(url, limit=limit)
        if answer.status not in GIVEN:
            raise FetchError(url, f"{answer.status} {answer.reason}")
        return answer.body

    def ask(
        self, url: str, *, limit: int, headers: Mapping[str, str] | None = None, auth: AuthBase | None = None
    ) -> Answer:
        """Return what a host says to a request, be it that there is nothing or that one must log in; as `read`.

        Args:
            url: its http or https address.
            limit: the most bytes that the answer may have.
            headers: what to send along.
            auth: says who asks; of no concern to a host that is redirected to.

        Raises:
            FetchError: the host cannot be reached or does not answer, or says more.
        """
        self._reach(url)
        return self._persist(url, lambda: self._ask(url, limit, {**IDENTITY, **(headers or {})}, auth))

    def _reach(self, url: str) -> None:
        """Find out in time whether there is a way to the host: before anything is shown or retried."""
        self._hosts.check(url)
        try:
            with _failures_named(url):
                self._session.reach(url)
        except FetchError as error:
            self._hosts.refuse(url, error)
            raise

    def _persist(self, url: str, attempt: Callable[[], T]) -> T:
        """Attempt something until it is done; return what it returns."""
        for delay in (*self._delays, None):
            try:
                return attempt()
            except FetchError as error:
                self._hosts.refuse(url, error)
                raise
            except _PassingError as error:
                # A host that swallowed its first request will swallow the next: that is a firewall.
                if delay is None or (error.silent and not self._hosts.answered(url)):
                    final = FetchError(url, str(error))
                    self._hosts.refuse(url, final)
                    raise final from error
            _pause(delay)
        raise AssertionError  # the last delay is None

    def _ask(self, url: str, limit: int, headers: Mapping[str, str], auth: AuthBase | None) -> Answer:
        with (
            _failures_named(url),
            self._session.get(url, headers=headers, auth=auth, stream=True, timeout=self._timeout) as response,
        ):
            self._hosts.heard(url)
            _check_passing(response)
            data = b""
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                process.check()
                data += chunk
                if len(data) > limit:
                    raise FetchError(url, f"it is larger than {limit} bytes")
            _check_length(response, len(data))
        return Answer(url=url, status=response.status_code, reason=response.reason, headers=response.headers, body=data)

    def _attempt(self, transfer: _Transfer, work: Work) -> str:
        digest, offset = transfer.so_far()
        if offset and digest.hexdigest() == transfer.sha256:
            return transfer.sha256
        with (
            _failures_named(transfer.url),
            self._session.get(
                transfer.url,
                headers=transfer.headers(offset),
                auth=transfer.auth,
                stream=True,
                timeout=self._timeout,
            ) as response,
        ):
            self._hosts.heard(transfer.url)
            if offset and response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                transfer.resumed = True  # the part is longer than the file: it belongs to something else
                return digest.hexdigest()
            _check_status(response, transfer.url)
            if response.status_code != HTTPStatus.PARTIAL_CONTENT:
                digest, offset = hashlib.sha256(), 0
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                transfer.restart()
                raise _PassingError("it sent another part than was asked for")
            transfer.take(response, digest, offset, work)
        return digest.hexdigest()


def _pause(duration: float) -> None:
    end = time.monotonic() + duration
    while (left := end - time.monotonic()) > 0:
        process.check()
        time.sleep(min(left, 0.2))


class _PassingError(Exception):
    """An attempt failed in a way that may be over in a moment."""

    def __init__(self, reason: str, *, silent: bool = False) -> None:
        super().__init__(reason)
        self.silent = silent


@dataclass(kw_only=True)
class _Transfer:
    """One file on its way, over as many attempts as it takes."""

    url: str
    part: Path
    sha256: str
    auth: AuthBase | None = None
    etag: str = ""
    resumed: bool = False
    """Whether the part was put together from several answers."""

    def so_far(self) -> tuple[hashlib._Hash, int]:
        """Return the hash and the length of what there is."""
        digest, length = hashlib.sha256(), 0
        if self.part.exists():
            with self.part.open("rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
                    length += len(chunk)
        return digest, length

    def restart(self) -> None:
        """Forget what there is."""
        self.part.unlink(missing_ok=True)
        self.etag, self.resumed = "", False

    def headers(self, offset: int) -> dict[str, str]:
        headers = dict(IDENTITY)
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if self.etag:
                headers["If-Range"] = self.etag
        return headers

    def take(self, response: requests.Response, digest: hashlib._Hash, offset: int, work: Work) -> None:
        """Write the body behind `offset`."""
        etag = response.headers.get("ETag", "")
        # a weak one says nothing of single bytes, and If-Range must not carry it: RFC 9110, 13.1.5
        self.etag = "" if etag.startswith("W/") else etag
        self.resumed = offset > 0
        if length := _length(response):
            work.expect(offset + length)
        work.reach(offset)
        with naming(self.part), self.part.open("ab" if offset else "wb") as file:
            received = 0
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                process.check()
                file.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                work.advance(len(chunk))
        _check_length(response, received, offset)


def _length(response: requests.Response) -> int:
    """Return how long a body is said to be, in bytes; 0 when it is not said."""
    told = response.headers.get("Content-Length", "")
    return int(told) if told.isdecimal() else 0


def _check_length(response: requests.Response, received: int, offset: int = 0) -> None:
    """Refuse a body that ended early: urllib3 before 2.0 takes that for the end."""
    if received < (length := _length(response)):
        raise _PassingError(f"it ended after {offset + received} of {offset + length} bytes")


def _check_status(response: requests.Response, url: str) -> None:
    _check_passing(response)
    if response.status_code not in GIVEN:
        raise FetchError(url, f"{response.status_code} {response.reason}")


def _check_passing(response: requests.Response) -> None:
    status = response.status_code
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in PASSING:
        raise _PassingError(f"{status} {response.reason}")


@contextmanager
def _failures_named(url: str) -> Iterator[None]:
    """Turn what requests and urllib3 raise into ours; an OSError of a file is left alone."""
    try:
        yield
    except _UnreachableError as error:
        raise FetchError(url, str(error)) from error
    except requests.Timeout as error:
        raise _PassingError("it does not answer", silent=True) from error
    except (requests.exceptions.SSLError, requests.exceptions.ProxyError) as error:
        raise FetchError(url, _innermost(error)) from error
    except (requests.ConnectionError, urllib3.exceptions.HTTPError) as error:
        raise _PassingError(_innermost(error)) from error
    except requests.RequestException as error:  # no such scheme, too many redirects
        raise FetchError(url, str(error)) from error
    except ValueError as error:  # of addresses that it redirects to, and headers
        raise FetchError(url, f"its answer is not in order ({error})") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise FetchError(url, str(error)) from error  # requests, of a file of certificates that is not there


def _innermost(error: BaseException) -> str:
    """Return the message at the bottom: requests wraps it three times, each longer than the one before."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return text or type(error).__name__


class _UnreachableError(requests.ConnectionError):
    """A host was found to be out of reach, just now or earlier in this run."""


class _Hosts:
    """What is known of the hosts met in this run."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._probes: dict[tuple[str, int], _Probe] = {}
        self._answered: set[str] = set()
        self._refused: dict[str, str] = {}

    def reach(self, url: str, proxies: Mapping[str, str] | None) -> None:
        """Connect to the host of a URL, or to the proxy on the way to it; or recall how that went.

        Raises:
            _UnreachableError: it cannot be reached, or its address is none.
        """
        place = _place(url, select_proxy(url, proxies))
        with self._lock:
            probe = self._probes.get(place)
            if probe is None:
                probe = self._probes[place] = _Probe(place, self._patience)
        if reason := probe.wait():
            raise _UnreachableError(reason)

    def heard(self, url: str) -> None:
        """Note that the host answered."""
        with self._lock:
            self._answered.add(urlsplit(url).netloc)

    def answered(self, url: str) -> bool:
        """Return whether the host ever answered."""
        with self._lock:
            return urlsplit(url).netloc in self._answered

    def refuse(self, url: str, error: FetchError) -> None:
        """Note that nothing is to be had from a host, unless it answered before."""
        with self._lock:
            host = urlsplit(url).netloc
            if host not in self._answered:
                self._refused.setdefault(host, error.reason)

    def check(self, url: str) -> None:
        """Refuse a URL whose host was given up.

        Raises:
            FetchError: for the reason it was given up for.
        """
        with self._lock:
            reason = self._refused.get(urlsplit(url).netloc)
        if reason:
            raise FetchError(url, reason)


def _place(url: str, proxy: str | None) -> tuple[str, int]:
    """Return the host and the port to connect to for a URL."""
    way = (proxy if "://" in proxy else f"http://{proxy}") if proxy else url
    try:
        parts = urlsplit(way)
        return parts.hostname or "", parts.port or PORTS.get(parts.scheme, SOCKS_PORT)
    except ValueError as error:
        # not `shown`, which would read it: but without the password either
        what = f"the proxy {proxy.rpartition('@')[2]}" if proxy else url.rpartition("@")[2]
        raise _UnreachableError(f"{what} is no address ({error})") from error


class _Probe:
    """One attempt to connect.

    It runs in a thread of its own because neither the look-up of a name nor a host with many addresses
    keeps to a timeout.
    """

    def __init__(self, place: tuple[str, int], patience: float) -> None:
        self._place, self._patience = place, patience
        self._reason = f"{place[0]} does not answer within {patience:g} s"
        self._ended = threading.Event()
        threading.Thread(target=self._connect, daemon=True, name=f"probe {place[0]}").start()

    def _connect(self) -> None:
        try:
            socket.create_connection(self._place, timeout=self._patience).close()
            self._reason = ""
        except (OSError, UnicodeError) as error:  # UnicodeError: a label longer than DNS allows
            text = (error.strerror if isinstance(error, OSError) else None) or str(error)
            self._reason = f"{self._place[0]} cannot be reached ({text})"
        finally:
            self._ended.set()

    def wait(self) -> str:
        """Return why the place cannot be reached, or nothing if it can."""
        self._ended.wait(self._patience)
        return self._reason


class _Adapter(HTTPAdapter):
    """Looks whether a host can be reached before the first request to it; redirects come by here too."""

    def __init__(self, hosts: _Hosts) -> None:
        super().__init__()
        self._hosts = hosts

    def send(  # noqa: PLR0917 - the signature is requests'
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002
        timeout: Any = None,
        verify: Any = True,  # noqa: FBT002
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        self._hosts.reach(request.url or "", proxies)
        return super().send(request, stream, timeout, verify, cert, proxies)


class _Session(requests.Session):
    """Takes from a mapping what requests takes from the process's environment."""

    def __init__(self, environ: Mapping[str, str], hosts: _Hosts) -> None:
        super().__init__()
        self._hosts = hosts
        self.trust_env = False
        self.verify = environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE") or True
        self._netrc = _read_netrc(environ)
        self._no_proxy = _either_case(environ, "no_proxy")
        names = ("http", "https", "all")
        self._env_proxies = {name: _either_case(environ, f"{name}_proxy") for name in names}
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(hosts))

    def reach(self, url: str) -> None:
        """Look whether the host of a URL can be reached; raises what requests raises."""
        self._hosts.reach(url, self._proxies_for(url))

    def _proxies_for(self, url: str) -> dict[str, str]:
        if _bypasses(urlsplit(url).hostname or "", self._no_proxy):
            return {}
        return {scheme: proxy for scheme, proxy in self._env_proxies.items() if proxy}

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        host = urlsplit(request.url or "").hostname or ""
        if self._netrc and not request.auth and (found := self._netrc.authenticators(host)):
            request.auth = (found[0] or found[1] or "", found[2] or "")
        return super().prepare_request(request)

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        proxies = {**self._proxies_for(url), **(proxies or {})}
        return super().merge_environment_settings(url, proxies, stream, verify, cert)

    def rebuild_proxies(self, prepared_request: requests.PreparedRequest, proxies: Any) -> Any:
        del proxies  # those on the way to the place that redirected
        there = self._proxies_for(prepared_request.url or "")
        return super().rebuild_proxies(prepared_request, there)  # type: ignore[no-untyped-call]


def _bypasses(host: str, no_proxy: str) -> bool:
    """Return whether a host is one of those, or below one, that the no_proxy variable lists."""
    names = [name.strip().lstrip(".").lower() for name in no_proxy.split(",")]
    return (
        "*" in names
        or any(name and (host == name or host.endswith(f".{name}")) for name in names)
        or any(_is_within(host, name) for name in names if "/" in name)
    )


def _is_within(host: str, network: str) -> bool:
    """Return whether a host is an address of a network such as 10.0.0.0/8."""
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _either_case(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.upper()) or ""


def _read_netrc(environ: Mapping[str, str]) -> netrc.netrc | None:
    """Read the user's passwords as curl does; a file that is not in order counts as none, as in requests."""
    home = environ.get("HOME", "")
    path = environ.get("NETRC") or (f"{home}/.netrc" if home else "")
    try:
        return netrc.netrc(path) if path else None
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return None
