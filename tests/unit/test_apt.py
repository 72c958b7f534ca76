"""What is read from a machine's apt configuration, and where it is decided to look."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from relenv import apt
from relenv.apt import Entry, Listed, choose, codename, listings, machine_entries, parse_list, parse_sources
from relenv.errors import ChecksumError

if TYPE_CHECKING:
    from pathlib import Path

KEYRING = (("Signed-By", "/usr/share/keyrings/debian.gpg"),)
MAIN = Entry(uri="http://mirror.example/debian", suite="bookworm", options=KEYRING)
UPDATES = Entry(uri=MAIN.uri, suite="bookworm-updates", options=KEYRING)
SECURITY = Entry(uri="http://security.example/debian-security", suite="bookworm-security")
OTHERS = Entry(uri="https://packages.example/linux", suite="nodistro")


def test_deb822() -> None:
    text = """\
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian/
# and another
  https://other.example/debian
# about the suites
Suites: bookworm bookworm-updates
Components: contrib main
signed-by: /usr/share/keyrings/debian.gpg
Trusted: yes
Architectures: amd64

Types: deb
URIs: http://security.example/debian-security
suites: bookworm-security
Components: main
"""
    options = (("signed-by", "/usr/share/keyrings/debian.gpg"), ("Trusted", "yes"))
    assert list(parse_sources(text)) == [
        Entry(uri="http://mirror.example/debian", suite="bookworm", options=options),
        Entry(uri="http://mirror.example/debian", suite="bookworm-updates", options=options),
        Entry(uri="https://other.example/debian", suite="bookworm", options=options),
        Entry(uri="https://other.example/debian", suite="bookworm-updates", options=options),
        SECURITY,
    ]


@pytest.mark.parametrize(
    "change",
    [
        ("Types: deb", "Types: deb\nEnabled: no"),
        ("Types: deb", "Enabled: FALSE\nTypes: deb"),
        ("http:", "cdrom:"),
        ("http:", "mirror+file:"),
        ("Components: main", "Components: stable"),
        ("Components: main\n", ""),
        ("Types: deb", "Types: rpm"),
    ],
)
def test_deb822_that_does_not_count(change: tuple[str, str]) -> None:
    text = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n"
    assert len(list(parse_sources(text))) == 1
    assert list(parse_sources(text.replace(*change))) == []


def test_deb822_that_says_enabled() -> None:
    text = "Enabled: yes\nTypes: deb\nURIs: file:/srv/debian\nSuites: sid\nComponents: main"
    assert list(parse_sources(text)) == [Entry(uri="file:/srv/debian", suite="sid")]


def test_a_key_in_the_stanza_is_kept_line_by_line() -> None:
    key = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEZ\n -----END PGP PUBLIC KEY BLOCK-----"
    text = f"Types: deb\nURIs: http://a.example\nSuites: sid\nSigned-By:{key}\nComponents: main\n\n\n"
    (entry,) = parse_sources(text)
    assert f"Signed-By: {key}\n" in entry.stanza()
    (again,) = parse_sources(entry.stanza())
    assert again == entry


def test_one_line_format() -> None:
    text = """\
