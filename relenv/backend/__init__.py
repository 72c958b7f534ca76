"""The PEP 517 and PEP 660 build backend: every hook is that of another backend, and a bundle comes along if asked for.

    [build-system]
    requires = ["relenv"]
    build-backend = "relenv.backend"

    [tool.relenv]
    build-backend = "hatchling.build"    # default: setuptools.build_meta

`python -m build -C relenv.bundle=true` writes the bundle to OUTDIR/relenv/; any option of `relenv bundle` goes along as
`-C relenv.<option>=...`. Without that nothing but the standard library is imported here.
"""

from __future__ import annotations

import tomllib
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relenv.bundle.backends import DEFAULT, EDITABLES, HANDS_ON, OURS, PROVIDERS

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTINGS = "relenv."
"""How the config settings begin that are ours."""
HOOKS = {f"{hook}_{kind}" for hook in ("build", "get_requires_for_build") for kind in ("wheel", "sdist", "editable")}
HOOKS |= {f"prepare_metadata_for_build_{kind}" for kind in ("wheel", "editable")}


def __getattr__(name: str) -> Any:
    """Return a hook; there are those that the other backend has, as frontends find out by looking."""
    if name == "__all__":  # for a backend in the project's own tree that begins with `from relenv.backend import *`
        return [hook for hook in sorted(HOOKS) if _hook(hook)]
    if hook := name in HOOKS and _hook(name):
        return hook
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _hook(name: str) -> Any:
    try:
        there = hasattr(load(configured()), name)
    except ModuleNotFoundError:
        there = True  # as frontends ask before they install what get_requires_for_build names
    return partial(_call, name) if there else None


def _call(name: str, *arguments: Any, **named: Any) -> Any:
    """Call the other backend's hook (PEP 517, PEP 660) without our settings."""
    backend = configured()
    try:
        hook = getattr(load(backend), name)
    except ModuleNotFoundError as error:
        if name.startswith("get_requires_for_build"):
            return [_provider(backend), *(EDITABLES.get(backend, ()) if name.endswith("editable") else ())]
        raise SystemExit(f"relenv: the build backend {backend} cannot be imported: {error}") from error
    result = hook(*map(_others, arguments), **{key: _others(value) for key, value in named.items()})
    if name in ("build_wheel", "build_sdist"):
        settings = next((one for one in (*arguments, *named.values()) if isinstance(one, dict)), {})
        folder = named.get("wheel_directory") or named.get("sdist_directory") or arguments[0]
        _afterwards(name, Path(folder), result, settings)
    return result


def _others(value: Any) -> Any:
    return {k: v for k, v in value.items() if not k.startswith(SETTINGS)} or None if isinstance(value, dict) else value


def configured() -> str:
    """Return the backend that [tool.relenv] of the project in the current directory names.

    Raises:
        SystemExit: it is this one, which would hand on to itself for ever.
    """
    with Path("pyproject.toml").open("rb") as file:
        backend = str(tomllib.load(file).get("tool", {}).get("relenv", {}).get("build-backend", DEFAULT))
    if backend.partition(":")[0] == OURS:
        raise SystemExit(f"relenv: build-backend in [tool.relenv] is {backend}, {HANDS_ON}")
    return backend


def load(backend: str) -> Any:
    """Import a backend (PEP 517: `module:object.attribute`).

    Raises:
        SystemExit: the module has no such object; an AttributeError would say that a hook is not there.
    """
    module, _, attributes = backend.partition(":")
    found: Any = import_module(module)
    for attribute in filter(None, attributes.split(".")):
        if not hasattr(found, attribute):
            raise SystemExit(f"relenv: the build backend {backend} has no {attribute}: is [tool.relenv] spelled right?")
        found = getattr(found, attribute)
    return found


def _provider(backend: str) -> str:
    """Return the distribution that a backend comes from."""
    if backend not in PROVIDERS:
        raise SystemExit(f"relenv: build-system.requires must name what provides {backend}, beside relenv")
    return PROVIDERS[backend]


def _afterwards(hook: str, folder: Path, result: str, settings: Mapping[str, Any]) -> None:
    """Do what is asked for beyond the hook itself. No recursion: the bundle is made of the wheel that is there."""
    ours = {key.removeprefix(SETTINGS): value for key, value in settings.items() if key.startswith(SETTINGS)}
    if hook == "build_sdist":
        import_module("relenv.backend.sdist").complete(folder / result, ours)
    elif ours:
        import_module("relenv.backend.bundle").bundle_if_asked(folder / result, folder / "relenv", ours)
