"""Trees and what an audit finds in their files: synthetic, without a single program."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import stat
import tempfile
import zipfile
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nobody import as_nobody

from relenv.audit import Place, Tree, completeness, elf, opened, run, scripts, text
from relenv.audit.binary import Binary, binaries
from relenv.audit.closure import closures
from relenv.commands import check
from relenv.context import Context
from relenv.environment import copy_tree, repair
from relenv.errors import CheckError, RelenvError, UsageError
from relenv.pip_shim import adopt
from relenv.pip_shim.repair import repair as mend
from relenv.pip_shim.scripts import trampoline
from relenv.recipes.cpython import EXTENSIONS
from relenv.ui import open_ui

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relenv.audit import Finding

TMP = "/tmp"  # noqa: S108 - it is only spoken of
SITE = "lib/python3.13/site-packages"
PLACE = Place(home=Path("/home/ada"), cache=Path("/var/ada/cache"), user="ada", host="box42.example")
STALE = b"\xf3\x0d\x0d\x0a" + bytes(12)
SETTLED = b"\xf3\x0d\x0d\x0a" + b"\x01" + bytes(11)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree that is clean, but for its interpreter, which is no program."""
    root = tmp_path / "tree"
    for name in EXTENSIONS["3.13"]:
        put(root, f"lib/python3.13/lib-dynload/{name}.cpython-313-x86_64-linux-gnu.so", "")
    for name in ("python3", "python", "python3.13"):
        put(root, f"bin/{name}", "", mode=0o755)
    put(root, "bin/tool", trampoline(b"print('hello')\n"), mode=0o755)
    put(root, "relenv.json", "{}")
    put(root, f"{SITE}/pkg/__init__.py", "")
    put(root, f"{SITE}/pkg-1.0.dist-info/METADATA", "Name: pkg\n")
    record(root, [f"{SITE}/pkg/__init__.py", "bin/tool"])
    return root


def put(root: Path, name: str, content: str | bytes, mode: int = 0o644) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def record(root: Path, names: Iterable[str], *rows: str) -> None:
    lines = [*rows, "pkg-1.0.dist-info/RECORD,,"]
    for name in names:
        data = (root / name).read_bytes()
        digest = urlsafe_b64encode(sha256(data).digest()).decode().rstrip("=")
        path = name.removeprefix(f"{SITE}/") if name.startswith(SITE) else f"../../../{name}"
        lines.append(f"{path},sha256={digest},{len(data)}")
    put(root, f"{SITE}/pkg-1.0.dist-info/RECORD", "\n".join(lines) + "\n")


def findings(root: Path) -> list[Finding]:
    with opened(root) as tree:
        return [*text.check(tree, PLACE), *scripts.check(tree), *completeness.check(tree, tuple(binaries(tree)))]


def found(root: Path) -> list[tuple[str, str, str]]:
    return [(str(one.severity), one.check, one.file) for one in findings(root)]


def test_a_whole_tree_is_clean(root: Path) -> None:
    assert found(root) == []


@pytest.mark.parametrize(
    "name",
    [
        *("lib/data", "lib/python3.13/os.py", "bin/tool", "bin/python3", "bin/pip3", f"{SITE}/pkg/__init__.py"),
        *(f"{SITE}/pip/__main__.py", f"{SITE}/pkg-1.0.dist-info/RECORD", f"{SITE}/pkg-1.0.dist-info/direct_url.json"),
        *(f"{SITE}/pkg.pth", "relenv.json", f"{SITE}/pkg-1.0.dist-info/entry_points.txt"),
        "lib/python3.13/lib-dynload/_bz2.cpython-313-x86_64-linux-gnu.so",
    ],
)
def test_a_file_that_cannot_be_read_is_a_finding(root: Path, name: str) -> None:
    for other in ("lib/data", "lib/python3.13/os.py", "bin/pip3", f"{SITE}/pip/__main__.py", f"{SITE}/pkg.pth", name):
        if not (root / other).exists():
            put(root, other, "")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # pytest's own directories are the user's alone
        there = shutil.copytree(root, Path(folder) / "tree", symlinks=True)
        (there / name).chmod(0)
        with as_nobody(), opened(there) as tree:
            given = [
                *text.check(tree, PLACE),
                *scripts.check(tree),
                *completeness.check(tree, tuple(binaries(tree))),
                *elf._hollow(tree, ()),
            ]
    errors = [(one.check, one.file, one.what) for one in given if one.what == "cannot be read"]
    assert errors == [("mode", name, "cannot be read")]


