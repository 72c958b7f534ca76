"""Lock files: what is read from each format, and what does not fit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.markers import default_environment
from packaging.pylock import Pylock

from relenv.bundle.assemble import _refuse_holes
from relenv.bundle.dependencies import Dependencies
from relenv.bundle.locks import find_lock, pylock_of, read_lock, workspace_sources
from relenv.errors import ConfigError

ENVIRONMENT = {
    **{name: str(value) for name, value in default_environment().items()},
    "python_version": "3.13",
    "python_full_version": "3.13.5",
    "sys_platform": "linux",
}
A, B, C, D, E, F = (f"sha256:{letter * 64}" for letter in "abcdef")
COMMIT = "0123456789" * 4

PYLOCK = f"""
lock-version = "1.0"
created-by = "someone"
extras = ["cli"]
dependency-groups = ["deploy"]

[[packages]]
name = "example"
directory = {{ path = ".", editable = true }}

[[packages]]
name = "jinja2"
version = "3.1.6"
wheels = [{{ url = "https://example.org/jinja2-3.1.6-py3-none-any.whl", hashes = {{ sha256 = "{"a" * 64}" }} }}]
sdist = {{ url = "https://example.org/jinja2-3.1.6.tar.gz", hashes = {{ sha256 = "{"b" * 64}" }} }}

[[packages]]
name = "colorama"
version = "0.4"
marker = "sys_platform == 'win32'"
wheels = [{{ url = "https://example.org/colorama-0.4-py3-none-any.whl", hashes = {{ sha256 = "{"c" * 64}" }} }}]

[[packages]]
name = "click"
version = "8.1"
marker = "'cli' in extras"
wheels = [{{ path = "wheels/click-8.1-py3-none-any.whl", hashes = {{ sha256 = "{"d" * 64}" }} }}]

[[packages]]
name = "gunicorn"
version = "20"
marker = "'deploy' in dependency_groups"
vcs = {{ type = "git", url = "https://example.org/gunicorn", commit-id = "{COMMIT}" }}
"""
UV = f"""
version = 1
requires-python = ">=3.11"

[[package]]
name = "example"
source = {{ editable = "." }}

[[package]]
name = "jinja2"
version = "3.1.6"
source = {{ registry = "https://example.org/simple" }}
dependencies = [
    {{ name = "markupsafe" }},
    {{ name = "colorama", marker = "sys_platform == 'win32'" }},
]
wheels = [{{ url = "https://example.org/jinja2-3.1.6-py3-none-any.whl", hash = "{A}" }}]
sdist = {{ url = "https://example.org/jinja2-3.1.6.tar.gz", hash = "{B}" }}

[package.optional-dependencies]
i18n = [{{ name = "babel" }}]

[[package]]
name = "markupsafe"
version = "2.0"
source = {{ registry = "https://example.org/simple" }}
resolution-markers = ["python_full_version < '3.12'"]
wheels = [{{ url = "https://example.org/markupsafe-2.0-py3-none-any.whl", hash = "{C}" }}]

[[package]]
name = "markupsafe"
version = "3.0"
source = {{ registry = "https://example.org/simple" }}
resolution-markers = ["python_full_version >= '3.12'"]
wheels = [{{ url = "https://example.org/markupsafe-3.0-py3-none-any.whl", hash = "{D}" }}]

[[package]]
name = "babel"
version = "2.1"
source = {{ git = "https://example.org/babel?subdirectory=src&rev=main#{COMMIT}" }}
"""
POETRY = f"""
[[package]]
name = "jinja2"
version = "3.1.6"
optional = false
python-versions = ">=3.7"
groups = ["main"]
files = [{{file = "jinja2-3.1.6-py3-none-any.whl", hash = "{A}"}}, {{file = "jinja2-3.1.6.tar.gz", hash = "{B}"}}]

[package.dependencies]
Babel = {{version = ">=2.7", optional = true, markers = "extra == \\"i18n\\""}}
MarkupSafe = [
    {{version = ">=3", markers = "python_version >= \\"3.12\\""}},
    {{version = "<3", markers = "python_version < \\"3.12\\""}},
]

[package.extras]
i18n = ["Babel (>=2.7)"]

