"""Toolchains built from source: the recipes are in `relenv.recipes.toolchain`, the executor is that of all builds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from relenv.build import build
from relenv.plan import make_plan
from relenv.recipes.toolchain import AIM, PARTS
from relenv.toolchain import Toolchain, key_for, pinned

if TYPE_CHECKING:
    from relenv.context import Context
    from relenv.plan import Plan
    from relenv.recipes.model import Recipe


def build_toolchain(context: Context) -> Toolchain:
    """Return the newest toolchain whose sources can be had, from the store or built now.

    Raises:
        SourceError: a source cannot be obtained. BuildError: a build failed. HostError: a program is missing.
    """
    artifact = build(toolchain_plan(context), context.workshop())[AIM]
    return _toolchain(artifact.path.name, context)


def toolchain_plan(context: Context) -> Plan:
    """Choose a release of each part that can be obtained, and plan the build.

    Raises:
        SourceError: one cannot be obtained.
    """

    def choose(name: str) -> Recipe:
        source = context.sources.resolve(name, [recipe.source for recipe in PARTS[name]])
        return next(recipe for recipe in PARTS[name] if recipe.source == source)

    parts = {name: choose(name) for name in PARTS}
    return make_plan(parts[AIM], parts, platform=context.platform, toolchain_key=key_for(context.platform))


def toolchains(context: Context) -> list[Toolchain]:
    """Return the toolchains that are here: the pinned one, and those that were built."""
    built = sorted(path.parent.name for path in context.cache.store.glob(f"{AIM}-*/artifact.json"))
    first = pinned(context.platform, context.cache)
    return [*([first] if first.root.is_dir() else []), *(_toolchain(name, context) for name in built)]


def _toolchain(name: str, context: Context) -> Toolchain:
    root = context.cache.store / name
    described = json.loads((root / "artifact.json").read_bytes())
    return Toolchain(
        name=f"{described['name']}-{described['version']}",
        triplet=context.platform.triplet,
        key=described["key"],
        root=root,
    )