@pytest.mark.parametrize("mode", [0, 0o100, 0o400])
@pytest.mark.parametrize("name", [".", "bin", "lib", "lib/python3.13", "share/apart"])
def test_a_directory_that_cannot_be_read_is_one_sentence(root: Path, name: str, mode: int) -> None:
    put(root, "share/apart/data", "")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # as above
        there = shutil.copytree(root, Path(folder) / "tree", symlinks=True)
        (there / name).chmod(mode)
        with pytest.raises(CheckError, match="cannot be read") as caught, as_nobody(), opened(there):
            pass
        (there / name).chmod(0o755)
    assert caught.value.message == f"{there / name} cannot be read"
    assert caught.value.hint


@pytest.mark.parametrize("closed", ["app.zip", "."])
def test_a_zip_that_cannot_be_read_is_one_sentence(root: Path, closed: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = archive(Path(folder) / "app.zip", packed(root))
        Path(folder).chmod(0o755)
        (Path(folder) / closed).chmod(0)
        with pytest.raises(CheckError, match=r"app\.zip cannot be read"), as_nobody(), opened(path):
            pass
        Path(folder).chmod(0o755)


@pytest.mark.parametrize("said", ["{root}/lib", "/home/ada/work", "/var/ada/cache/store", "ada@box42.example"])
@pytest.mark.parametrize(
    "name",
    [
        *("lib/python3.13/os.py", "lib/pkgconfig/z.pc", "lib/libz.so.1", "relenv.json", "licenses/x"),
        *("bin/tool-config", f"{SITE}/pkg-1.0.dist-info/entry_points.txt", f"{SITE}/pkg.pth"),
    ],
)
def test_nothing_of_this_machine_is_in_a_file_of_ours(root: Path, name: str, said: str) -> None:
    magic = b"\x7fELF\0" if ".so" in name else b""
    put(root, name, magic + f"x = '{said.format(root=root)}'\n".encode(), mode=0o755)
    (one,) = [finding for finding in findings(root) if finding.check != "manifest"]
    assert (one.severity, one.check, one.file) == ("error", "leak", name)
    assert said.format(root=root)[:20] in one.what


def test_the_documentation_may_speak_of_homes(root: Path) -> None:
    put(root, "lib/python3.13/os.py", "# as in /home/user/x, /tmp/build/y, /root/z\n")
    assert found(root) == []


@pytest.mark.parametrize("said", ["/home/runner/x", "/root/src", "/builds/cpython", f"{TMP}/pip-abc/x"])
@pytest.mark.parametrize(
    "name",
    [
        *("lib/python3.13/_sysconfigdata__linux_x86_64-linux-gnu.py", "lib/python3.13/config-3.13-x/Makefile"),
        *("lib/pkgconfig/z.pc", "lib/libz.la", "lib/python3.13/build-details.json", "lib/libz.so.1"),
    ],
)
def test_no_build_directory_is_in_what_a_build_wrote(root: Path, name: str, said: str) -> None:
    put(root, name, (b"\x7fELF\0" if ".so" in name else b"") + f"prefix={said}\n".encode())
    assert found(root) == [("error", "leak", name)]


@pytest.mark.parametrize(
    "said",
    [
        *("-L/home/ci/deps/lib", "-O2 -I/root/openssl/include", "'-B/builds/gcc/'", "-Wl,-R/root/lib"),
        *("/x:/home/ci/y", "/usr/lib:/root/lib", ":/home/ci/y", "$(HERE):/builds/lib"),
    ],
)
def test_a_build_directory_is_found_in_options_and_lists(root: Path, said: str) -> None:
    put(root, "lib/python3.13/config-3.13-x/Makefile", f"A={said}\n")
    (one,) = findings(root)
    assert (one.check, one.file) == ("leak", "lib/python3.13/config-3.13-x/Makefile")
    assert one.what.partition(": ")[2].startswith(("/home/", "/root/", "/builds/"))


@pytest.mark.parametrize(
    "said",
    [
        *("Tools/build/x.py", "https://x.org/build/y", "$(srcdir)/build/", "${prefix}/root/", f"{TMP}/perf-%d"),
        *("http://host/home/x/y", "http://host:80/home/x/y", "file:///home/x/y", "foo/home/x/y", "C:/build/x"),
        *("some-I/home/x/y", "-L./root/x"),
    ],
)
def test_what_only_looks_like_one_is_none(root: Path, said: str) -> None:
    put(root, "lib/python3.13/config-3.13-x/Makefile", f"X={said}\n")
    assert found(root) == []


def test_a_short_home_is_not_found_inside_other_paths(root: Path) -> None:
    place = Place(home=Path("/root"), cache=None, user="", host="vm")
    put(root, "lib/python3.13/a.py", "'/opt/devtoolset/root/usr'\n")
    with opened(root) as tree:
        assert list(text.check(tree, place)) == []
    put(root, "lib/python3.13/a.py", "'/opt/devtoolset/root/usr' '/root/usr'\n")
    put(root, "lib/python3.13/c.py", "'-I/root/usr'\n")
    put(root, "lib/python3.13/__pycache__/b.pyc", SETTLED + b"\xda\x09/root/usr")
    with opened(root) as tree:
        assert [one.file for one in text.check(tree, place)] == [
            "lib/python3.13/__pycache__/b.pyc",
            "lib/python3.13/a.py",
            "lib/python3.13/c.py",
        ]


def test_a_large_file_is_not_read_into_memory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_LARGE", 10)
    put(root, "lib/model.bin", b"x" * 5000 + b" /home/ada/model")
    put(root, "lib/python3.13/__pycache__/a.pyc", STALE + b"\xda\x0b/home/ada/x")
    put(root, "lib/libx.so", b"\x7fELF" + b" /builds/y")
    assert not isinstance(text._read(root / "lib/model.bin"), bytes)
    assert [(one.check, one.file) for one in findings(root)] == [
        ("leak", "lib/libx.so"),
        ("leak", "lib/model.bin"),
        ("bytecode", "lib/python3.13/__pycache__/a.pyc"),
    ]


@pytest.mark.parametrize("home", ["/", TMP, "/usr", "/usr/local", "/var"])
def test_a_home_that_every_machine_has_is_nobodys(root: Path, home: str) -> None:
    put(root, "lib/python3.13/a.py", "'/usr/local/bin' '/tmp/x' '/var/log/x'\n")
    put(root, "bin/other", "#!/usr/bin/env perl\n", mode=0o755)
    with opened(root) as tree:
        assert list(text.check(tree, Place(home=Path(home), cache=Path(home), user="", host=""))) == []


def test_the_name_of_a_longer_directory_is_not_that_of_the_tree(root: Path) -> None:
    put(root, "lib/python3.13/a.py", f"'{root}2/x' '{root}-old' 'x'")
    put(root, "lib/python3.13/__pycache__/a.pyc", SETTLED + b"\xda\x63" + f"{root}3/x".encode())
    assert found(root) == []
    put(root, "lib/python3.13/a.py", f"'{root}2/x' '{root}'")
    put(root, "lib/python3.13/__pycache__/a.pyc", SETTLED + b"\xda" + bytes([len(str(root))]) + f"{root}r".encode())
    assert [one[2] for one in found(root)] == ["lib/python3.13/__pycache__/a.pyc", "lib/python3.13/a.py"]


def test_a_tree_of_a_short_name_is_looked_for_in_what_is_written_there(root: Path) -> None:
    needles = text._needles(Tree(root=Path("/env"), series="3.13", files=(), links=()), PLACE)
    (env,) = [needle for needle in needles if needle.text == b"/env"]
    assert env.vague
    assert list(text._personal(b"#!/usr/bin/env python3\nprefix=/environment", [env])) == []
    assert list(text._personal(b"#!/env/bin/python3\n", [env])) == [("the directory it is in", "/env/bin/python3")]
    put(root, "lib/python3.13/os.py", "'/env'\n")
    put(root, "lib/pkgconfig/z.pc", "prefix=/env\n")
    with opened(root) as tree:
        told = [path for path in tree.files if text._tells(tree, path, b"")]
    assert "lib/pkgconfig/z.pc" in told
    assert "bin/tool" in told
    assert "lib/python3.13/os.py" not in told


def test_a_package_may_name_the_home_of_its_builder(root: Path) -> None:
    put(root, f"{SITE}/pkg/native.so", b"\x7fELF\0/home/runner/work/x.c\0")
    put(root, f"{SITE}/pkg/other.so", b"\x7fELF\0/home/ada/x.c\0")
    (one,) = findings(root)
    assert (one.severity, one.what) == ("note", "names a directory of the machine that built it (pkg 1.0: 2 files)")


def test_programs_and_sboms_of_a_package_are_its_builders(root: Path) -> None:
    put(root, "bin/native", b"\x7fELF\0/home/ada/.cargo/x.rs\0", mode=0o755)
    put(root, f"{SITE}/pkg-1.0.dist-info/sboms/x.json", '{"path": "/home/ada/.cargo/x"}')
    record(root, ["bin/native"])
    (one,) = findings(root)
    assert (one.severity, one.file) == ("note", "bin/native")


def test_a_project_may_include_what_it_likes_but_is_told(root: Path) -> None:
    put(root, "bin/theirs", b"\x7fELF /root/.cargo/registry", mode=0o755)
    put(root, "share/a.conf", "/home/ada/work")
    put(root, "share/readme", "/root/x")
    assert [one[:2] for one in found(root)] == [("error", "leak"), ("error", "leak")]
    put(root, "relenv.json", json.dumps({"bundle": {"include": ["bin/theirs", "share/a.conf", "share/readme"]}}))
    told = sorted(findings(root), key=lambda one: one.file)
    assert [(str(one.severity), one.check, one.file) for one in told] == [
        ("note", "leak", "bin/theirs"),
        ("warning", "leak", "share/a.conf"),
    ]
    assert told[1].what == "names a home directory: /home/ada/work"


@pytest.mark.parametrize(
    ("bundle", "floor"),
    [
        ({"glibc": "2.28"}, (2, 28)),
        ({"glibc": "2.5"}, (2, 17)),
        ({"glibc": f"2.{'9' * 5000}"}, (2, 17)),
        ({"glibc": 3}, (2, 17)),
        ([], (2, 17)),
    ],
)
def test_a_bundle_may_be_made_for_a_newer_glibc(root: Path, bundle: object, floor: tuple[int, ...]) -> None:
    put(root, "relenv.json", json.dumps({"bundle": bundle}))
    with opened(root) as tree:
        assert (tree.floor, tree.allowed) == ((2, 17), floor)


def test_a_package_that_names_where_it_is_may_not_move(root: Path) -> None:
    put(root, f"{SITE}/pkg/config.py", f"where = '{root}'\n")
    assert found(root) == [("warning", "leak", f"{SITE}/pkg/config.py")]


def test_bytecode_that_python_wrote_is_a_note_ours_an_error(root: Path) -> None:
    put(root, f"{SITE}/pkg/__pycache__/a.pyc", STALE + bytes(f"{root}/lib", "utf-8"))
    put(root, "lib/python3.13/__pycache__/b.opt-1.pyc", STALE + bytes(f"{root}/lib", "utf-8"))
    (one,) = findings(root)
    assert (one.severity, one.check) == ("note", "bytecode")
    assert one.what.startswith("2 .pyc")
    put(root, "lib/python3.13/__pycache__/b.opt-1.pyc", SETTLED + bytes(f"{root}/lib", "utf-8"))
    assert ("error", "leak", "lib/python3.13/__pycache__/b.opt-1.pyc") in found(root)


@pytest.mark.parametrize(
    "head",
    [
        "#!/opt/env/bin/python3\n",
        "#!python\n",
        "#!/opt/with space/bin/python3.13\n",
        "#!/bin/sh\n'''exec' \"/opt/env x/bin/python3\" \"$0\" \"$@\"\n' '''\n",
        "#!/opt/perl/bin/perl\n",
        "#!\n",
        "#!/bin/sh\n''':'\nrelenv_older=1\n'''\n",
        "#!/opt/x\0y\n",
    ],
)
def test_a_shebang_that_a_move_breaks(root: Path, head: str) -> None:
    put(root, "bin/bad", f"{head}print(1)\n", mode=0o755)
    assert found(root) == [("error", "shebang", "bin/bad")]


@pytest.mark.parametrize("head", ["#!/bin/sh\n", "#!/usr/bin/env bash\n", "#! /usr/bin/perl -w\n"])
def test_a_shebang_of_the_system_is_fine(root: Path, head: str) -> None:
    put(root, "bin/good", head, mode=0o755)
    assert found(root) == []


def test_scripts_in_folders_have_their_own_trampoline(root: Path) -> None:
    put(root, "bin/more/good", trampoline(b"pass\n", interpreter="../python3"), mode=0o755)
    assert found(root) == []
    put(root, "bin/more/bad", trampoline(b"pass\n"), mode=0o755)
    assert found(root) == [("error", "shebang", "bin/more/bad")]


def test_env_python_is_its_authors_choice(root: Path) -> None:
    put(root, "bin/choice", "#!/usr/bin/env python3\n", mode=0o755)
    assert found(root) == [("note", "shebang", "bin/choice")]


def test_a_script_must_be_executable(root: Path) -> None:
    (root / "bin/tool").chmod(0o644)
    assert found(root) == [("error", "mode", "bin/tool")]


def test_records_tell_the_truth(root: Path) -> None:
    module = root / SITE / "pkg/__init__.py"
    module.write_text("1")
    assert found(root) == [("error", "record", f"{SITE}/pkg/__init__.py")]
    record(root, [f"{SITE}/pkg/__init__.py", "bin/tool"])
    assert found(root) == []
    module.write_text("2")
    (one,) = findings(root)
    assert one.what == "has not the hash that RECORD of pkg 1.0 says"
    module.unlink()
    assert "is missing" in findings(root)[0].what


def test_rows_of_bytecode_need_no_file(root: Path) -> None:
    record(root, [], "pkg/__pycache__/__init__.cpython-313.pyc,,")
    assert found(root) == []
    record(root, [], "pkg/a.pyc,sha256=x,1")
    assert found(root) == [("error", "record", f"{SITE}/pkg/a.pyc")]
    record(root, [], "pkg/gone.py,,")
    assert found(root) == [("error", "record", f"{SITE}/pkg/gone.py")]
    record(root, [], f"pkg/{'x' * 300}.py,,")
    assert found(root) == [("error", "record", f"{SITE}/pkg/{'x' * 300}.py")]


def test_rows_may_be_nonsense_or_lead_outside(root: Path) -> None:
    record(root, [], '"pkg/a,b.py",sha256=x,many', "../../../../../etc/x,,", "/etc/y,,", "pkg/__init__.py,md9=x,0", "")
    assert [one[:2] for one in found(root)] == [
        ("error", "record"),
        ("warning", "record"),
        ("warning", "record"),
        ("error", "record"),
    ]
    put(root, f"{SITE}/pkg/a,b.py", "")
    assert findings(root)[0].file == f"{SITE}/pkg/a,b.py"


def test_editable_and_local_packages_are_told(root: Path) -> None:
    info = f"{SITE}/pkg-1.0.dist-info/direct_url.json"
    put(root, info, '{"url": "file:///home/ada/pkg", "dir_info": {}}')
    assert found(root) == [("note", "origin", info)]
    put(root, info, '{"url": "file:///home/ada/pkg", "dir_info": {"editable": true}}')
    put(root, info, "[" * 100_000)
    assert found(root) == [("error", "origin", info)]
    put(root, info, '{"url": "file:///home/ada/pkg", "dir_info": {"editable": true}}')
    put(root, f"{SITE}/__editable__.pth", "/srv/pkg/src\n")
    assert sorted(found(root)) == [("error", "origin", info), ("error", "pth", f"{SITE}/__editable__.pth")]


def test_start_up_hooks_are_noted(root: Path) -> None:
    put(root, f"{SITE}/hook.pth", "import os\n")
    assert found(root) == [("note", "pth", f"{SITE}/hook.pth")]


def test_modules_are_exactly_those_of_the_series(root: Path) -> None:
    folder = root / "lib/python3.13/lib-dynload"
    (folder / "_ssl.cpython-313-x86_64-linux-gnu.so").rename(folder / "_tsl.cpython-313-x86_64-linux-gnu.so")
    assert sorted(one.what for one in findings(root)) == [
        "lacks the extension module _ssl",
        "should not have the extension module _tsl",
    ]


def test_a_pruned_bundle_may_lack_modules(root: Path) -> None:
    (root / "lib/python3.13/lib-dynload/_ssl.cpython-313-x86_64-linux-gnu.so").unlink()
    for prune, severity in (("safe", "error"), ("max", "note")):
        put(root, "relenv.json", json.dumps({"bundle": {"prune": prune}}))
        assert [one[:2] for one in found(root) if one[1] == "extensions"] == [(severity, "extensions")]


@pytest.mark.parametrize("target", ["/usr/lib/x", "../../x", "gone"])
def test_links_stay_inside_and_lead_somewhere(root: Path, target: str) -> None:
    (root / "lib/libx.so").symlink_to(target)
    assert found(root) == [("error", "link", "lib/libx.so")]
    (root / "lib/libx.so").unlink()
    (root / "lib/libx.so").symlink_to("../bin/python3")
    assert found(root) == []


def test_a_tree_is_not_changed(root: Path) -> None:
    before = {path: path.stat() for path in root.rglob("*")}
    findings(root)
    after = {path: path.stat() for path in root.rglob("*")}
    assert {path: (one.st_mtime_ns, one.st_mode) for path, one in before.items()} == {
        path: (one.st_mtime_ns, one.st_mode) for path, one in after.items()
    }


def archive(path: Path, members: dict[str, tuple[bytes, int]]) -> Path:
    with zipfile.ZipFile(path, "w") as opened_zip:
        for name, (content, mode) in members.items():
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, mode << 16
            opened_zip.writestr(info, content)
    return path


def packed(root: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return {str(path.relative_to(root.parent)): (path.read_bytes(), path.stat().st_mode) for path in files}


def test_a_zip_is_checked_like_a_directory(root: Path, tmp_path: Path) -> None:
    members = packed(root)
    members["tree/bin/python"] = (b"python3", stat.S_IFLNK | 0o777)
    path = archive(tmp_path / "x.zip", members)
    assert found(path) == []
    with opened(path) as tree:
        place = tree.root
        assert (place / "bin/tool").stat().st_mode & 0o777 == 0o755
        assert tree.links == ("bin/python",)
    assert not place.exists()


def test_a_zip_that_lost_its_modes_is_told(root: Path, tmp_path: Path) -> None:
    path = archive(tmp_path / "x.zip", {name: (data, 0) for name, (data, _) in packed(root).items()})
    assert found(path) == [("error", "mode", "bin/tool")]


@pytest.mark.parametrize("name", ["/etc/x", "../x", "tree/../../x", "..", "tree\\..\\x"])
def test_a_zip_may_not_lead_out(root: Path, tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "x.zip", packed(root) | {name: (b"", 0o644)})
    with pytest.raises(CheckError, match="leads out"), opened(path):
        pass


@pytest.mark.parametrize("target", ["/etc", "../../x", ".."])
def test_a_zip_may_have_no_link_that_leads_out(root: Path, tmp_path: Path, target: str) -> None:
    name = "link" if target == ".." else "tree/link"
    path = archive(tmp_path / "x.zip", packed(root) | {name: (target.encode(), stat.S_IFLNK | 0o777)})
    with pytest.raises(CheckError, match="leads out"), opened(path):
        pass


def test_a_zip_may_have_nothing_below_a_link(root: Path, tmp_path: Path) -> None:
    precious = put(tmp_path / "elsewhere", "precious", "precious")
    link = stat.S_IFLNK | 0o777
    # read as text, none of them leads out
    deep = f"a/{'b/' * 20}"
    links = {f"{deep}up": (f"{'../' * 21}".encode(), link)}
    links |= {f"{deep}up/out": (f"{'../' * 20}{precious.parent}".encode(), link)}
    links |= {f"{deep}up/out/precious": (b"gone", link)}
    path = archive(tmp_path / "x.zip", packed(root) | links)
    with pytest.raises(CheckError, match="below what is no directory"), opened(path):
        pass
    assert precious.read_text() == "precious"


@pytest.mark.parametrize(
    ("names", "what"),
    [(["a/b", "a/b/c"], "below what is no directory"), (["a/b", "a//b"], "twice"), (["a/b", "a/b/"], "twice")],
)
def test_a_zip_may_have_no_names_in_each_others_way(root: Path, tmp_path: Path, names: list[str], what: str) -> None:
    path = archive(tmp_path / "x.zip", packed(root) | dict.fromkeys(names, (b"", 0o644)))
    with pytest.raises(CheckError, match=what), opened(path):
        pass


def test_a_link_of_a_zip_may_not_lead_out_by_another(root: Path, tmp_path: Path) -> None:
    link = stat.S_IFLNK | 0o777
    links = {"tree/lib/up": (b"..", link), "tree/lib/out": (b"up/../../etc", link)}
    path = archive(tmp_path / "x.zip", packed(root) | links)
    with pytest.raises(CheckError, match="leads out"), opened(path):
        pass


def test_a_damaged_zip_is_said_to_be(root: Path, tmp_path: Path) -> None:
    path = archive(tmp_path / "x.zip", packed(root))
    data = bytearray(path.read_bytes())
    data[data.index(b"print(")] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckError, match="damaged"), opened(path):
        pass


def test_a_record_that_cannot_be_read_is_a_finding(root: Path) -> None:
    for damage in ("x" * 5000, '"' + "x" * 200_000, '"a\nb"'):
        record(root, ["bin/tool"], f"{damage},,")
        assert found(root) == [("error", "record", f"{SITE}/pkg-1.0.dist-info/RECORD")]


def test_what_a_repair_would_mend_is_named(root: Path) -> None:
    python = "#!/usr/bin/python3\nprint()\n"
    put(root, "bin/gen", python, mode=0o755)
    put(root, "bin/own", python, mode=0o755)
    put(root, f"{SITE}/pkg-1.0.dist-info/entry_points.txt", "[console_scripts]\ngen = pkg:main\n")
    (root / "bin/python").write_bytes(b"python3")
    (root / "bin/python3.13").unlink()
    put(root, "lib/libz.so", "libz.so.1")
    put(root, "lib/libz.so.1", "")
    put(root, "lib/words", "nothing")
    put(root, "lib/python3.13/encodings/__init__.py", "")
    put(root, "relenv.json", "[")
    assert found(root) == [("error", "shebang", "bin/gen"), ("warning", "manifest", "relenv.json")]
    put(root, "relenv.json", "{}")
    put(root, f"{SITE}/pip/__main__.py", adopt.MAIN)
    put(root, "bin/pip3", trampoline(b"from pip import main\n"), mode=0o755)
    assert found(root) == [
        ("error", "shebang", "bin/gen"),
        ("warning", "shim", "bin/pip3"),
        ("warning", "shim", "lib/python3.13/relenv_pip"),
        ("warning", "link", "bin/python3.13"),
        ("warning", "link", "bin/python"),
        ("warning", "link", "lib/libz.so"),
    ]
    named = {file for _, _, file in found(root)}
    assert {deed.path for deed in repair(root)} == named
    assert found(root) == []
    put(root, "relenv.json", '{"bundle": {}}')
    (root / "bin/python").unlink()
    assert found(root) == []


def test_a_repair_mends_what_it_can_and_names_what_it_cannot_read(root: Path) -> None:
    closed = {"bin/closed", "bin/pip3", "lib/closed", f"{SITE}/pip/__main__.py", f"{SITE}/pkg/program"}
    put(root, "lib/python3.13/encodings/__init__.py", "")
    put(root, "bin/tool", (root / "bin/tool").read_bytes(), mode=0o644)
    put(root, "lib/libz.so", "libz.so.1")
    put(root, "lib/libz.so.1", "")
    for name in closed:
        put(root, name, "#!", mode=0)
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder) / "tree"
        root.rename(there)
        for path in (Path(folder), there, *there.rglob("*")):
            os.chown(path, 65534, 65534)
        with as_nobody():
            would, deeds = mend(there, dry_run=True), mend(there)
    done = {deed.path for deed in deeds if deed.done}
    assert done >= {"bin/tool", "lib/libz.so"}
    assert sorted(deed.path for deed in deeds if not deed.done) == sorted(closed)
    assert {deed.what for deed in deeds if not deed.done} == {"cannot be read: Permission denied"}
    assert would == deeds


