"""Toolchains built from source: the recipes are in `relenv.recipes.toolchain`, the executor is that of all builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relenv.build import build
from relenv.errors import BuildError
from relenv.plan import make_plan
from relenv.recipes.toolchain import AIM, PARTS
from relenv.toolchain import Toolchain, describe, key_for

if TYPE_CHECKING:
    from relenv.context import Context
    from relenv.plan import Plan
    from relenv.recipes.model import Recipe


def build_toolchain(context: Context) -> Toolchain:
    """Return the newest toolchain whose sources can be had, from the store or built now.

    Raises:
        SourceError: a source cannot be obtained. BuildError: a build failed. HostError: a program is missing.
    """
    root = build(toolchain_plan(context), context.workshop())[AIM].path
    toolchain = describe(root, context.platform)
    if toolchain is None:
        raise BuildError(f"{root} is no toolchain", hint="remove that directory, and build it again")
    return toolchain


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