[[package]]
name = "markupsafe"
version = "3.0"
optional = false
groups = ["main", "dev"]
markers = {{main = "python_version >= \\"3.12\\"", dev = "sys_platform == \\"win32\\""}}
files = [{{file = "markupsafe-3.0-py3-none-any.whl", hash = "{D}"}}]

[[package]]
name = "markupsafe"
version = "2.0"
optional = false
groups = ["main"]
markers = "python_version < \\"3.12\\""
files = [{{file = "markupsafe-2.0-py3-none-any.whl", hash = "{C}"}}]

[[package]]
name = "babel"
version = "2.1"
optional = true
groups = ["main"]
files = []

[package.source]
type = "git"
url = "https://example.org/babel"
reference = "main"
resolved_reference = "{COMMIT}"
subdirectory = "src"

[metadata]
lock-version = "2.1"
"""
PDM = f"""
[metadata]
lock_version = "4.5.1"

[[package]]
name = "jinja2"
version = "3.1.6"
dependencies = ["MarkupSafe>=2.0", "colorama; sys_platform == 'win32'"]
files = [{{file = "jinja2-3.1.6-py3-none-any.whl", hash = "{A}"}}, {{file = "jinja2-3.1.6.tar.gz", hash = "{B}"}}]

[[package]]
name = "jinja2"
version = "3.1.6"
extras = ["i18n"]
dependencies = ["Babel>=2.1", "jinja2==3.1.6"]

[[package]]
name = "markupsafe"
version = "3.0"
marker = "python_version >= '3.12'"
files = [{{file = "markupsafe-3.0-py3-none-any.whl", hash = "{D}"}}]

[[package]]
name = "markupsafe"
version = "2.0"
marker = "python_version < '3.12'"
files = [{{file = "markupsafe-2.0-py3-none-any.whl", hash = "{C}"}}]