def test_the_packages_of_another_python_are_no_second_library(root: Path) -> None:
    put(root, "lib/python3.13/encodings/__init__.py", "")
    for module in Path(adopt.__file__).parent.glob("*.py"):
        put(root, f"lib/python3.13/relenv_pip/{module.name}", module.read_text())
    put(root, "lib/python3.11/site-packages/other.py", "")
    assert found(root) == []
    assert repair(root) == []


def test_a_copy_is_open_to_others_whatever_our_umask(root: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        copy_tree(root, tmp_path / "copy")
    finally:
        os.umask(before)
    folders = [tmp_path / "copy", *(path for path in (tmp_path / "copy").rglob("*") if path.is_dir())]
    for _ in range(2):  # it is as it was afterwards
        assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
        with run._read_only(tmp_path / "copy", tmp_path, 0):
            assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o555}


def test_only_scripts_of_the_tree_are_run(root: Path, tmp_path: Path) -> None:
    other = put(tmp_path / "other", "bin/tool", trampoline(b"print()\n"), mode=0o755)
    names = ("tool", str(other), "../../other/bin/tool", "missing")
    lines = [f"{name} = pkg:main" for name in names]
    put(root, f"{SITE}/pkg-1.0.dist-info/entry_points.txt", "\n".join(["[console_scripts]", *lines]))
    with opened(root) as tree:
        assert [entry.name for entry in run._starts(tree)] == ["tool"]


