"""A release location as a directory, behind nginx with TLS, and on a server with the faults that servers have."""

from __future__ import annotations

import getpass
import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import minisign
import pytest
import trustme
from conftest import AWKWARD, Relenv, own_disk, say

SBIN = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
"""Where nginx is, though not in a user's PATH."""
Fault = Callable[[SimpleHTTPRequestHandler], bool]
"""Answers a request its own way and gives True, or leaves it to the server."""


@pytest.fixture
def fresh(tmp_path: Path) -> dict[str, str]:
    """An empty cache, and nothing configured."""
    return {
        "RELENV_DATA": str(tmp_path / "data"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "RELENV_FETCH_FROM": "",
        "RELENV_FETCH_KEY": "",
    }


def stored(fresh: dict[str, str]) -> list[str]:
    """What is in the store and among the downloads."""
    return sorted(
        path.name for part in ("store", "downloads", "work") for path in Path(fresh["RELENV_DATA"], part).glob("*")
    )


def test_it_is_fetched_once_and_then_used_without_the_location(
    relenv: Relenv, dist: Path, fresh: dict[str, str], tmp_path: Path
) -> None:
    place = shutil.copytree(dist, tmp_path / AWKWARD)
    first = relenv("fetch", "--from", place, "--json", env=fresh)
    described = json.loads(first.stdout)
    assert say(Path(described["path"], "bin/python3"), "-c", "import platform; print(platform.python_version())") == (
        described["version"] + "\n"
    )
    again = relenv("fetch", "--from", place, env=fresh)
    assert again.stdout.strip() == described["path"]
    assert "Unpacking" in first.stderr
    assert "Unpacking" not in again.stderr
    shutil.rmtree(place)
    relenv("create", tmp_path / "environment", env=fresh)
    assert say(tmp_path / "environment/bin/pip3", "--version").startswith("pip ")
    assert [name for name in stored(fresh) if "python-" in name] == []
    listed = json.loads(relenv("versions", "--json", env=fresh).stdout)
    assert [known["fetched"] for known in listed if known["fetched"]] == [[described["path"]]]
    assert "interpreters, fetched" in relenv("cache", "show", env=fresh).stdout


def test_the_location_comes_from_the_configuration(
    relenv: Relenv, dist: Path, fresh: dict[str, str], tmp_path: Path
) -> None:
    nothing = relenv("fetch", env=fresh, check=False)
    assert nothing.code == 2
    assert nothing.errors[0] == "error: no release location is configured to fetch from"
    file = tmp_path / "config/relenv/config.toml"
    assert str(file) in nothing.stderr
    file.parent.mkdir(parents=True)
    file.write_text(f'[fetch]\nfrom = "{dist}"\n')
    relenv("create", tmp_path / "environment", env=fresh)
    assert stored(fresh)[0].startswith("fetched-")
    file.write_text('[fetch]\nfrom = "/nowhere"\n')
    assert relenv("fetch", env=fresh, check=False).errors[0].startswith("error: /nowhere/SHA256SUMS: No such file")
    relenv("fetch", env={**fresh, "RELENV_FETCH_FROM": str(dist)})


def test_a_bundle_is_made_of_it(
    relenv: Relenv, dist: Path, fresh: dict[str, str], sample: Callable[[str], Path], tmp_path: Path
) -> None:
    project = sample("example")
    relenv("bundle", project, "-o", tmp_path / "x.zip", env={**fresh, "RELENV_FETCH_FROM": str(dist)})
    assert not [name for name in stored(fresh) if name.startswith("python-")]
    subprocess.run(["unzip", "-q", tmp_path / "x.zip", "-d", tmp_path / AWKWARD], check=True)
    (script,) = (tmp_path / AWKWARD).glob("*/bin/sitewatch")
    assert "usage" in say(script, "--help")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--python", "3.4"], (4, "offers no Python 3.4 for")),
        (["--python", "new"], (2, "'new' is not a Python version")),
        (["--from", "s3://bucket/x"], (2, "a release location is a directory or the address of a web server")),
        (["--from", "https://example.org/?x=1"], (2, "cannot be a release location")),
        (["--key", "hello"], (2, "is no public key of minisign's")),
    ],
)
def test_what_cannot_be_had_is_one_sentence(  # noqa: PLR0917 - fixtures
    relenv: Relenv, dist: Path, fresh: dict[str, str], arguments: list[str], expected: tuple[int, str], tmp_path: Path
) -> None:
    place = shutil.copytree(dist, tmp_path / "dist")
    (place / "SHA256SUMS.minisig").write_text("whatever")
    outcome = relenv("fetch", *arguments, env={**fresh, "RELENV_FETCH_FROM": str(place)}, check=False)
    assert outcome.code == expected[0]
    assert expected[1] in outcome.errors[0]
    assert stored(fresh) == []