[[package]]
name = "babel"
version = "2.1"
git = "https://example.org/babel"
revision = "{COMMIT}"
subdirectory = "src"
"""
JINJA = f"jinja2==3.1.6 --hash={A} --hash={B}\n"
MARKUPSAFE = f"markupsafe==3.0 --hash={D}\n"
BABEL = f"babel @ git+https://example.org/babel@{COMMIT}#subdirectory=src\n"
TREES = {"uv.lock": UV, "poetry.lock": POETRY, "pdm.lock": PDM}


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("name", TREES)
def test_what_is_required_is_followed(tmp_path: Path, name: str) -> None:
    lock = write(tmp_path, name, TREES[name])
    plain = read_lock(lock, ["Jinja2>=3"], ENVIRONMENT)
    assert (plain.hashed, plain.loose) == (JINJA + MARKUPSAFE, "")
    with_extra = read_lock(lock, ["jinja2[i18n]"], ENVIRONMENT)
    assert (with_extra.hashed, with_extra.loose) == (JINJA + MARKUPSAFE, BABEL)
    assert with_extra.key
    older = read_lock(lock, ["jinja2"], {**ENVIRONMENT, "python_version": "3.11", "python_full_version": "3.11.2"})
    assert older.hashed == JINJA + f"markupsafe==2.0 --hash={C}\n"
    assert read_lock(lock, [], ENVIRONMENT).empty


def test_a_pylock_is_taken_as_it_is(tmp_path: Path) -> None:
    lock = write(tmp_path, "pylock.toml", PYLOCK)
    assert read_lock(lock, ["jinja2"], ENVIRONMENT).hashed == JINJA
    (tmp_path / "wheels").mkdir()
    links = f"--find-links {(tmp_path / 'wheels').as_uri()}\n"
    with_all = read_lock(lock, ["click"], ENVIRONMENT, own="example", extras=["CLI"], groups=["deploy"])
    assert with_all.hashed == f"{links}click==8.1 --hash={D}\n{JINJA}"
    assert with_all.loose == f"gunicorn @ git+https://example.org/gunicorn@{COMMIT}\n"


def test_a_directory_that_did_not_come_along_is_not_looked_into(tmp_path: Path) -> None:
    lock = write(tmp_path, "pylock.toml", PYLOCK)
    assert "--find-links" not in read_lock(lock, ["click"], ENVIRONMENT, own="example", extras=["CLI"]).hashed


@pytest.mark.parametrize("file", ["wheels = [{", "sdist = {"])
def test_files_say_their_version_if_a_pylock_does_not(tmp_path: Path, file: str) -> None:
    kept = next(line for line in PYLOCK.splitlines() if line.startswith(file))
    packages = f'[[packages]]\nname = "jinja2"\n{kept}\n'
    lock = write(tmp_path, "pylock.toml", f'lock-version = "1.0"\ncreated-by = "someone"\n{packages}')
    assert read_lock(lock, ["jinja2>=3"], ENVIRONMENT).hashed.startswith("jinja2==3.1.6 --hash=")
    with pytest.raises(ConfigError, match=r"it has jinja2 3\.1\.6, which does not fit jinja2<3"):
        read_lock(lock, ["jinja2<3"], ENVIRONMENT)


@pytest.mark.parametrize("name", [*TREES, "pylock.toml"])
@pytest.mark.parametrize(
    ("requirement", "why"),
    [("flask", "it lacks flask"), ("jinja2<3", "it has jinja2 3.1.6, which does not fit jinja2<3")],
)
def test_what_does_not_fit_is_stale(tmp_path: Path, name: str, requirement: str, why: str) -> None:
    lock = write(tmp_path, name, {**TREES, "pylock.toml": PYLOCK}[name])
    with pytest.raises(ConfigError, match=why) as caught:
        read_lock(lock, [requirement], ENVIRONMENT)
    assert caught.value.hint.startswith("`")


@pytest.mark.parametrize("name", TREES)
def test_what_is_required_in_turn_must_be_there(tmp_path: Path, name: str) -> None:
    text = TREES[name].replace('[[package]]\nname = "markupsafe"', '[[package]]\nname = "other"')
    with pytest.raises(ConfigError, match=r"it lacks (?i:markupsafe)"):
        read_lock(write(tmp_path, name, text), ["jinja2[i18n]"], ENVIRONMENT)


@pytest.mark.parametrize("name", TREES)
def test_a_file_without_a_hash_is_refused(tmp_path: Path, name: str) -> None:
    lock = write(tmp_path, name, TREES[name].replace("hash", "size"))
    with pytest.raises(ConfigError, match="has no hash for"):
        read_lock(lock, ["jinja2"], ENVIRONMENT)


@pytest.mark.parametrize("kind", ["sha384", "sha512"])
def test_whatever_pip_verifies_is_verified(tmp_path: Path, kind: str) -> None:
    lock = write(tmp_path, "pylock.toml", PYLOCK.replace("sha256", kind))
    found = read_lock(lock, ["jinja2"], ENVIRONMENT, own="example")
    assert (found.hashed, found.loose) == (JINJA.replace("sha256", kind), "")


ARCHIVE = """
[[packages]]
name = "flask"
version = "3"
archive = { url = "https://example.org/flask.tar.gz", hashes = { blake2b = "ab", md5 = "cd" } }
"""


@pytest.mark.parametrize(
    ("text", "what"),
    [(PYLOCK.replace("sha256", "md5"), "jinja2 but md5"), (PYLOCK + ARCHIVE, "flask but blake2b, md5")],
)
def test_what_nobody_verifies_is_refused(tmp_path: Path, text: str, what: str) -> None:
    # whether the project asks for it or something else does
    with pytest.raises(ConfigError, match=f"has no hash for {what}, and only sha256, sha384, sha512 are verified"):
        read_lock(write(tmp_path, "pylock.toml", text), [], ENVIRONMENT, own="example")


# what each tool writes for a URL, a revision, a file of this machine and a directory of it
DIRECT = {
    "pylock.toml": f"""
lock-version = "1.0"
created-by = "someone"
packages = [
  {{ name = "url", archive = {{ url = "https://example.org/url-1.zip", hashes = {{ sha256 = "{"a" * 64}" }} }} }},
  {{ name = "git", vcs = {{ type = "git", url = "https://example.org/git", commit-id = "{COMMIT}" }} }},
  {{ name = "file", archive = {{ path = "file-1.zip", hashes = {{ sha256 = "{"b" * 64}" }} }} }},
  {{ name = "tree", directory = {{ path = "tree" }} }},
]
""",
    "uv.lock": f"""
version = 1
package = [
  {{ name = "url", source = {{ url = "https://example.org/url-1.zip" }}, sdist = {{ hash = "{A}" }} }},
  {{ name = "git", source = {{ git = "https://example.org/git?rev=main#{COMMIT}" }} }},
  {{ name = "file", source = {{ path = "file-1.zip" }}, sdist = {{ hash = "{B}" }} }},
  {{ name = "tree", source = {{ directory = "tree" }} }},
]
""",
    "poetry.lock": f"""
