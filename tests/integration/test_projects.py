"""Projects of every make: whatever pip installs, a bundle runs."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from conftest import AWKWARD, Relenv
from wheels import make_wheel

if TYPE_CHECKING:
    from pathlib import Path

SETUPTOOLS = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
HATCHLING = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'


@dataclass(frozen=True, kw_only=True)
class Make:
    """A project, how it is started, and what it says then."""

    files: dict[str, str]
    command: tuple[str, ...] = ("bin/shown",)
    says: str = "shown"
    where: str = "."
    """The directory that is bundled."""
    name: str = "shown"
    """Of the bundle."""
    wheels: dict[str, dict[str, str]] = field(default_factory=dict)
    """Dependencies, with their files."""


def metadata(extra: str = "", name: str = "shown") -> str:
    return f'[project]\nname = "{name}"\nversion = "1.2"\n{extra}'


SCRIPT = '[project.scripts]\nshown = "shown:main"\n'
MAIN = "def main():\n    print('shown')\n"

MAKES = {
    "src layout": Make(files={"pyproject.toml": SETUPTOOLS + metadata(SCRIPT), "src/shown/__init__.py": MAIN}),
    "flat layout": Make(files={"pyproject.toml": HATCHLING + metadata(SCRIPT), "shown/__init__.py": MAIN}),
    "one module": Make(
        files={
            "pyproject.toml": SETUPTOOLS + metadata(SCRIPT) + '[tool.setuptools]\npy-modules = ["shown"]\n',
            "shown.py": MAIN,
        }
    ),
    "python -m": Make(
        files={
            "pyproject.toml": HATCHLING + metadata(),
            "shown/__init__.py": "",
            "shown/__main__.py": "print('shown')\n",
        },
        command=("bin/python3", "-Im", "shown"),
    ),
    "dynamic version": Make(
        files={
            "pyproject.toml": SETUPTOOLS
            + '[project]\nname = "shown"\ndynamic = ["version"]\n'
            + SCRIPT
            + '[tool.setuptools.dynamic]\nversion = { attr = "shown.__version__" }\n',
            "shown/__init__.py": "__version__ = '7.8'\n\n\ndef main():\n"
            "    from importlib.metadata import version\n    print(version('shown'))\n",
        },
        says="7.8",
    ),
    "package data": Make(
        files={
            "pyproject.toml": HATCHLING + metadata(SCRIPT),
            "shown/__init__.py": "from importlib.resources import files\n\n\ndef main():\n"
            "    print(files('shown').joinpath('data', 'text.txt').read_text())\n",
            "shown/data/text.txt": "from a file",
        },
        says="from a file",
    ),
    "namespace packages": Make(
        files={
            "pyproject.toml": HATCHLING
            + metadata('dependencies = ["rlnvpart"]\n[project.scripts]\nshown = "rlnvspace.shown:main"\n')
            + '[tool.hatch.build.targets.wheel]\npackages = ["rlnvspace"]\n',
            "rlnvspace/shown/__init__.py": "from rlnvspace.part import word\n\n\ndef main():\n    print(word)\n",
        },
        wheels={"rlnvpart": {"rlnvspace/part.py": "word = 'from the other part'\n"}},
        says="from the other part",
    ),
    "namespace with a file that both have": Make(
        files={
            "pyproject.toml": HATCHLING
            + metadata('dependencies = ["rlnvpart"]\n[project.scripts]\nshown = "rlnvspace.shown:main"\n')
            + '[tool.hatch.build.targets.wheel]\npackages = ["rlnvspace"]\n',
            "rlnvspace/__init__.py": "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n",
            "rlnvspace/shown/__init__.py": "from rlnvspace.part import word\n\n\ndef main():\n    print(word)\n",
        },
        wheels={
            "rlnvpart": {
                "rlnvspace/part.py": "word = 'from the other part'\n",
                "rlnvspace/__init__.py": "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n",
            }
        },
        says="from the other part",
    ),
    "plugins": Make(
        files={
            "pyproject.toml": HATCHLING
            + metadata('dependencies = ["rlnvplugin"]\n' + SCRIPT)
            + '[project.entry-points."shown.plugins"]\nown = "shown:own"\n',
            "shown/__init__.py": "from importlib.metadata import entry_points\n\nown = 'own'\n\n\ndef main():\n"
            "    print(*sorted(str(one.load()) for one in entry_points(group='shown.plugins')))\n",
        },
        wheels={
            "rlnvplugin": {
                "rlnvplugin_more.py": "word = 'other'\n",
                "rlnvplugin-1.0.dist-info/entry_points.txt": "[shown.plugins]\nother = rlnvplugin_more:word\n",
            }
        },
        says="other own",
    ),
    "workspace member": Make(
        files={
            "pyproject.toml": '[tool.uv.workspace]\nmembers = ["parts/*"]\n',
            "parts/shown/pyproject.toml": HATCHLING
            + metadata('dependencies = ["rlnvsibling"]\n' + SCRIPT)
            + "[tool.uv.sources]\nrlnvsibling = { workspace = true }\n",
            "parts/shown/shown/__init__.py": "from rlnvsibling import word\n\n\ndef main():\n    print(word)\n",
            "parts/rlnvsibling/pyproject.toml": HATCHLING + metadata(name="rlnvsibling"),
            "parts/rlnvsibling/rlnvsibling/__init__.py": "word = 'from beside'\n",
        },
        where="parts/shown",
        says="from beside",
    ),
    "setup.py alone": Make(
        files={
            "setup.py": "from setuptools import setup\nsetup(name='shown', version='1', py_modules=['shown'],"
            " entry_points={'console_scripts': ['shown=shown:main']})\n",
            "shown.py": MAIN,
        }
    ),
    "a name with dots and dashes": Make(
        files={
            "pyproject.toml": SETUPTOOLS
            + metadata('[project.scripts]\n"sh-o.wn" = "sho_wn:main"\n', name="Sh-o.wn")
            + '[tool.setuptools]\npy-modules = ["sho_wn"]\n',
            "sho_wn.py": MAIN,
        },
        command=("bin/sh-o.wn",),
        name="Sh-o.wn",
    ),
}


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_it_runs_in_a_bundle(relenv: Relenv, make: Make, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for name, text in make.files.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "wheels").mkdir()
    for name, files in make.wheels.items():
        make_wheel(tmp_path / "wheels", name, files=files)
    if make.where != ".":
        uv = request.getfixturevalue("uv")
        subprocess.run([uv, "lock", "-q"], cwd=tmp_path / "project", check=True)
    options = ("--find-links", tmp_path / "wheels", "--format", "dir", "-o", f"{tmp_path / AWKWARD}/")
    relenv("bundle", tmp_path / "project" / make.where, *options)
    bundle = tmp_path / AWKWARD / make.name
    program, *arguments = make.command
    done = subprocess.run([bundle / program, *arguments], cwd="/", env={}, check=False, capture_output=True, text=True)
    assert done.stdout.strip() == make.says, done.stderr
