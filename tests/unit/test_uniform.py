"""Whatever pip and uv write in ways of their own has one form in a bundle, and one file stands for a requirement."""

from __future__ import annotations

import base64
import hashlib
from importlib.metadata import PathDistribution
from typing import TYPE_CHECKING, Any

import pytest

from relenv.bundle import uniform
from relenv.bundle.dependencies import Dependencies

if TYPE_CHECKING:
    from pathlib import Path

POINTS = "[console_scripts]\none = pack:main\n[gui_scripts]\ntwo = pack.sub:Class.run [extra]\n"


def of(data: bytes) -> str:
    return f"sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"


def lay(root: Path, name: str, files: dict[str, bytes], points: str = "") -> Path:
    """Put a package into an environment, its RECORD in disorder and as another installer spells it."""
    site = root / "lib/python3.13/site-packages"
    info = f"{name}-1.0.dist-info"
    content = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/INSTALLER": b"other",
        f"{info}/REQUESTED": b"",
        f"{info}/direct_url.json": b"{}",
        f"{info}/entry_points.txt": points.encode(),
    }
    for path, data in content.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(data)
    rows = [f'"{path}",{of(data)}\r\n' for path, data in sorted(content.items(), reverse=True)]
    (site / info / "RECORD").write_text("".join([f"{info}/RECORD,,\r\n", *rows]), newline="")
    return site / info


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # it wants a whole environment, and has tests of its own
    monkeypatch.setattr(uniform, "repair", lambda _: None)
    (tmp_path / "env/lib/python3.13/site-packages").mkdir(parents=True)
    (tmp_path / "env/bin").mkdir()
    return tmp_path / "env"


def environment(root: Path) -> Any:
    class Fake:
        site_packages = root / "lib/python3.13/site-packages"
        interpreter = type("Interpreter", (), {"root": root.parent / "interpreter"})

    Fake.root = root  # type: ignore[attr-defined]
    return Fake


def test_what_is_installed_has_one_form(root: Path) -> None:
    info = lay(root, "pack", {"../../../bin/one": b"#!x\nimport re\n", "../../../bin/two": b"#!x\n"}, POINTS)
    uniform.settle(environment(root))
    assert (
        (root / "bin/one")
        .read_bytes()
        .endswith(b'from pack import main\n\nif __name__ == "__main__":\n    sys.exit(main())\n')
    )
    assert b"from pack.sub import Class\n" in (root / "bin/two").read_bytes()
    assert b"sys.exit(Class.run())" in (root / "bin/two").read_bytes()
    assert (info / "INSTALLER").read_text() == "relenv\n"
    names = {path.name for path in info.iterdir()}
    assert names == {"METADATA", "INSTALLER", "RECORD", "entry_points.txt"}
    lines = (info / "RECORD").read_bytes().decode().split("\n")
    assert lines.pop() == ""
    assert lines == sorted(lines)
    assert f"../../../bin/one,{of((root / 'bin/one').read_bytes())}" in lines
    assert "pack-1.0.dist-info/INSTALLER," + of(b"relenv\n") in lines
    assert sorted(map(str, PathDistribution(info).files or ())) == [line.partition(",")[0] for line in lines]
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    uniform.settle(environment(root))
    assert before == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_interpreters_own_packages_stay_as_they_are(root: Path) -> None:
    lay(root.parent / "interpreter", "pip", {})
    info = lay(root, "pip", {"../../../bin/pip": b"shim"}, "[console_scripts]\npip = pip:main\n")
    before = {path.name: path.read_bytes() for path in info.iterdir()}
    uniform.settle(environment(root))
    assert before == {path.name: path.read_bytes() for path in info.iterdir()}
    assert (root / "bin/pip").read_bytes() == b"shim"


def test_a_script_of_two_packages_is_that_of_the_first_by_name(root: Path) -> None:
    infos = [
        lay(root, name, {"../../../bin/one": b"#!x\n"}, f"[console_scripts]\none = {name.lower()}:main\n")
        for name in ("Zwei", "alpha", "beta")
    ]
    uniform.settle(environment(root))
    assert b"from alpha import main" in (root / "bin/one").read_bytes()
    for info in infos:
        assert f"bin/one,{of((root / 'bin/one').read_bytes())}\n" in (info / "RECORD").read_text()


def test_files_of_several_packages_are_found(root: Path) -> None:
    for name in ("Zwei", "alpha", "beta"):
        own = {"shared/__init__.py": b"", "tests.py": name.encode(), "../../../bin/of-all": b"#!x\n"}
        lay(root, name, own | ({"LICENSE": name.encode()} if name != "alpha" else {}))
    found = uniform._contested(environment(root))
    site = "lib/python3.13/site-packages/"
    assert found == {"alpha": ["bin/of-all", f"{site}tests.py"], "beta": [f"{site}LICENSE"]}


# --- dependencies -----------------------------------------------------------------------------------------


def test_the_same_files_are_the_same_dependencies_wherever_they_come_from() -> None:
    digest, other = "--hash=sha256:" + "1" * 64, "--hash=sha256:" + "2" * 64
    of_pip = Dependencies.of([(f"Some.Name @ https://one/some_name-1.0-py3-none-any.whl {digest}", True)])
    of_uv = Dependencies.of([(f"some-name==1.0 {digest}", True)])
    assert of_pip.key == of_uv.key
    assert of_uv.key != Dependencies.of([(f"some-name==1.0 {other}", True)]).key
    both = [Dependencies.of([(f"some-name=={version} {digest} {other}", True)]).key for version in ("1.0", "2.0")]
    assert len({of_uv.key, *both}) == 3
    below = [f"some-name @ https://one/two.tar.gz#subdirectory={name} {digest}" for name in ("a", "b")]
    assert len({Dependencies.of([(one, True)]).key for one in below}) == 2


def test_one_of_several_dependencies() -> None:
    all_ = Dependencies.of([("A_b==1 --hash=sha256:1", True), ("c==1 --hash=sha256:2", True), ("d @ git+x", False)])
    assert all_.only("a-b") == Dependencies(hashed="A_b==1 --hash=sha256:1\n")
    assert all_.only("d") == Dependencies(loose="d @ git+x\n")