# --- signatures


@pytest.fixture
def signed(dist: Path, tmp_path: Path) -> Path:
    """A location whose list is signed with `key.pub`, by minisign itself where it is installed."""
    place = shutil.copytree(dist, tmp_path / "signed")
    if shutil.which("minisign"):
        files = ["-p", tmp_path / "key.pub", "-s", tmp_path / "key"]
        subprocess.run(["minisign", "-G", "-W", *files], check=True, capture_output=True)
        subprocess.run(["minisign", "-S", *files[2:], "-m", place / "SHA256SUMS"], check=True, capture_output=True)
    else:
        pair = minisign.KeyPair.generate()
        (tmp_path / "key.pub").write_bytes(bytes(pair.public_key))
        signature = pair.secret_key.sign((place / "SHA256SUMS").read_bytes())
        (place / "SHA256SUMS.minisig").write_bytes(bytes(signature))
    return place


def test_a_signature_is_verified(relenv: Relenv, signed: Path, fresh: dict[str, str], tmp_path: Path) -> None:
    key = (tmp_path / "key.pub").read_text().splitlines()[1]
    here = {**fresh, "RELENV_FETCH_FROM": str(signed), "RELENV_FETCH_KEY": key}
    path = Path(relenv("fetch", env=here).stdout.strip())
    assert path.is_dir()
    # it counts as signed with that key only
    other = bytes(minisign.KeyPair.generate().public_key).decode().splitlines()[1]
    refused = relenv("create", tmp_path / "other", env={**here, "RELENV_FETCH_KEY": other}, check=False)
    assert refused.code == 5
    assert "does not vouch for SHA256SUMS" in refused.errors[0]
    (signed / "SHA256SUMS").write_text((signed / "SHA256SUMS").read_text() + f"{'0' * 64}  more\n")
    changed = relenv("fetch", env=here, check=False)
    assert changed.code == 5
    assert "does not vouch for SHA256SUMS" in changed.errors[0]
    (signed / "SHA256SUMS.minisig").unlink()
    unsigned = relenv("fetch", env=here, check=False)
    assert unsigned.code == 5
    assert "there is no signature" in unsigned.errors[0]
    relenv("create", tmp_path / "environment", env=here)


def test_what_was_fetched_unsigned_is_not_used_once_a_key_is_configured(
    relenv: Relenv, signed: Path, fresh: dict[str, str], tmp_path: Path
) -> None:
    relenv("fetch", "--from", signed, env=fresh)
    key = (tmp_path / "key.pub").read_text().splitlines()[1]
    (signed / "SHA256SUMS.minisig").unlink()
    here = {**fresh, "RELENV_FETCH_FROM": str(signed), "RELENV_FETCH_KEY": key}
    assert relenv("create", tmp_path / "environment", env=here, check=False).code == 5
    assert not (tmp_path / "environment").exists()


# --- over HTTP


