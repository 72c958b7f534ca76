"""What of the cache this relenv can still use, as things are: worked out from the recipes, without a network."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from relenv.interpreter import key_of
from relenv.plan import make_plan
from relenv.recipes.cpython import CPYTHON, recipe_for
from relenv.recipes.libraries import LIBRARIES
from relenv.recipes.toolchain import AIM, PARTS
from relenv.release import TOOLCHAIN
from relenv.sources import cached_tarball
from relenv.store import packed_name
from relenv.toolchain import directory_for, pinned, present
from relenv.training import aim_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relenv.context import Context
    from relenv.plan import Plan
    from relenv.recipes.model import Recipe
    from relenv.toolchain import Toolchain

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
    first = pinned(context.platform, context.cache)
    toolchains = {one.key: one for one in (*present(context.platform, context.cache), first)}
    # one that was fetched is of use whatever it was made by
    fetched = [one for one in toolchains.values() if one.root.parent == context.cache.toolchains]
    found |= {f"toolchains/{one.root.name}" for one in fetched}
    for recipe, toolchain in product(CPYTHON, toolchains.values()):
        for plan in _plans(context, recipe_for(recipe.source, toolchain.name), toolchain):
            key = key_of(plan)
            found |= _artifacts(plan)
            found |= {f"store/python-{recipe.version}-{key}", f"store/{packed_name(recipe.version, key)}"}
        for plan in _plans(context, aim_for(recipe, toolchain.name), toolchain):
            found |= _artifacts(plan)
    for aim in _possible(context, AIM, PARTS):
        for plan in _plans(context, aim, first, PARTS):
            found |= _artifacts(plan)
            found.add(f"store/{packed_name(f'{TOOLCHAIN}{aim.version}', plan.aim.key)}")
    return frozenset(found)


def _artifacts(plan: Plan) -> set[str]:
    return {f"store/{node.slug}" for node in plan.nodes}


def _plans(context: Context, aim: Recipe, toolchain: Toolchain, table: Table = LIBRARIES) -> Iterator[Plan]:
    """Yield the plan for each choice of what it needs that may be made."""
    for chosen in product(*(_possible(context, need, table) for need in aim.needs)):
        parts = dict(zip(aim.needs, chosen, strict=True))
        yield make_plan(aim, parts, platform=context.platform, toolchain_key=toolchain.key)


def _possible(context: Context, name: str, table: Table) -> list[Recipe]:
    releases = table[name]
    sources = context.sources.possible(name, [recipe.source for recipe in releases])
    return [recipe for recipe in releases if recipe.source in sources]