def test_what_can_be_read_is_run_whatever_else_is_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_spots", tuple)
    put(root, f"{SITE}/pkg-1.0.dist-info/entry_points.txt", "[console_scripts]\ntool = pkg:main\nclosed = pkg:main\n")
    put(root, "bin/closed", trampoline(b"print()\n"))
    os.mkfifo(root / "lib/pipe")
    put(root, "lib/data", "")
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        Path(folder).chmod(0o777)
        work, there = Path(folder) / "work", Path(folder) / "tree"
        root.rename(there)
        listening.bind(f"{there}/socket")
        for name in ("lib/data", "bin/closed"):
            (there / name).chmod(0)
        with as_nobody(), opened(there) as tree:
            work.mkdir()
            assert list(run.check(tree, work, ())) == []
            copied = {path.relative_to(work / "copy").as_posix() for path in (work / "copy").rglob("*")}
            assert {*tree.files, *tree.links} - copied == {"lib/data", "bin/closed"}
            assert not copied & {"lib/pipe", "socket"}
        assert run.SCRIPT_PROBE in (work / "copy/bin/tool").read_text()


def test_a_manifest_that_is_no_file_is_not_waited_for(root: Path) -> None:
    (root / "relenv.json").unlink()
    os.mkfifo(root / "relenv.json")
    args = argparse.Namespace(path=root, execute=False, json=False)
    with pytest.raises(CheckError, match=r"relenv\.json is no file"):
        check.run(args, Context(environ={}, ui=open_ui(quiet=True), jobs=1))