# deb http://commented.example/debian sid main
deb http://mirror.example/debian bookworm main contrib # with a remark
deb-src [ signed-by=/k.gpg arch=amd64 trusted=yes ] https://b.example/debian/ sid main
deb [arch=amd64 signed-by=/d.gpg] https://docker.example/linux bookworm stable
deb cdrom:[Debian GNU/Linux 12 _Bookworm_]/ bookworm main
deb [signed-by=/k.gpg]copy:/srv/debian trixie main
deb http://flat.example/ ./
deb http://mirror.example/debian trixie contrib # not main
rpm http://mirror.example/debian bookworm main
"""
    assert list(parse_list(text)) == [
        Entry(uri="http://mirror.example/debian", suite="bookworm"),
        Entry(
            uri="https://b.example/debian",
            suite="sid",
            options=(("Signed-By", "/k.gpg"), ("Trusted", "yes")),
        ),
        Entry(uri="copy:/srv/debian", suite="trixie", options=(("Signed-By", "/k.gpg"),)),
    ]


def test_a_stanza_asks_for_sources_of_main_alone() -> None:
    assert MAIN.stanza() == (
        "Types: deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian.gpg\n"
    )


def test_files_are_read_as_apt_reads_them(tmp_path: Path) -> None:
    parts = tmp_path / "apt" / "sources.list.d"
    parts.mkdir(parents=True)
    (tmp_path / "apt" / "sources.list").write_text("deb http://one.example a main\n")
    (parts / "b.sources").write_text("Types: deb\nURIs: http://two.example\nSuites: b\nComponents: main\n")
    (parts / "c.list").write_text("deb http://three.example c main\n")
    (parts / "d.list.disabled").write_text("deb http://four.example d main\n")
    (parts / "e.list").mkdir()
    assert [entry.suite for entry in machine_entries(tmp_path)] == ["a", "b", "c"]


def test_no_files_is_no_error(tmp_path: Path) -> None:
    assert machine_entries(tmp_path) == []
    assert codename(tmp_path) == ""


@pytest.mark.parametrize("text", ["VERSION_CODENAME=trixie\n", 'NAME="x"\nVERSION_CODENAME="trixie"\n'])
def test_codename(tmp_path: Path, text: str) -> None:
    (tmp_path / "os-release").write_text(text)
    assert codename(tmp_path) == "trixie"


def where(entries: list[Entry]) -> list[tuple[str, str]]:
    return [(entry.uri, entry.suite) for entry in entries]


def test_named_suites_come_first_beside_those_of_the_machine() -> None:
    found = choose([MAIN, UPDATES, SECURITY], suites=["trixie", "forky"], codename="bookworm")
    assert where(found) == [
        (MAIN.uri, "trixie"),
        (MAIN.uri, "forky"),
        (MAIN.uri, "bookworm"),
        (MAIN.uri, "bookworm-updates"),
        (SECURITY.uri, "bookworm-security"),
    ]
    assert found[0].options == KEYRING


def test_a_suite_of_security_updates_goes_where_the_machine_has_such() -> None:
    found = choose([MAIN, SECURITY], suites=["trixie-security"], codename="bookworm")
    assert where(found)[0] == (SECURITY.uri, "trixie-security")


def test_without_such_it_goes_where_mirrors_keep_it() -> None:
    (first, *_) = choose([MAIN], suites=["trixie-security"], codename="bookworm")
    assert first == Entry(uri="http://mirror.example/debian-security", suite="trixie-security", options=KEYRING)


def test_it_is_not_guessed_from_any_other_address() -> None:
    ubuntu = Entry(uri="http://archive.example/ubuntu", suite="noble")
    assert choose([ubuntu], suites=["trixie-security"], codename="noble") == [ubuntu]


def test_the_old_name_of_security_updates_counts() -> None:
    old = Entry(uri="http://s.example/debian-security", suite="buster/updates")
    found = choose([MAIN, old], suites=["trixie-security"], codename="buster")
    assert where(found) == [(old.uri, "trixie-security"), (old.uri, "buster/updates")]


def test_a_suite_the_machine_has_is_asked_once_and_first_when_named() -> None:
    found = choose([UPDATES, MAIN], suites=["bookworm"], codename="bookworm")
    assert where(found) == [(MAIN.uri, "bookworm"), (MAIN.uri, "bookworm-updates")]


def test_other_peoples_repositories_are_left_alone() -> None:
    pgdg = Entry(uri="https://pgdg.example", suite="bookworm-pgdg")
    found = choose([OTHERS, pgdg, MAIN], suites=["trixie"], codename="bookworm")
    assert {entry.uri for entry in found} == {MAIN.uri}


def test_rolling_names_are_the_machines_own() -> None:
    sid = Entry(uri=MAIN.uri, suite="sid")
    assert choose([OTHERS, sid], suites=[], codename="") == [sid]


def test_all_are_asked_where_none_is_known_as_the_machines_own() -> None:
    assert where(choose([OTHERS], suites=["trixie"], codename="unheard")) == [
        (OTHERS.uri, "trixie"),
        (OTHERS.uri, "nodistro"),
    ]


def test_nothing_configured_is_nowhere_to_look() -> None:
    assert choose([], suites=["trixie"], codename="bookworm") == []


SHOWSRC = """\
Package: openssl
Version: 3.5.7-1~deb13u2
Checksums-Sha256:
 aaa 53153930 openssl_3.5.7.orig.tar.gz
 bbb 870 openssl_3.5.7.orig.tar.gz.asc
