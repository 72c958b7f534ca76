"""Whom default TLS contexts trust: what the machine trusts, wherever it keeps that; else Mozilla's list."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trustme
from conftest import AWKWARD, elsewhere, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CONNECT = """\
import socket, ssl, sys
port, host = sys.argv[1:]
try:
    with socket.create_connection(("127.0.0.1", int(port))) as plain:
        with ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secured:
            print("accepted", secured.version())
except ssl.SSLCertVerificationError as error:
    print("refused:", error.verify_message)
"""
SUBJECT_HASH = """\
import ctypes, sys
crypto = ctypes.CDLL(sys.prefix + "/lib/libcrypto.so.3")
for name in ("BIO_new_mem_buf", "PEM_read_bio_X509"):
    getattr(crypto, name).restype = ctypes.c_void_p
crypto.X509_subject_name_hash.restype = ctypes.c_ulong
pem = sys.argv[1].encode()
bio = ctypes.c_void_p(crypto.BIO_new_mem_buf(pem, len(pem)))
print("%08x" % crypto.X509_subject_name_hash(ctypes.c_void_p(crypto.PEM_read_bio_X509(bio, None, None, None))))
"""
PATHS = "import ssl; print(ssl.get_default_verify_paths().openssl_cafile)"
STORED = "import ssl; print(ssl.create_default_context().cert_store_stats()['x509_ca'])"

LAYOUTS: dict[str, tuple[str, ...]] = {
    "Debian": ("ssl/certs/{hash}.0",),
    "Debian without links": ("ssl/certs/ca-certificates.crt",),
    "Fedora": ("pki/ca-trust/extracted/pem/tls-ca-bundle.pem",),
    "RHEL": ("pki/tls/certs/ca-bundle.crt",),
    "SUSE": ("ssl/ca-bundle.pem",),
    "Alpine": ("ssl/cert.pem", "ssl/certs/ca-certificates.crt", "ssl/certs/{hash}.0"),
    "NixOS": ("ssl/certs/ca-bundle.crt",),
}
"""Where each kind of machine keeps the certificates it trusts, below /etc."""


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@contextmanager
def serving(certificate: trustme.LeafCert) -> Iterator[str]:
    """Run a TLS server; gives its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            with plain, suppress(OSError), context.wrap_socket(plain, server_side=True):
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield str(listening.getsockname()[1])
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


@pytest.fixture(scope="session")
def server(authority: trustme.CA) -> Iterator[str]:
    with serving(authority.issue_cert("localhost")) as port:
        yield port


def there(etc: Path, program: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [*elsewhere({"/etc": etc}), program, *arguments],
        env={"PATH": os.environ["PATH"], **(env or {})},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_the_machine_trusts_is_trusted(
    layout: str, interpreter: Path, authority: trustme.CA, server: str, tmp_path: Path
) -> None:
    python = interpreter / "bin/python3"
    pem = authority.cert_pem.bytes().decode()
    for name in LAYOUTS[layout]:
        path = tmp_path / name.format(hash=say(python, "-Ic", SUBJECT_HASH, pem).strip())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pem)
    assert there(tmp_path, python, "-Ic", CONNECT, server, "localhost").startswith("accepted")
    with serving(trustme.CA().issue_cert("localhost")) as stranger:
        assert there(tmp_path, python, "-Ic", CONNECT, stranger, "localhost").startswith("refused")


def test_a_machine_without_any_trusts_what_came_along(
    interpreter: Path, server: str, tmp_path: Path, authority: trustme.CA
) -> None:
    etc = tmp_path / "etc"
    (etc / "ssl/certs").mkdir(parents=True)
    moved = shutil.copytree(interpreter, tmp_path / AWKWARD, symlinks=True)
    for tree in (interpreter, moved):
        python = tree / "bin/python3"
        assert there(etc, python, "-Ic", PATHS) == f"{tree}/etc/ssl/cert.pem"
        assert int(there(etc, python, "-Ic", STORED)) > 100
        assert there(etc, python, "-Ic", CONNECT, server, "localhost").startswith("refused")
    authority.cert_pem.write_to_path(etc / "mine.pem")
    env = {"SSL_CERT_FILE": "/etc/mine.pem"}
    assert there(etc, python, "-Ic", CONNECT, server, "localhost", env=env).startswith("accepted")


def test_the_variables_win(interpreter: Path, authority: trustme.CA, server: str, tmp_path: Path) -> None:
    python = interpreter / "bin/python3"
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    assert say(python, "-Ic", CONNECT, server, "localhost").startswith("refused")
    by_file = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    assert say(python, "-Ic", CONNECT, server, "localhost", env=by_file).startswith("accepted")
    pem = authority.cert_pem.bytes().decode()
    name = say(python, "-Ic", SUBJECT_HASH, pem).strip()
    (tmp_path / "certs").mkdir()
    authority.cert_pem.write_to_path(tmp_path / f"certs/{name}.0")
    by_folder = {"SSL_CERT_DIR": str(tmp_path / "certs")}
    assert say(python, "-Ic", CONNECT, server, "localhost", env=by_folder).startswith("accepted")


def test_what_is_wrong_is_refused(interpreter: Path, authority: trustme.CA, server: str, tmp_path: Path) -> None:
    python = interpreter / "bin/python3"
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    env = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    expired = authority.issue_cert("localhost", not_before=now - 3 * day, not_after=now - day)
    early = authority.issue_cert("localhost", not_before=now + day, not_after=now + 3 * day)
    for certificate, reason in (
        (expired, "certificate has expired"),
        (early, "certificate is not yet valid"),
        (trustme.CA().issue_cert("localhost"), "issuer certificate"),
    ):
        with serving(certificate) as port:
            said = say(python, "-Ic", CONNECT, port, "localhost", env=env)
            assert said.startswith("refused")
            assert reason in said
    said = say(python, "-Ic", CONNECT, server, "example.org", env=env)
    assert said.startswith("refused")
    assert "Hostname mismatch" in said


def test_no_program_is_started_for_it(interpreter: Path, server: str, tmp_path: Path) -> None:
    log = tmp_path / "strace.log"
    command = ["strace", "-f", "-e", "trace=execve", "-o", log, interpreter / "bin/python3", "-Ic", CONNECT]
    subprocess.run([*command, server, "localhost"], check=True, capture_output=True)
    assert log.read_text().count("execve(") == 1
