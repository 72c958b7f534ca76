"""The project's own wheel, built by its own backend, in isolation, with the interpreter it will run on."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import build
from pyproject_hooks import BackendUnavailable

from relenv import process
from relenv.environment import pip_install
from relenv.errors import BuildError, ConfigError, OutputError, disk_full

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relenv.interpreter import Interpreter
    from relenv.toolchain import Toolchain


@dataclass(frozen=True, kw_only=True)
class BuildEnvironment:
    """An isolated environment in the sense of `build`: a protocol of that library."""

    root: Path
    pip: tuple[str | Path, ...]

    @property
    def python_executable(self) -> str:
        """The interpreter the backend runs on."""
        return str(self.root / "bin" / "python3")

    def make_extra_environ(self) -> Mapping[str, str]:
        """Return what the backend's environment has besides the caller's."""
        return {}


def isolate(interpreter: Interpreter, root: Path) -> BuildEnvironment:
    """Make a virtual environment to build in: it is gone before anything is moved."""
    python = interpreter.root / "bin" / "python3"
    process.run([python, "-I", "-B", "-m", "venv", "--without-pip", root], env={"PATH": os.defpath})
    return BuildEnvironment(root=root, pip=(python, "-I", "-B", "-m", "pip", "--python", root / "bin" / "python3"))


def compiler_environ(toolchain: Toolchain, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that have extension modules compiled with the toolchain's glibc 2.17.

    A compiler that the user chose stays chosen.
    """
    if environ.get("CC"):
        return {}
    # the scripts of setuptools and others read these; the linker is the compiler
    return {
        **{
            name: shlex.quote(str(toolchain.tool(tool))) for name, tool in (("CC", "gcc"), ("CXX", "g++"), ("AR", "ar"))
        },
        # the host is asked for glibc and nothing else
        "LDFLAGS": f"-static-libgcc -static-libstdc++ {environ.get('LDFLAGS', '')}".rstrip(),
    }


def build_wheel(
    project: Path,
    interpreter: Interpreter,
    work: Path,
    *,
    label: str,
    environ: Mapping[str, str],
    compiler: Mapping[str, str],
) -> Path:
    """Build the wheel of a project into `work` and return its path.

    Args:
        project: its directory.
        interpreter: what to build with.
        work: an empty directory to work in.
        label: the project's name, for messages.
        environ: the caller's environment.
        compiler: see `compiler_environ`.

    Raises:
        BuildError: the backend failed. InstallError: what the build requires cannot be installed.
        ConfigError: [build-system] is not in order.
    """
    isolated = isolate(interpreter, work / "build-environment")
    base = {**environ, **compiler, **_setuptools_elsewhere(work)}
    base["PATH"] = f"{isolated.root / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}"
    log = work / "backend.log"

    def runner(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        process.run(list(cmd), cwd=Path(cwd) if cwd else None, env={**base, **(extra_environ or {})}, log=log)

    try:
        builder = build.ProjectBuilder.from_isolated_env(isolated, str(project), runner)
        _install(isolated, builder.build_system_requires, environ=base, label=label)
        _install(isolated, builder.get_requires_for_build("wheel"), environ=base, label=label)
        return Path(builder.build("wheel", str(work / "wheel")))
    except process.CommandError as error:
        raise _failure(label, error) from error
    except build.BuildBackendException as error:
        if isinstance(error.exception, BackendUnavailable):
            raise ConfigError(f"{label}: the build backend cannot be imported: {error}") from error
        failure = process.CommandError(["its backend"], 1, process.tail(log) or str(error.exception or error))
        raise _failure(label, failure) from error
    except build.BuildException as error:
        raise ConfigError(f"{project / 'pyproject.toml'}: {error}") from error


def _setuptools_elsewhere(work: Path) -> dict[str, str]:
    """Return what has setuptools build outside the project: its own `build` there keeps files that are gone since.

    See DIST_EXTRA_CONFIG in setuptools' "Build System Support"; no other backend looks at it.
    """
    config = work / "setuptools.cfg"
    (work / "egg-info").mkdir()
    config.write_text(f"[build]\nbuild_base = {work / 'build'}\n[egg_info]\negg_base = {work / 'egg-info'}\n")
    return {"DIST_EXTRA_CONFIG": str(config)}


def _failure(label: str, error: process.CommandError) -> BuildError | OutputError:
    if error.disk_full:
        return disk_full(label)
    lines = error.tail.strip().splitlines()
    last = lines[-1].strip() if lines else error.how
    return BuildError(
        f"{label}: its build backend failed: {last}",
        detail=error.tail,
        hint="`python -m build --wheel` in the project shows the same without relenv",
    )


def _install(isolated: BuildEnvironment, requires: set[str], *, environ: Mapping[str, str], label: str) -> None:
    if requires:
        pip_install(
            isolated.pip,
            ["--", *sorted(requires)],
            environ=environ,
            what=f"what the build of {label} requires",
        )