@pytest.fixture
def nginx(dist: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The variables that name a location behind nginx with TLS, and the authority to trust for it."""
    program = shutil.which("nginx", path=SBIN)
    if not program:
        pytest.skip("no nginx here")
    authority = trustme.CA()
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    temporary = "".join(
        f"{name}_temp_path {tmp_path};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(f"""
        {user} daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}
        http {{
            access_log {tmp_path}/access.log; {temporary}
            server {{
                listen 127.0.0.1:{port} ssl; root "{dist}";
                ssl_certificate {tmp_path}/server.pem; ssl_certificate_key {tmp_path}/server.pem;
                location /private/ {{ alias "{dist}/"; auth_basic "x"; auth_basic_user_file {tmp_path}/users; }}
            }}
        }}""")
    (tmp_path / "users").write_text("ann:{PLAIN}secret\n")
    with subprocess.Popen([program, "-c", tmp_path / "nginx.conf"], stderr=subprocess.DEVNULL) as server:
        for _ in range(100):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield {
            "RELENV_FETCH_FROM": f"https://localhost:{port}",
            "REQUESTS_CA_BUNDLE": str(tmp_path / "authority.pem"),
            "NO_PROXY": "localhost",
        }
        server.terminate()


def test_nginx_with_tls(relenv: Relenv, nginx: dict[str, str], fresh: dict[str, str], tmp_path: Path) -> None:
    outcome = relenv("create", tmp_path / "environment", env={**fresh, **nginx})
    assert "Fetched Python" in outcome.stderr
    assert say(tmp_path / "environment/bin/python3", "-c", "print(1)") == "1\n"


def test_an_authority_that_nobody_trusts(relenv: Relenv, nginx: dict[str, str], fresh: dict[str, str]) -> None:
    outcome = relenv("fetch", env={**fresh, **nginx, "REQUESTS_CA_BUNDLE": ""}, check=False)
    assert outcome.code == 4
    assert "certificate verify failed" in outcome.errors[0]


def test_a_password_in_netrc(relenv: Relenv, nginx: dict[str, str], fresh: dict[str, str], tmp_path: Path) -> None:
    here = {**fresh, **nginx, "RELENV_FETCH_FROM": nginx["RELENV_FETCH_FROM"] + "/private/"}
    assert "401 Unauthorized" in relenv("fetch", env=here, check=False).errors[0]
    (tmp_path / "netrc").write_text("machine localhost login ann password secret\n")
    relenv("fetch", env={**here, "NETRC": str(tmp_path / "netrc")})


def test_a_download_cut_short_by_a_signal_goes_on(
    relenv: Relenv, nginx: dict[str, str], fresh: dict[str, str], dist: Path, tmp_path: Path
) -> None:
    (tarball,) = dist.glob("*.tar.xz")
    digest = (dist / "SHA256SUMS").read_text()[:16]
    part = tmp_path / "data/downloads" / f"{digest}-{tarball.name}.part"
    relenv("cache", "show", env=fresh)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/relenv-cache.json").write_text('{"format": 1}')
    part.parent.mkdir()
    part.write_bytes(tarball.read_bytes()[:5_000_000])
    relenv("fetch", env={**fresh, **nginx})
    log = (tmp_path / "access.log").read_text()
    assert '.tar.xz HTTP/1.1" 206 ' in log
    assert '.tar.xz HTTP/1.1" 200 ' not in log


class Faulty(ThreadingHTTPServer):
    """Offers a directory; each request for the tarball meets the next fault, until there is none left."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.faults: list[Fault] = []
        self.asked: list[str] = []
        server = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                if self.path.endswith(".tar.xz") and server.faults and server.faults.pop(0)(self):
                    return
                super().do_GET()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are the point."""


@pytest.fixture
def faulty(dist: Path, tmp_path: Path) -> Iterator[Faulty]:
    server = Faulty(shutil.copytree(dist, tmp_path / "faulty"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def via(faulty: Faulty, fresh: dict[str, str]) -> dict[str, str]:
    return {**fresh, "RELENV_FETCH_FROM": f"http://127.0.0.1:{faulty.server_port}", "NO_PROXY": "127.0.0.1"}


def truncated(request: SimpleHTTPRequestHandler) -> bool:
    data = Path(request.translate_path(request.path)).read_bytes()
    request.send_response(200)
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    request.wfile.write(data[: len(data) // 2])
    request.close_connection = True
    return True


def status(code: int) -> Fault:
    def answer(request: SimpleHTTPRequestHandler) -> bool:
        request.send_error(code)
        return True

    return answer


def slow(request: SimpleHTTPRequestHandler) -> bool:
    time.sleep(2)
    return not request  # then the server goes on


def wrong(request: SimpleHTTPRequestHandler) -> bool:
    data = bytes(1000)
    request.send_response(200)
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    request.wfile.write(data)
    return True


@pytest.mark.parametrize("faults", [[truncated], [status(500)], [status(503), truncated], [slow]])
def test_what_passes_is_waited_for(relenv: Relenv, faulty: Faulty, via: dict[str, str], faults: list[Fault]) -> None:
    faulty.faults = list(faults)
    assert Path(relenv("fetch", env=via).stdout.strip(), "bin/python3").is_file()
    assert faulty.faults == []


def test_a_missing_tarball(relenv: Relenv, faulty: Faulty, via: dict[str, str]) -> None:
    faulty.faults = [status(404)]
    outcome = relenv("fetch", env=via, check=False)
    assert outcome.code == 4
    assert ".tar.xz: 404 " in outcome.errors[0]
    assert stored(via) == []


def test_wrong_bytes_are_never_unpacked_nor_passed_over(
    relenv: Relenv, faulty: Faulty, via: dict[str, str], tmp_path: Path
) -> None:
    for command in (["fetch"], ["create", tmp_path / "environment"]):
        faulty.faults = [wrong]
        outcome = relenv(*command, env=via, check=False)
        assert outcome.code == 5
        assert "is what SHA256SUMS says" in outcome.errors[0]
        assert stored(via) == []
    assert not (tmp_path / "environment").exists()


def test_a_list_that_is_none(relenv: Relenv, via: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "faulty/SHA256SUMS").write_text("<html>Please log in</html>\n")
    outcome = relenv("fetch", env=via, check=False)
    assert outcome.code == 4
    assert "SHA256SUMS is no list of checksums: line 1 is '<html>" in outcome.errors[0]


def test_a_password_in_the_address_is_not_shown(relenv: Relenv, via: dict[str, str]) -> None:
    place = via["RELENV_FETCH_FROM"].replace("//", "//ann:secret@") + "/nowhere"
    outcome = relenv("fetch", "--from", place, env=via, check=False)
    assert "404" in outcome.errors[0]
    assert "secret" not in outcome.stderr


def repack(faulty: Path, change: Callable[[tarfile.TarFile], None]) -> None:
    """Publish another tarball under the same name, with the right sum."""
    (tarball,) = faulty.glob("*.tar.xz")
    with tarfile.open(tarball, "w:xz") as tar:
        change(tar)
    sums = subprocess.run(["sha256sum", tarball.name], cwd=faulty, capture_output=True, text=True, check=True).stdout
    (faulty / "SHA256SUMS").write_text(sums)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk(relenv: Relenv, via: dict[str, str], tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with own_disk(disk, "size=30m"):
        here = {**via, "RELENV_DATA": str(disk / "data")}
        outcome = relenv("fetch", env=here, check=False)
        assert outcome.code == 10
        assert outcome.errors[0].endswith("cannot be put into {}: the disk is full".format(disk / "data"))
        assert [name for name in stored(here) if not name.endswith(".tar.xz")] == []
        subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
        again = relenv("fetch", env=here)
        assert "Unpacking" in again.stderr
        assert "Fetching" not in again.stderr  # the tarball was whole


def test_a_tarball_that_wants_out(relenv: Relenv, via: dict[str, str], tmp_path: Path) -> None:
    repack(tmp_path / "faulty", lambda tar: tar.addfile(tarfile.TarInfo("../../../out"), io.BytesIO()))
    outcome = relenv("fetch", env=via, check=False)
    assert outcome.code == 5
    assert "was not unpacked: '../../../out': a name that leads out of the tree" in outcome.errors[0]
    assert [name for name in stored(via) if not name.endswith(".tar.xz")] == []


def test_a_tarball_of_something_else(relenv: Relenv, via: dict[str, str], tmp_path: Path) -> None:
    repack(tmp_path / "faulty", lambda tar: tar.addfile(tarfile.TarInfo("README"), io.BytesIO()))
    outcome = relenv("fetch", env=via, check=False)
    assert outcome.code == 4
    assert "is no interpreter of relenv's: it has no relenv.json at its root" in outcome.errors[0]


def test_what_is_not_offered_is_built_and_that_is_said(
    relenv: Relenv, via: dict[str, str], interpreter: Path, data: Path, tmp_path: Path
) -> None:
    here = {**via, "RELENV_FETCH_FROM": via["RELENV_FETCH_FROM"] + "/nowhere"}
    bare = tmp_path / "data"
    shutil.copytree(data / "resolved", bare / "resolved")
    shutil.copy(data / "relenv-cache.json", bare)
    (bare / "store").mkdir()
    # so that it is not compiled again: all but the interpreter that is laid out of it
    for path in (data / "store").iterdir():
        if not path.name.startswith(("python-", "fetched-", "tarball-")):
            (bare / "store" / path.name).symlink_to(path)
    for name in ("downloads", "toolchains"):
        (bare / name).symlink_to(data / name)
    outcome = relenv("create", tmp_path / "environment", env=here)
    assert "cannot be fetched" in outcome.stderr
    assert "it is built instead" in outcome.stderr
    assert (bare / "store" / interpreter.name).is_dir()