def test_links_in_a_circle_are_a_finding(root: Path) -> None:
    (root / "lib/loop").symlink_to("loop")
    python = Binary(path="bin/python3", machine="EM_X86_64", bits=64, little=True)
    with opened(root) as tree:
        assert closures(tree, [python], python)
    assert found(root) == [("error", "link", "lib/loop")]


def test_what_is_no_tree_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("x")
    (tmp_path / "script").write_text("#!/bin/sh\necho\n")
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/pyvenv.cfg").touch()
    (tmp_path / "empty").mkdir()
    archive(tmp_path / "other.zip", {"a/b": (b"", 0o644)})
    for name, words in (
        ("gone", "does not exist"),
        ("text", "neither a directory nor a bundle"),
        ("script", "neither a directory nor a bundle"),
        ("venv", "virtual environment"),
        ("empty", "no bin/python3"),
        ("other.zip", "no bin/python3"),
    ):
        with pytest.raises(UsageError, match=words) as caught, opened(tmp_path / name):
            pass
        assert isinstance(caught.value, RelenvError)
        assert caught.value.hint


def test_a_release_is_to_be_unpacked_first(tmp_path: Path) -> None:
    path = tmp_path / "it"
    path.write_bytes(b"\xfd7zXZ\0")
    with pytest.raises(UsageError, match=r"neither a directory nor a bundle, but a tar\.xz$") as caught, opened(path):
        pass
    assert caught.value.hint == f"unpack it first: tar -xf {path}; and check the directory"


