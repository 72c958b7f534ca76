"""From artifacts to an interpreter: laid together, pruned, made relocatable, verified, with pip and bytecode."""

from __future__ import annotations

import hashlib
import json
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from relenv import __version__, inside, manifest, pip_shim, process, relocate
from relenv.errors import BuildError, CheckError
from relenv.inside import run_python
from relenv.recipes.cpython import EXTENSIONS, in_files, series_of
from relenv.relocate import bytecode, elf, scripts, sysconfig
from relenv.store import write_text
from relenv.texts import template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relenv.build import Artifact
    from relenv.plan import Plan
    from relenv.toolchain import Toolchain


TEMPLATES = ("ensurepip.py.in", "sysconfigdata.py.in")
"""What goes into every interpreter."""


@cache
def layout_key() -> str:
    """Return a hash of the code and the texts that turn artifacts into an interpreter."""
    digest = hashlib.sha256(__version__.encode())
    files = [Path(__file__), Path(inside.__file__)]
    for package in (manifest, relocate, pip_shim):
        files += [path for root in package.__path__ for path in Path(root).rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: path.name):
        if path.suffix != ".pyc":
            digest.update(path.read_bytes())
    digest.update(json.dumps([template(name) for name in TEMPLATES]).encode())
    return digest.hexdigest()


def lay_out(root: Path, plan: Plan, artifacts: Mapping[str, Artifact], *, toolchain: Toolchain, key: str) -> None:
    """Lay out an interpreter.

    Args:
        root: an empty directory.
        plan: what was built.
        artifacts: of the plan, by name.
        toolchain: what they were built with.
        key: the interpreter's.

    Raises:
        BuildError: it is not as it should be. CheckError: it does not work.
    """
    series = series_of(plan.aim.recipe.version)
    for artifact in artifacts.values():
        _lay_in(artifact.path, root)
    _prune(root, series)
    elf.strip(root, toolchain)
    if misplaced := elf.misplaced(root):
        raise BuildError("a library would not be found: " + "; ".join(misplaced))
    sysconfig.relocate(root, series)
    scripts.relocate(root)
    _verify(root, series)
    _install_pip(root, series)
    bytecode.compile_tree(root, root / "lib" / f"python{series}")
    manifest.write(root, plan=plan, toolchain=toolchain, key=key)


def _lay_in(artifact: Path, root: Path) -> None:
    """Copy what an interpreter takes of an artifact."""
    for name in ("bin", "etc", "include", "lib", "licenses"):
        if (artifact / name).is_dir():
            shutil.copytree(artifact / name, root / name, symlinks=True, dirs_exist_ok=True)


LEFT_OUT = (
    # programs that need tkinter, which is not there
    "bin/idle*",
    "lib/python{series}/idlelib",
    "lib/python{series}/turtledemo",
    "lib/python{series}/turtle.py",
    "lib/python{series}/tkinter",
    # archives and libtool's own files, which name the directory of the build
    "lib/*.la",
    "lib/*.a",
    "lib/python{series}/config-{series}-*/*.a",
    "lib/python{series}/config-{series}-*/*.o",
    # and with them the library for programs that embed Python
    "lib/pkgconfig/*-embed.pc",
    # the test suites of the standard library
    "lib/python{series}/test",
    "lib/python{series}/*/test",
    "lib/python{series}/*/tests",
    "lib/python{series}/ctypes/test",
    # converts the source of Python 2; gone from 3.13
    "bin/2to3*",
    # written while sysconfig was made, and never read again
    "lib/python{series}/__pycache__",
    "lib/python{series}/**/__pycache__",
)
"""Globs of what an interpreter does without, and why."""


def _prune(root: Path, series: str) -> None:
    for pattern in LEFT_OUT:
        for path in sorted(root.glob(pattern.format(series=series))):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    _one_name_a_library(root / "lib")
    # python3 is the file and the others are its names, for the same reason
    (root / "bin" / "python3").unlink()
    (root / "bin" / f"python{series}").rename(root / "bin" / "python3")
    for name in ("python", f"python{series}"):
        (root / "bin" / name).symlink_to("python3")


def _one_name_a_library(folder: Path) -> None:
    """Let each library be a file under its soname, and its other names links to it or nothing.

    Where links are lost, as in a zip, what is needed at run time is then still there, and once only.
    """
    for path in sorted(folder.glob("*.so*")):
        if path.is_symlink():
            continue
        facts = elf.inspect(path)
        if facts and facts.soname and facts.soname != path.name:
            (folder / facts.soname).unlink(missing_ok=True)
            path.rename(folder / facts.soname)
            for link in folder.glob("*.so*"):
                if link.is_symlink() and not link.exists():
                    link.unlink()
                    if link.name.endswith(".so"):
                        link.symlink_to(facts.soname)


def _verify(root: Path, series: str) -> None:
    """Hold the extension modules against the list of what this series should have, and import each."""
    folder = root / "lib" / f"python{series}" / "lib-dynload"
    found = {path.name.split(".")[0] for path in folder.glob("*.so")}
    builtin = set(run_python(root, "-c", "import sys; print(*sys.builtin_module_names)").split())
    for what, names in (
        ("lacks", EXTENSIONS[series] - found - builtin),
        ("should not have", found - in_files(series)),
    ):
        if names:
            raise BuildError(
                f"the interpreter {what} the extension modules {', '.join(sorted(names))}",
                hint="the log of the step `make` of cpython tells why",
            )
    try:
        run_python(root, "-W", "ignore", "-c", "import " + ", ".join(sorted(EXTENSIONS[series])))
    except process.CommandError as error:
        raise CheckError("the interpreter does not import its own modules", detail=error.tail) from error


def _with_addition(text: str, addition: str) -> str:
    before, mark, after = text.partition('\nif __name__ == "__main__":')
    return f"{before.rstrip()}\n{addition}{mark}{after}"


def _install_pip(root: Path, series: str) -> None:
    """Install the pip that this CPython carries, and lay the shim around it.

    Raises:
        BuildError: this relenv is without its own sources, of which the shim is part.
    """
    if not (Path(pip_shim.__path__[0]) / "cli.py").is_file():
        raise BuildError(
            "this relenv lacks its own sources, which interpreters have a part of",
            hint="it was bundled with prune = max; with `safe` it can build",
        )
    library = root / "lib" / f"python{series}"
    (wheel,) = (library / "ensurepip" / "_bundled").glob("pip-*.whl")
    ensurepip = library / "ensurepip" / "__init__.py"
    # its last lines are for running as a program; the addition must come before them
    write_text(ensurepip, _with_addition(ensurepip.read_text(encoding="utf-8"), template("ensurepip.py.in")))
    code = (
        "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); sys.argv[0] = 'pip';"
        "runpy.run_module('pip', run_name='__main__', alter_sys=True)"
    )
    options = ("--no-index", "--no-compile", "--no-deps", "--no-cache-dir", "--disable-pip-version-check")
    version = wheel.name.split("-")[1]
    try:
        run_python(
            root,
            *(
                "-c",
                code,
                str(wheel),
                "install",
                *options,
                "--root-user-action",
                "ignore",
                "--no-warn-script-location",
            ),
            *("--find-links", str(wheel.parent), f"pip=={version}"),
        )
    except process.CommandError as error:
        raise BuildError("pip cannot be installed into the interpreter", detail=error.tail) from error
    shutil.copytree(
        Path(pip_shim.__file__).parent,
        library / "relenv_pip",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    run_python(
        root,
        "-c",
        "from relenv_pip import adopt_pip; import pathlib, sys; adopt_pip(pathlib.Path(sys.prefix))",
    )
