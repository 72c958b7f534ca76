"""From recipes to a plan: pure. The key of a node is a hash of everything that decides its content."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from relenv.recipes.model import BUILD_ENV, COMPILER_WRAPPER, PREFIX, Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relenv.platforms import Platform

KEY_LENGTH = 16
"""Hex digits of a key: 64 bits, enough to tell builds apart."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One thing to build."""

    recipe: Recipe
    key: str
    needs: tuple[str, ...]
    """Names of the nodes whose artifacts it is given."""

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name

    @property
    def label(self) -> str:
        """What people call it: `openssl 3.5.7`."""
        return f"{self.recipe.name} {self.recipe.version}"

    @property
    def slug(self) -> str:
        """Its name in the store: `openssl-3.5.7-<key>`."""
        return f"{self.recipe.name}-{self.recipe.version}-{self.key}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Nodes in an order in which each comes after what it needs; the last one is the aim."""

    nodes: tuple[Node, ...]
    platform: Platform
    toolchain_key: str
    """What identifies the compiler."""

    @property
    def aim(self) -> Node:
        """What the plan is for."""
        return self.nodes[-1]

    def node(self, name: str) -> Node:
        """Return the node of that name."""
        return next(node for node in self.nodes if node.name == name)


def make_plan(aim: Recipe, libraries: Mapping[str, Recipe], *, platform: Platform, toolchain_key: str) -> Plan:
    """Return the plan that ends in `aim`.

    Args:
        aim: the recipe to build, as a rule a CPython.
        libraries: the release chosen for each library that may be needed.
        platform: what to build for.
        toolchain_key: what identifies the compiler.
    """
    nodes: dict[str, Node] = {}

    def visit(recipe: Recipe) -> None:
        if recipe.name in nodes:
            return
        for need in recipe.needs:
            visit(libraries[need])
        needs = tuple(sorted(recipe.needs))
        key = _key(recipe, [nodes[need].key for need in needs], platform, toolchain_key)
        nodes[recipe.name] = Node(recipe=recipe, key=key, needs=needs)

    visit(aim)
    return Plan(nodes=tuple(nodes.values()), platform=platform, toolchain_key=toolchain_key)


def _key(recipe: Recipe, needs: list[str], platform: Platform, toolchain_key: str) -> str:
    # where a tarball comes from, what it costs and how it is licensed change nothing about the result
    content = {
        "name": recipe.name,
        "version": recipe.version,
        "source": recipe.source.sha256,
        "steps": [[type(step).__name__, asdict(step)] for step in recipe.steps],
        "licence_files": recipe.licence_files,
        "rpaths": [recipe.program_rpath, recipe.shared_rpath],
        "needs": needs,
        "platform": [platform.triplet, platform.openssl_target],
        "toolchain": toolchain_key,
        "environment": BUILD_ENV,
        "wrapper": COMPILER_WRAPPER,
        "prefix": PREFIX,
    }
    if recipe.source.inner:
        content["inner"] = recipe.source.inner
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]
