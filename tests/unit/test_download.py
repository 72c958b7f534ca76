"""The fetcher against a real server on the loopback interface that fails in the ways servers fail."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from rich.console import Console

from relenv import download, process
from relenv.download import Fetcher, FetchError
from relenv.errors import ChecksumError
from relenv.store import part_of
from relenv.ui import PlainUi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from relenv.ui import Work

BODY = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(BODY).hexdigest()
HALF = len(BODY) // 2
ETAG = '"one"'


@dataclass
class Site:
    """What the server does, request by request, and what it was asked."""

    url: str = ""
    script: list[Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def act(self, request: BaseHTTPRequestHandler) -> None:
        self.requests.append({name.lower(): value for name, value in request.headers.items()})
        self.paths.append(request.path)
        (self.script.pop(0) if self.script else serve())(request)


def serve(
    body: bytes = BODY, *, etag: str = ETAG, ranges: bool = True, send: int | None = None, delay: float = 0
) -> Callable[[BaseHTTPRequestHandler], None]:
    """Serve a file; `send` cuts the body short."""

    def act(request: BaseHTTPRequestHandler) -> None:
        time.sleep(delay)
        match = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(match[1]) if match and ranges and request.headers.get("If-Range", etag) == etag else 0
        if start >= len(body):
            status(416)(request)
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.send_header("Content-Length", str(len(body) - start))
        request.send_header("ETag", etag)
        request.end_headers()
        request.wfile.write(body[start:][:send])

    return act


def status(code: int) -> Callable[[BaseHTTPRequestHandler], None]:
    def act(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return act


def hang_up(request: BaseHTTPRequestHandler) -> None:
    request.connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.act(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients that hang up are the point
    found.url = f"http://127.0.0.1:{server.server_port}/file.tar.gz"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "file.tar.gz"


def quiet() -> PlainUi:
    return PlainUi(Console(file=StringIO()))


def fetcher(*, connect: float = 2, read: float = 2) -> Fetcher:
    return Fetcher(environ={}, delays=(0, 0, 0), connect=connect, read=read)


def fetch(url: str, into: Path, **environ: str) -> None:
    mine = Fetcher(environ=environ, delays=(0, 0, 0))
    mine.fetch(url, into, sha256=SHA256, ui=quiet(), label="file 1")


def leave_part(into: Path, part: bytes) -> None:
    into.parent.mkdir(parents=True)
    part_of(into).write_bytes(part)


def names(into: Path) -> list[str]:
    return sorted(path.name for path in into.parent.iterdir())


def test_a_file_arrives_alone(site: Site, into: Path) -> None:
    fetch(site.url, into)
    assert into.read_bytes() == BODY
    assert names(into) == ["file.tar.gz"]


def test_the_server_is_asked_not_to_compress(site: Site, into: Path) -> None:
    def encoded(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Encoding", "gzip")  # said of a .tar.gz: it is what the file is
        request.end_headers()
        request.wfile.write(BODY)

    site.script = [encoded]
    fetch(site.url, into)
    assert into.read_bytes() == BODY
    assert [request["accept-encoding"] for request in site.requests] == ["identity"]


def test_a_body_cut_short_is_resumed(site: Site, into: Path) -> None:
    site.script = [serve(send=HALF)]
    fetch(site.url, into)
    assert into.read_bytes() == BODY
    assert [request.get("range") for request in site.requests] == [None, f"bytes={HALF}-"]
    assert site.requests[1]["if-range"] == ETAG


def test_a_weak_etag_is_not_sent_as_a_condition(site: Site, into: Path) -> None:
    site.script = [serve(send=HALF, etag='W/"one"'), serve()]
    fetch(site.url, into)
    assert "if-range" not in site.requests[1]
    assert into.read_bytes() == BODY


def test_another_etag_between_parts_starts_over(site: Site, into: Path) -> None:
    site.script = [serve(b"x" * len(BODY), send=HALF), serve(etag='"two"')]
    fetch(site.url, into)
    assert into.read_bytes() == BODY
    assert site.requests[1]["if-range"] == ETAG
    assert len(site.requests) == 2


def test_a_server_without_ranges_sends_all_of_it_again(site: Site, into: Path) -> None:
    site.script = [serve(send=HALF), serve(ranges=False)]
    fetch(site.url, into)
    assert into.read_bytes() == BODY


def test_the_part_of_an_earlier_run_is_resumed(site: Site, into: Path) -> None:
    leave_part(into, BODY[:HALF])
    fetch(site.url, into)
    assert into.read_bytes() == BODY
    assert [request.get("range") for request in site.requests] == [f"bytes={HALF}-"]


def test_a_whole_part_of_an_earlier_run_is_not_asked_for(site: Site, into: Path) -> None:
    leave_part(into, BODY)
    fetch(site.url, into)
    assert into.read_bytes() == BODY
    assert site.requests == []


@pytest.mark.parametrize("length", [HALF, len(BODY), len(BODY) + 7])
def test_the_part_of_something_else_costs_a_second_fetch(site: Site, into: Path, length: int) -> None:
    leave_part(into, b"x" * length)
    fetch(site.url, into)
    assert into.read_bytes() == BODY
    assert names(into) == ["file.tar.gz"]
    assert "range" not in site.requests[-1]


@pytest.mark.parametrize("fault", [status(500), status(503), status(429), hang_up])
def test_what_may_pass_is_tried_again(site: Site, into: Path, fault: Callable[[BaseHTTPRequestHandler], None]) -> None:
    site.script = [fault, fault]
    fetch(site.url, into)
    assert into.read_bytes() == BODY
    assert len(site.requests) == 3


def test_attempts_end(site: Site, into: Path) -> None:
    site.script = [status(500)] * 9
    with pytest.raises(FetchError, match=r"/file\.tar\.gz: 500 Internal Server Error"):
        fetch(site.url, into)
    assert len(site.requests) == 4
    assert not into.exists()


def test_the_delays_between_attempts_are_those_given(site: Site, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(download, "_pause", waited.append)
    site.script = [status(500), status(500)]
    Fetcher(environ={}).fetch(site.url, into, sha256=SHA256, ui=quiet(), label="file 1")
    assert waited == [0.5, 1.0]


def test_a_missing_file_is_asked_for_once(site: Site, into: Path) -> None:
    site.script = [status(404)]
    with pytest.raises(FetchError, match="404 Not Found"):
        fetch(site.url, into)
    assert len(site.requests) == 1
    assert names(into) == []


def test_wrong_bytes_are_named_and_removed(site: Site, into: Path) -> None:
    site.script = [serve(b"a captive portal")]
    wrong = hashlib.sha256(b"a captive portal").hexdigest()
    with pytest.raises(ChecksumError, match=f"{wrong}.*{SHA256}"):
        fetch(site.url, into)
    assert names(into) == []
    assert len(site.requests) == 1


def test_a_slow_start_is_waited_for(site: Site, into: Path) -> None:
    site.script = [serve(delay=0.3)]
    fetch(site.url, into)
    assert into.read_bytes() == BODY


def test_a_host_that_never_answers_is_asked_once_a_run(site: Site, into: Path) -> None:
    site.script = [serve(delay=1.0)] * 4
    mine = fetcher(read=0.1)
    for _ in range(3):
        with pytest.raises(FetchError, match="does not answer"):
            mine.fetch(site.url, into, sha256=SHA256, ui=quiet(), label="file 1")
    assert len(site.requests) == 1


def test_a_host_that_answered_before_is_asked_again(site: Site, into: Path) -> None:
    site.script = [serve(send=HALF), serve(delay=0.4), serve()]
    fetcher(read=0.2).fetch(site.url, into, sha256=SHA256, ui=quiet(), label="file 1")
    assert into.read_bytes() == BODY
    assert len(site.requests) == 3


@pytest.fixture
def swallowing() -> Iterator[str]:
    """A port that lets connections hang: its queue of one is full."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for client in (first, second):
            client.setblocking(False)  # noqa: FBT003 - the signature is the socket module's
            client.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}/file"


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was connected to in order to see whether it can be."""
    probed: list[tuple[str, int]] = []
    connect = socket.create_connection

    def counted(place: tuple[str, int], timeout: float) -> socket.socket:
        probed.append(place)
        return connect(place, timeout=timeout)

    monkeypatch.setattr(socket, "create_connection", counted)
    return probed


def test_an_unreachable_host_costs_one_probe_a_run(swallowing: str, into: Path, probed: list[tuple[str, int]]) -> None:
    mine = fetcher(connect=0.3)
    for name in ("a", "b", "c"):
        with pytest.raises(FetchError, match=r"127\.0\.0\.1 (does not answer|cannot be reached)"):
            mine.fetch(f"{swallowing}/{name}", into, sha256=SHA256, ui=quiet(), label="file 1")
    assert len(probed) == 1
    assert not into.parent.exists()


def test_a_refused_connection_is_not_retried(into: Path) -> None:
    with socket.socket() as server:  # bound, but it does not listen
        server.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{server.getsockname()[1]}/file"
        with pytest.raises(FetchError, match=r"cannot be reached \(Connection refused\)"):
            Fetcher(environ={}).fetch(url, into, sha256=SHA256, ui=quiet(), label="file 1")


def test_a_redirect_into_the_void_names_the_void(
    site: Site, swallowing: str, into: Path, probed: list[tuple[str, int]]
) -> None:
    def away(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", swallowing)
        request.send_header("Content-Length", "0")
        request.end_headers()

    site.script = [serve(), away, away]
    mine = fetcher(connect=0.3)
    mine.fetch(site.url, into, sha256=SHA256, ui=quiet(), label="file 1")
    for _ in range(2):
        with pytest.raises(FetchError, match=r"127\.0\.0\.1 (does not answer|cannot be reached)"):
            mine.fetch(site.url, into, sha256=SHA256, ui=quiet(), label="file 1")
    assert len(site.requests) == 3
    assert len(probed) == 2  # the site and the void


def test_a_proxy_of_the_environment_is_used(site: Site, into: Path) -> None:
    fetch("http://nowhere.invalid/file.tar.gz", into, http_proxy=site.url.removesuffix("/file.tar.gz"))
    assert site.paths == ["http://nowhere.invalid/file.tar.gz"]
    assert into.read_bytes() == BODY


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "*", "example.org, 127.0.0.1"])
def test_no_proxy_is_heeded(site: Site, into: Path, no_proxy: str) -> None:
    fetch(site.url, into, HTTP_PROXY="http://nowhere.invalid:1", NO_PROXY=no_proxy)
    assert into.read_bytes() == BODY


@pytest.mark.parametrize(
    ("host", "no_proxy", "bypassed"),
    [
        ("a.example.org", "example.org", True),
        ("a.example.org", ".example.org", True),
        ("example.org", "example.org", True),
        ("badexample.org", "example.org", False),
        ("example.org", "", False),
        ("example.org", ",", False),
        ("10.1.2.3", "localhost, 10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("example.org", "10.0.0.0/8", False),
        ("example.org", "a/b", False),
    ],
)
def test_no_proxy_names_domains(host: str, no_proxy: str, bypassed: bool) -> None:  # noqa: FBT001
    assert download._bypasses(host, no_proxy) is bypassed


@pytest.mark.parametrize("proxy", ["http://proxy:abc", "http://ada:secret@[bad", "proxy:8080:1"])
def test_a_proxy_that_is_none_is_named(site: Site, into: Path, proxy: str) -> None:
    with pytest.raises(FetchError, match=r"the proxy .* is no address") as caught:
        fetch(site.url, into, http_proxy=proxy)
    assert proxy.rpartition("@")[2] in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("header", "value", "said"),
    [
        ("Location", "http://127.0.0.1:99999/", r"http://127\.0\.0\.1:99999/ is no address \(Port out of range"),
        ("Location", "http://[::1/x", "its answer is not in order"),
        ("Location", "http://\xe9/x", "its answer is not in order"),
        ("Content-Length", "9" * 5000, "its answer is not in order"),
    ],
)
def test_an_answer_that_is_not_in_order_is_said(site: Site, into: Path, header: str, value: str, said: str) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302 if header == "Location" else 200)
        request.send_header(header, value)
        request.end_headers()

    site.script = [answer, answer]
    mine = fetcher()
    with pytest.raises(FetchError, match=f"file.tar.gz: {said}"):
        mine.fetch(site.url, into, sha256=SHA256, ui=quiet(), label="file 1")
    with pytest.raises(FetchError, match=f"file.tar.gz: {said}"):
        mine.read(site.url, limit=1000)


@pytest.mark.parametrize("content", [b"machine", b"machine x login \xe9 password y"])
def test_a_netrc_that_is_not_in_order_is_none(site: Site, into: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "netrc").write_bytes(content)
    fetch(site.url, into, NETRC=str(tmp_path / "netrc"))
    assert "authorization" not in site.requests[-1]


def test_passwords_of_netrc_are_sent(site: Site, into: Path, tmp_path: Path) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login me password secret\n")
    file.chmod(0o600)
    fetch(site.url, into, NETRC=str(file))
    expected = base64.b64encode(b"me:secret").decode()
    assert site.requests[0]["authorization"] == f"Basic {expected}"


def test_the_bundle_of_certificates_is_taken_from_the_environment() -> None:
    mine = Fetcher(environ={"REQUESTS_CA_BUNDLE": "ours.pem"})
    assert mine._session.verify == "ours.pem"
    assert fetcher()._session.verify is True


def test_certificates_that_are_not_there_are_named(site: Site, into: Path) -> None:
    with pytest.raises(FetchError, match=r"/no/ours\.pem"):
        fetch(site.url.replace("http:", "https:"), into, REQUESTS_CA_BUNDLE="/no/ours.pem")


def test_the_environment_of_the_process_is_not_read(site: Site, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://nowhere.invalid:1")
    fetch(site.url, into)
    assert into.read_bytes() == BODY


def test_a_full_disk_is_said_to_be_one(site: Site, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    into.parent.mkdir(parents=True)
    part_of(into).symlink_to("/dev/full")
    # the device reads as zeros without end: only writing to it is to fail
    monkeypatch.setattr(download._Transfer, "so_far", lambda _: (hashlib.sha256(), 0))
    with pytest.raises(OSError, match="No space left") as caught:
        fetch(site.url, into)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(part_of(into)))
    assert not isinstance(caught.value, requests.RequestException)


def test_an_interrupt_leaves_a_part_to_resume(site: Site, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = iter(range(99))

    def check() -> None:
        if next(checks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(process, "check", check)
    with pytest.raises(KeyboardInterrupt):
        fetch(site.url, into)
    assert names(into) == ["file.tar.gz.part"]
    part = part_of(into).read_bytes()
    assert part
    assert BODY.startswith(part)
    monkeypatch.undo()
    fetch(site.url, into)
    assert into.read_bytes() == BODY
    assert site.requests[1]["range"] == f"bytes={len(part)}-"


def test_a_stop_ends_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()
    stopped.set()
    monkeypatch.setattr(process, "_stopping", stopped)
    with pytest.raises(KeyboardInterrupt):
        download._pause(60)


class Gauge(PlainUi):
    """Remembers how far it got."""

    def __init__(self) -> None:
        super().__init__(Console(file=StringIO()))
        self.at, self.total = 0.0, 0.0

    def work(self, text: str, *, total: float | None = None, unit: str = "") -> Work:
        assert (text, total, unit) == ("Fetching file 1", None, "bytes")
        gauge, work = self, super().work(text)

        class _Work:
            done, drop = work.done, work.drop

            def advance(self, amount: float) -> None:
                gauge.at += amount

            def reach(self, amount: float) -> None:
                gauge.at = amount

            def expect(self, amount: float) -> None:
                gauge.total = amount

        return _Work()


def test_progress_counts_what_was_there_before(site: Site, into: Path) -> None:
    leave_part(into, BODY[:HALF])
    gauge = Gauge()
    fetcher().fetch(site.url, into, sha256=SHA256, ui=gauge, label="file 1")
    assert (gauge.at, gauge.total) == (len(BODY), len(BODY))


def test_files_are_what_the_umask_says(site: Site, into: Path) -> None:
    fetch(site.url, into)
    mask = os.umask(0)
    os.umask(mask)
    assert into.stat().st_mode & 0o777 == 0o666 & ~mask
