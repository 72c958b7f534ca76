"""What an interpreter is made of: `relenv.json` and a CycloneDX SBOM for programs, the texts of licences for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from relenv import __version__
from relenv.manifest.components import Component, all_of
from relenv.manifest.licences import gather_pip
from relenv.recipes.cpython import flags_of, series_of
from relenv.recipes.model import BUILD_ENV
from relenv.recipes.profiles import profile_for
from relenv.relocate.elf import glibc_floor
from relenv.store import write_text

if TYPE_CHECKING:
    from pathlib import Path

    from relenv.plan import Plan
    from relenv.toolchain import Toolchain

FORMAT = 1
"""Of the manifest: a reader refuses one that it does not know."""
MANIFEST = "relenv.json"
"""At the root of every interpreter and environment: what it is and what it is made of."""
SBOM = "sbom.cdx.json"
"""Beside it: the same for whoever looks for vulnerabilities (CycloneDX 1.6)."""


def write(root: Path, *, plan: Plan, toolchain: Toolchain, key: str) -> None:
    """Write both files into a finished interpreter, and the licences of pip beside those of the libraries.

    Args:
        root: the interpreter.
        plan: what it was built by.
        toolchain: what it was compiled with.
        key: the interpreter's.

    Raises:
        process.CommandError: the interpreter does not say what is in it.
    """
    # only who writes one has to wait for it to be imported
    from relenv.manifest.sbom import render  # noqa: PLC0415

    version = plan.aim.recipe.version
    gather_pip(root, series_of(version))
    components = all_of(plan, root)
    manifest = _describe(root, plan, toolchain, key, components)
    write_text(root / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    write_text(root / SBOM, render(plan, toolchain, components, key=key))


def _describe(
    root: Path, plan: Plan, toolchain: Toolchain, key: str, components: tuple[Component, ...]
) -> dict[str, object]:
    recipe = plan.aim.recipe
    profile = profile_for(recipe.version, toolchain.name)
    floor = glibc_floor(root)
    return {
        "format": FORMAT,
        "relenv": __version__,
        "python": recipe.version,
        "triplet": plan.platform.triplet,
        "key": key,
        "glibc": ".".join(map(str, floor)),
        "toolchain": {"name": toolchain.name, "compiler": toolchain.compiler(), "key": toolchain.key},
        "profile": {"file": profile.filename, "sha256": profile.sha256} if profile else None,
        "flags": flags_of(recipe),
        "library_flags": {name: BUILD_ENV[name] for name in ("CFLAGS", "CXXFLAGS", "LDFLAGS")},
        "components": [component.described() for component in components],
    }