def test_a_zip_that_is_cut_short_is_damaged(tmp_path: Path) -> None:
    whole = archive(tmp_path / "app.zip", {"a/b": (b"b" * 99, 0o644)})
    whole.write_bytes(whole.read_bytes()[:-30])
    with pytest.raises(CheckError, match="damaged: it has no end") as caught, opened(whole):
        pass
    assert caught.value.hint


def test_a_copy_is_instrumented_behind_its_trampoline(tmp_path: Path) -> None:
    for flags, body in (("", b"print('no')\n"), ("u", b"# coding: latin-1\nprint('\xe9')\n")):
        script = put(tmp_path, "script", trampoline(body, flags=flags), mode=0o755)
        header = script.read_bytes().split(b"'''")[:3]
        run._instrument(script)
        assert script.read_bytes().split(b"'''")[:2] == header[:2]
        assert script.read_bytes().endswith(b"'''\n" + run.SCRIPT_PROBE.encode())
        assert script.stat().st_mode & 0o777 == 0o755


def test_what_pip_cannot_replace_is_named(root: Path) -> None:
    path = put(root, f"{SITE}/pkg-1.0.dist-info/RECORD", "")
    assert found(root) == [("warning", "record", f"{SITE}/pkg-1.0.dist-info/RECORD")]
    path.unlink()
    assert found(root) == [("warning", "record", f"{SITE}/pkg-1.0.dist-info")]