metadata = {{ lock-version = "2.1" }}

[[package]]
name = "url"
version = "1"
files = [{{ file = "url-1.zip", hash = "{A}" }}]
source = {{ type = "url", url = "https://example.org/url-1.zip" }}

[[package]]
name = "git"
version = "1"
files = []
source = {{ type = "git", url = "https://example.org/git", resolved_reference = "{COMMIT}" }}

[[package]]
name = "file"
version = "1"
files = [{{ file = "file-1.zip", hash = "{B}" }}]
source = {{ type = "file", url = "file-1.zip" }}

[[package]]
name = "tree"
version = "1"
files = []
source = {{ type = "directory", url = "tree" }}
""",
    "pdm.lock": f"""
metadata = {{ lock_version = "4.5.1" }}
package = [
  {{ name = "url", url = "https://example.org/url-1.zip", files = [{{ file = "url-1.zip", hash = "{A}" }}] }},
  {{ name = "git", git = "https://example.org/git", ref = "main", revision = "{COMMIT}" }},
  {{ name = "file", path = "file-1.zip", files = [{{ file = "file-1.zip", hash = "{B}" }}] }},
  {{ name = "tree", path = "tree" }},
]
""",
}


@pytest.fixture
def direct(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    write(tmp_path, "file-1.zip", "")
    return tmp_path


@pytest.mark.parametrize("name", DIRECT)
def test_what_comes_from_no_index_is_pinned_as_well(direct: Path, name: str) -> None:
    found = read_lock(write(direct, name, DIRECT[name]), ["url", "git", "file", "tree"], ENVIRONMENT)
    place = direct.resolve().as_uri()
    assert found.hashed == f"file @ {place}/file-1.zip --hash={B}\nurl @ https://example.org/url-1.zip --hash={A}\n"
    assert found.loose == f"git @ git+https://example.org/git@{COMMIT}\ntree @ {place}/tree\n"


@pytest.mark.parametrize("name", ["uv.lock", "poetry.lock", "pdm.lock"])  # no pylock.toml is valid without hashes
@pytest.mark.parametrize("what", ["url", "file"])
def test_a_file_of_no_index_without_a_hash_is_refused(direct: Path, name: str, what: str) -> None:
    lock = write(direct, name, DIRECT[name].replace("hash", "size"))
    with pytest.raises(ConfigError, match=re.escape(f"{lock} has no hash for {what}")) as caught:
        read_lock(lock, [what], ENVIRONMENT)
    assert "makes the lock anew" in caught.value.hint


@pytest.mark.parametrize("name", DIRECT)
@pytest.mark.parametrize("revision", ["main", COMMIT[:12], ""])
def test_a_revision_that_can_change_is_refused(direct: Path, name: str, revision: str) -> None:
    lock = write(direct, name, DIRECT[name].replace(COMMIT, revision))
    with pytest.raises(ConfigError, match=re.escape(f"{lock} has no full commit id for git")):
        read_lock(lock, ["git"], ENVIRONMENT)


def test_a_number_of_a_revision_pins_nothing(direct: Path) -> None:
    text = DIRECT["pylock.toml"].replace('type = "git"', 'type = "svn"').replace(COMMIT, "4711")
    with pytest.raises(ConfigError, match="has no full commit id for git"):
        read_lock(write(direct, "pylock.toml", text), ["git"], ENVIRONMENT)


def test_a_place_that_is_no_directory_needs_a_hash(direct: Path) -> None:
    for place in ("https://example.org/tree", "git+https://example.org/tree@main"):
        text = DIRECT["uv.lock"].replace('directory = "tree"', f'url = "{place}"')
        with pytest.raises(ConfigError, match="for tree"):
            read_lock(write(direct, "uv.lock", text), ["tree"], ENVIRONMENT)


WORKSPACE = """dependencies = [{ name = "jinja2" }, { name = "member" }]

