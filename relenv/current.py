"""What of the cache this relenv can still use, as things are: worked out from the recipes, without a network."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from relenv.interpreter import key_of
from relenv.plan import make_plan
from relenv.recipes.cpython import CPYTHON
from relenv.recipes.libraries import LIBRARIES
from relenv.recipes.toolchain import AIM, PARTS
from relenv.release import packed_name
from relenv.sources import cached_tarball
from relenv.toolchain import directory_for, key_for
from relenv.training import aim_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relenv.context import Context
    from relenv.plan import Plan
    from relenv.recipes.model import Recipe

    Table = Mapping[str, tuple[Recipe, ...]]


def usable(context: Context) -> frozenset[str]:
    """Return the places in the cache that building any known release of CPython may look at, there or not.

    A library's release is the one recorded in the cache; where none is recorded yet, it may be any.

    Returns:
        Paths relative to the cache: `store/zlib-1.3.1-<key>`, `downloads/<checksum>-zlib-1.3.1.tar.gz`.

    Raises:
        HostError: nothing can be built on this machine.
    """
    tables = (*LIBRARIES.values(), *PARTS.values())
    recipes = [*CPYTHON, *(recipe for releases in tables for recipe in releases)]
    found = {f"downloads/{cached_tarball(context.cache, recipe.source).name}" for recipe in recipes}
    found.add(f"toolchains/{directory_for(context.platform)}")
    for recipe in CPYTHON:
        for plan in _plans(context, recipe):
            key = key_of(plan)
            found |= _artifacts(plan)
            found |= {f"store/python-{recipe.version}-{key}", f"store/{packed_name(recipe.version, key)}"}
        for plan in _plans(context, aim_for(recipe)):
            found |= _artifacts(plan)
    for aim in _possible(context, AIM, PARTS):
        for plan in _plans(context, aim, PARTS):
            found |= _artifacts(plan)
    return frozenset(found)


def _artifacts(plan: Plan) -> set[str]:
    return {f"store/{node.slug}" for node in plan.nodes}


def _plans(context: Context, aim: Recipe, table: Table = LIBRARIES) -> Iterator[Plan]:
    """Yield the plan for each choice of what it needs that may be made."""
    key = key_for(context.platform)
    for chosen in product(*(_possible(context, need, table) for need in aim.needs)):
        parts = dict(zip(aim.needs, chosen, strict=True))
        yield make_plan(aim, parts, platform=context.platform, toolchain_key=key)


def _possible(context: Context, name: str, table: Table) -> list[Recipe]:
    releases = table[name]
    sources = context.sources.possible(name, [recipe.source for recipe in releases])
    return [recipe for recipe in releases if recipe.source in sources]