Homepage: https://example.org/
Package-List:
 libssl3t64 deb libs optional arch=any

Package: openssl
Files:
 aaa 1 md5.is.not.looked.at
Checksums-Sha256:
 ccc 53100000 openssl_3.5.6.orig.tar.gz
Version: 3.5.6-1

Package: openssl
Version: 3.5.7-1~deb13u1
Checksums-Sha256:
 aaa 53153930 openssl_3.5.7.orig.tar.gz

"""


def test_every_version_with_the_tarball_is_found() -> None:
    one, two = (
        Listed(package="openssl", version=version, filename="openssl_3.5.7.orig.tar.gz", size=53153930)
        for version in ("3.5.7-1~deb13u2", "3.5.7-1~deb13u1")
    )
    assert listings(SHOWSRC, "aaa") == [one, two]
    assert [each.version for each in listings(SHOWSRC, "ccc")] == ["3.5.6-1"]
    assert listings(SHOWSRC, "ddd") == []
    assert listings("", "aaa") == []


def test_a_file_is_not_taken_on_the_word_of_apt(tmp_path: Path) -> None:
    (tmp_path / "arrived").write_bytes(b"something else")
    with pytest.raises(ChecksumError, match=r"^arrived has sha256 .* but 1234 is pinned"):
        apt._Index._take(tmp_path / "arrived", "1234", tmp_path / "got", "")
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize(
    ("printed", "complaint"),
    [
        ("Get:1 http://a.example sid InRelease [1 kB]\nReading package lists...", ""),
        (
            (
                "Err:2 http://a.example nosuch Release\n  404  Not Found [IP: 192.0.2.1 80]\n"
                "Reading package lists...\nE: The repository 'x' does not have a Release file."
            ),
            "404 Not Found",
        ),
        ("W: a warning\nE: Unable to find a source package for zlib", "Unable to find a source package for zlib"),
        ("W: Key is stored in legacy trusted.gpg keyring", "Key is stored in legacy trusted.gpg keyring"),
    ],
)
def test_what_apt_complains_of(printed: str, complaint: str) -> None:
    assert apt._complaint(printed) == complaint


@pytest.mark.parametrize(
    "printed",
    [
        "E: You don't have enough free space in '/cache/apt/'",
        "Err:2 http://a.example sid/main Sources\n  Error writing to file - write (28: No space left on device)",
    ],
)
def test_a_full_disk_is_not_laid_to_the_archive(tmp_path: Path, printed: str) -> None:
    with pytest.raises(OSError, match="No space left on device") as caught:
        apt._check_space(printed, tmp_path)
    assert caught.value.errno == errno.ENOSPC
    apt._check_space("404 Not Found", tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "Could not connect to 127.0.0.1:1 (127.0.0.1). - connect (111: Connection refused)",
        "Could not connect to 127.0.0.1:44777 (127.0.0.1), connection timed out",
        "Could not resolve 'no.such.invalid'",
        "Temporary failure resolving 'no.such.invalid'",
    ],
)
def test_an_unreachable_host_is_told_from_a_missing_suite(text: str) -> None:
    assert apt.UNREACHABLE.search(text)
    assert not apt.UNREACHABLE.search("404 Not Found")