[[package]]
name = "member"
source = { editable = "members/one" }
dependencies = [{ name = "example" }]
"""


def test_members_of_a_workspace_may_require_its_root_and_each_other(tmp_path: Path) -> None:
    own = 'source = { editable = "." }\n'
    lock = write(tmp_path, "uv.lock", UV.replace(own, own + WORKSPACE))
    root = tmp_path.resolve()
    found = read_lock(lock, ["example"], ENVIRONMENT, own="member")
    assert (found.hashed, found.loose) == (JINJA + MARKUPSAFE, f"example @ {root.as_uri()}\n")
    found = read_lock(lock, ["member"], ENVIRONMENT, own="example")
    assert (found.hashed, found.loose) == ("", f"member @ {(root / 'members/one').as_uri()}\n")
    # without the lock nobody would know where they are
    with pytest.raises(ConfigError, match="it lacks more") as caught:
        read_lock(lock, ["more"], ENVIRONMENT, own="example")
    assert caught.value.hint == "`uv lock` brings it up to date"
    with pytest.raises(ConfigError, match="it lacks more") as caught:
        read_lock(write(tmp_path, "uv.lock", "version = 1\n"), ["more"], ENVIRONMENT, own="example")
    assert caught.value.hint == "`uv lock` brings it up to date; lock = none passes it over"


def test_a_list_must_have_what_extras_ask_for(tmp_path: Path) -> None:
    requires = {
        "server": ("fast; extra == 'standard'", "more[x]; extra == 'all'", "server[all]; extra == 'every'"),
        "more": ("hidden; extra == 'x'",),
    }
    for name, some in requires.items():
        (tmp_path / f"{name}-1.0.dist-info").mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", *(f"Requires-Dist: {one}" for one in some)]
        write(tmp_path / f"{name}-1.0.dist-info", "METADATA", "\n".join(lines) + "\n")
    interpreter = SimpleNamespace(series="3.13", version="3.13.5")
    environment = SimpleNamespace(site_packages=tmp_path, interpreter=interpreter)
    _refuse_holes(Path("pylock.toml"), environment, ["server>=1", "example[own]"], but="example")
    for asked, why in (
        ("server[standard]>=1", "fast, which server[standard] requires"),
        ("server[all]", "hidden, which more[x] requires"),
        ("server[every]", "hidden, which more[x] requires"),
    ):
        with pytest.raises(ConfigError, match=re.escape(f"pylock.toml does not fit the project: it lacks {why}")):
            _refuse_holes(Path("pylock.toml"), environment, [asked], but="example")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", "version = 2"),
        ("uv.lock", "x ="),
        ("uv.lock", "[[package]]"),
        ("poetry.lock", "[metadata]\nlock-version = '9'"),
        ("pdm.lock", "[metadata]\nlock_version = '3'"),
        ("pylock.toml", "lock-version = '1.0'"),
        ("pylock.toml", "lock-version = '7.0'\ncreated-by = 'x'\npackages = []"),
        ("uv.lock", UV.replace("python_full_version >= '3.12'", "bogus")),
        ("uv.lock", UV.replace("sys_platform == 'win32'", "python_version >")),
        ("uv.lock", UV.replace("sys_platform == 'win32'", "'i18n' in extras")),
        ("uv.lock", UV.replace("python_full_version >= '3.12'", "sys_platform ~= 'x'")),
        ("uv.lock", UV.replace(f'"{A}"', "1")),
        ("poetry.lock", POETRY.replace('groups = ["main"]', 'groups = ["main"]\nmarkers = "python_version >"', 1)),
        ("poetry.lock", POETRY.replace('extra == \\"i18n\\"', "bogus")),
        ("poetry.lock", POETRY.replace('version = "3.1.6"', "version = 3")),
        ("pdm.lock", PDM.replace('version = "3.1.6"', 'version = "3.1.6"\nmarker = "bogus"')),
    ],
)
def test_a_damaged_or_unknown_lock_is_named(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        read_lock(write(tmp_path, name, text), ["jinja2"], ENVIRONMENT)
    assert caught.value.hint


def test_requirements_with_hashes_are_a_lock(tmp_path: Path) -> None:
    text = f"# by pip-compile\njinja2==3.1.6 \\\n    --hash={A} \\\n    --hash={B}\n    # via example\n"
    lock = write(tmp_path, "requirements.txt", text)
    found = read_lock(lock, ["jinja2>=3"], ENVIRONMENT)
    assert found.hashed.split() == JINJA.split()
    with pytest.raises(ConfigError, match="it lacks flask"):
        read_lock(lock, ["flask"], ENVIRONMENT)
    with pytest.raises(ConfigError, match=r"has jinja2==3\.1\.6, which does not fit jinja2<3"):
        read_lock(lock, ["jinja2<3"], ENVIRONMENT)
    url = "jinja2 @ https://example.org/jinja2-3.1.6.zip"
    for line in (
        "jinja2==3.1.6",
        url,
        f"jinja2==3.1.6 --hash=md5:{'a' * 32}",
        f"jinja2 @ git+https://a.org/b@{COMMIT}",
    ):
        with pytest.raises(ConfigError, match=r"requirements\.txt has no hash for jinja2"):
            read_lock(write(tmp_path, "requirements.txt", f"{line}\n"), ["jinja2"], ENVIRONMENT)
    assert read_lock(write(tmp_path, "requirements.txt", f"{url} --hash={A}\n"), ["jinja2"], ENVIRONMENT).hashed


def test_of_requirements_with_markers_those_count_that_hold(tmp_path: Path) -> None:
    lines = [
        f"jinja2==3.1.6 ; python_version >= '3.12' --hash={A}",
        f"jinja2==2.0 ; python_version < '3.12' --hash={B}",
    ]
    for text in ("\n".join(lines), "\n".join(reversed(lines))):
        lock = write(tmp_path, "requirements.txt", text)
        # neither what is for other machines nor what says so: it would be listed, and not be there
        assert read_lock(lock, ["jinja2>=3"], ENVIRONMENT).hashed == f"jinja2==3.1.6 --hash={A}\n"
        with pytest.raises(ConfigError, match=r"has jinja2==3\.1\.6"):
            read_lock(lock, ["jinja2<3"], ENVIRONMENT)


def test_a_marker_of_a_requirements_file_makes_a_difference(tmp_path: Path) -> None:
    keys = set()
    for marker in ("", " ; sys_platform == 'win32'", " ; sys_platform == 'linux'"):
        text = f"jinja2==3.1.6 --hash={A}\nmarkupsafe==3.0{marker} --hash={D}\n"
        keys.add(read_lock(write(tmp_path, "requirements.txt", text), ["jinja2"], ENVIRONMENT).key)
    assert len(keys) == 2
    # nor does one that an installer is to evaluate get lost
    with_marker = Dependencies(hashed=f"markupsafe==3.0 ; sys_platform == 'win32' --hash={D}\n")
    assert with_marker.key != Dependencies(hashed=f"markupsafe==3.0 --hash={D}\n").key


def test_where_files_come_from_is_not_up_to_a_requirements_file(tmp_path: Path) -> None:
    options = ["-i https://a.invalid", "--index-url=https://b.invalid", "--extra-index-url https://c.invalid"]
    options += ["--find-links wheels", "-f wheels", "--no-index", "--trusted-host d.invalid", "--no-binary markupsafe"]
    lock = write(tmp_path, "requirements.txt", "\n".join([*options, JINJA]))
    assert read_lock(lock, ["jinja2"], ENVIRONMENT).hashed == f"--no-binary markupsafe\n{JINJA}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("-r base.txt", "has -r, and a lock is one file"),
        ("-rbase.txt", "has -r, and a lock is one file"),
        ("--requirement=base.txt", "has --requirement, and"),
        ("-c limits.txt", "has -c, and"),
        ("-e .", "has -e, and"),
        (f"jinja2>=3 --hash={A}", "does not pin jinja2"),
        (f"jinja2==3.* --hash={A}", "does not pin jinja2"),
        (f"jinja2==3 ; sys_platform ~= 'x' --hash={A}", "makes no sense: jinja2==3"),
        (f"jinja2==3 ; bogus --hash={A}", "is no requirement"),
        ("\udcff\udcfej", "is no text in UTF-8"),
    ],
)
def test_a_requirements_file_that_is_no_lock_is_told_why(tmp_path: Path, text: str, why: str) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match=re.escape(f"{lock}")) as caught:
        read_lock(lock, ["jinja2"], ENVIRONMENT)
    assert why in str(caught.value)


def test_a_requirements_file_may_begin_with_a_mark_of_its_encoding(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_bytes(b"\xef\xbb\xbf" + JINJA.encode())
    assert read_lock(lock, ["jinja2"], ENVIRONMENT).hashed == JINJA


def test_poetry_names_extras_of_the_project_in_markers(tmp_path: Path) -> None:
    text = POETRY.replace(
        'groups = ["main"]\nfiles = []', 'groups = ["main"]\nmarkers = "extra == \\"i18n\\""\nfiles = []'
    )
    lock = write(tmp_path, "poetry.lock", text)
    assert read_lock(lock, ["jinja2", "babel"], ENVIRONMENT, extras=["I18N"]).loose == BABEL
    assert read_lock(lock, ["jinja2"], ENVIRONMENT).loose == ""
    with pytest.raises(ConfigError, match="it lacks babel"):
        read_lock(lock, ["babel"], ENVIRONMENT)


def test_a_pylock_is_for_whom_it_says(tmp_path: Path) -> None:
    def with_line(line: str) -> Path:
        return write(
            tmp_path, "pylock.toml", PYLOCK.replace('created-by = "someone"', f'created-by = "someone"\n{line}')
        )

    for line in ('requires-python = ">=3.11"', """environments = ["sys_platform == 'linux'", "os_name == 'nt'"]"""):
        assert read_lock(with_line(line), ["jinja2"], ENVIRONMENT).hashed == JINJA
    for line, why in (
        ('requires-python = ">=3.14"', "is for Python >=3.14"),
        ("""environments = ["sys_platform == 'win32'"]""", "is not for this kind of machine"),
    ):
        with pytest.raises(ConfigError, match=why):
            read_lock(with_line(line), ["jinja2"], ENVIRONMENT)
    defaults = with_line('default-groups = ["deploy"]')
    assert "gunicorn" in read_lock(defaults, ["jinja2", "gunicorn"], ENVIRONMENT).loose


def test_what_a_workspace_knows_the_place_of(tmp_path: Path) -> None:
    member = tmp_path / "members/one"
    member.mkdir(parents=True)
    write(
        tmp_path,
        "pyproject.toml",
        '[tool.uv.workspace]\nmembers = ["members/*"]\n[tool.uv.sources]\na = { path = "a" }\n',
    )
    assert workspace_sources(member) == {"a"}
    assert workspace_sources(tmp_path / "elsewhere/one") == frozenset()


def test_which_lock_is_taken(tmp_path: Path) -> None:
    assert find_lock(tmp_path) is None
    for name in ("pdm.lock", "poetry.lock", "uv.lock", "pylock.toml"):
        write(tmp_path, name, "")
        assert find_lock(tmp_path) == tmp_path / name
    assert find_lock(tmp_path, "none") is None
    assert find_lock(tmp_path, "uv.lock") == tmp_path / "uv.lock"
    with pytest.raises(ConfigError, match=r"there is no .*nope\.lock"):
        find_lock(tmp_path, "nope.lock")


REPORT = json.dumps(
    [
        {
            "metadata": {"name": "Jinja2", "version": "3.1.6"},
            "download_info": {
                "url": "https://me:secret@example.org/jinja2-3.1.6-py3-none-any.whl",
                "archive_info": {"hashes": {"sha256": "a" * 64}},
            },
        },
        {
            "metadata": {"name": "babel", "version": "2.1"},
            "download_info": {
                "url": "https://example.org/babel",
                "vcs_info": {"vcs": "git", "commit_id": COMMIT},
                "subdirectory": "src",
            },
        },
        {
            "metadata": {"name": "click", "version": "8.1"},
            "download_info": {
                "url": "file://HERE/wheels/click-8.1.tar.gz",
                "archive_info": {"hash": f"sha256={'d' * 64}"},  # as old ones say it
            },
        },
    ]
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    report = json.loads(REPORT.replace("HERE", str(tmp_path)))
    text = pylock_of(report, tmp_path, "3.13")
    assert text == pylock_of(list(reversed(report)), tmp_path, "3.13")
    assert "secret" not in text
    assert str(tmp_path) not in text
    (tmp_path / "wheels").mkdir()
    found = read_lock(write(tmp_path, "pylock.toml", text), ["jinja2", "babel", "click"], ENVIRONMENT)
    links = f"--find-links {(tmp_path / 'wheels').as_uri()}\n"
    assert found.hashed == f"{links}click==8.1 --hash={D}\njinja2==3.1.6 --hash={A}\n"
    assert found.loose == BABEL
    Pylock.from_dict({"lock-version": "1.0", "created-by": "x", "packages": []})
