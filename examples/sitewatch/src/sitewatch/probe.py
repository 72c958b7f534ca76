"""Ask a site how it does. The only module that touches the network."""

from __future__ import annotations

import http.client
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self
from urllib.parse import SplitResult, urlsplit

from sitewatch.model import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Site:
    """A URL that can be probed."""

    url: str
    parts: SplitResult

    @classmethod
    def parse(cls, url: str) -> Self:
        """Check a URL; raises ValueError when there is nothing to probe."""
        parts = urlsplit(url)
        # reading the port checks it: urlsplit itself takes anything
        if parts.scheme != "https" or not parts.hostname or parts.port == 0:
            raise ValueError(f"{url!r} is no https:// URL")
        return cls(url=url, parts=parts)


def probe_all(sites: Sequence[Site], timeout: float) -> Iterator[Measurement]:
    """Probe several sites at once; yields in the order given. `timeout` is in seconds."""
    context = ssl.create_default_context()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(lambda site: probe(site, timeout, context), sites)


def probe(site: Site, timeout: float, context: ssl.SSLContext) -> Measurement:
    """Ask for the head of a page. A site that does not answer is a measurement too, not an exception."""
    at, begin = utc(datetime.now(UTC)), time.perf_counter()
    status, expires, error = None, None, ""
    try:
        status, expires = _ask(site.parts, timeout, context)
    except (OSError, http.client.HTTPException) as problem:
        error = _reason(problem)
    milliseconds = round(1000 * (time.perf_counter() - begin), 1)
    return Measurement(url=site.url, at=at, status=status, milliseconds=milliseconds, expires=expires, error=error)


def _ask(parts: SplitResult, timeout: float, context: ssl.SSLContext) -> tuple[int, str | None]:
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout, context=context)
    try:
        connection.connect()
        # Taken now: the socket is gone once a server that does not keep connections has answered.
        expires = _expiry(connection.sock)
        target = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
        connection.request("HEAD", target, headers={"User-Agent": "sitewatch/1"})
        return connection.getresponse().status, expires
    finally:
        connection.close()


def _expiry(sock: ssl.SSLSocket) -> str | None:
    not_after = (sock.getpeercert() or {}).get("notAfter")
    if not isinstance(not_after, str):
        return None
    return utc(datetime.fromtimestamp(ssl.cert_time_to_seconds(not_after), UTC))


def _reason(problem: Exception) -> str:
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"certificate: {problem.verify_message}"
    if isinstance(problem, TimeoutError):
        return "timed out"
    return getattr(problem, "strerror", None) or str(problem) or type(problem).__name__


def utc(when: datetime) -> str:
    """Write a time the way the store keeps it."""
    return when.astimezone(UTC).isoformat(timespec="seconds")
