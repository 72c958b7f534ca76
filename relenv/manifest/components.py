"""The components of an interpreter: those of the plan, what they carry in their sources, pip and what it carries."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.metadata import PathDistribution
from typing import TYPE_CHECKING

from relenv.inside import run_python
from relenv.recipes.cpython import CARRIED, series_of

if TYPE_CHECKING:
    from pathlib import Path

    from relenv.plan import Node, Plan
    from relenv.recipes.model import Source

PROBE = "import json, sys; print(json.dumps({name: eval(what) for name, what in json.loads(sys.argv[1]).items()}))"
"""Asks an interpreter for the versions of what was compiled into it."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """One thing that an interpreter is made of."""

    name: str
    version: str
    """Empty for what has none."""
    licence: str = ""
    """SPDX expression; empty where only the text in licenses/ tells."""
    cpe: str = ""
    """Vendor and product."""
    within: str = ""
    """The component in whose sources it lies; empty for what has sources of its own."""
    pypi: bool = False
    """Whether it is a project of the Python package index."""
    source: Source | None = None
    key: str = ""
    """Its key in the store."""
    needs: tuple[str, ...] = ()
    """Names of the components that it is compiled with."""

    def described(self) -> dict[str, object]:
        """Return it as it stands in the manifest."""
        facts: dict[str, object] = {"name": self.name, "version": self.version, "licence": self.licence}
        if self.source:
            facts |= {"source": self.source.filename, "sha256": self.source.sha256, "key": self.key}
        if self.within:
            facts["within"] = self.within
        return {name: value for name, value in facts.items() if value}


def all_of(plan: Plan, root: Path) -> tuple[Component, ...]:
    """Return the components of a finished interpreter, in a fixed order.

    Args:
        plan: what it was built by.
        root: the interpreter.

    Raises:
        process.CommandError: the interpreter does not say what is in it.
    """
    series = series_of(plan.aim.recipe.version)
    return (*map(_planned, plan.nodes), *_carried(plan.aim, root), *_pip(root, series))


def _planned(node: Node) -> Component:
    recipe = node.recipe
    return Component(
        name=node.name,
        version=recipe.version,
        licence=recipe.licence,
        cpe=recipe.cpe,
        source=recipe.source,
        key=node.key,
        needs=node.needs,
    )


def _carried(aim: Node, root: Path) -> list[Component]:
    series = tuple(map(int, series_of(aim.recipe.version).split(".")))
    here = [carried for carried in CARRIED if carried.since <= series <= carried.until]
    questions = {carried.name: carried.version for carried in here if carried.version}
    versions = json.loads(run_python(root, "-c", PROBE, json.dumps(questions)))
    return [
        Component(
            name=carried.name,
            version=versions.get(carried.name, ""),
            licence=carried.licence,
            cpe=carried.cpe,
            within=aim.name,
        )
        for carried in here
    ]


def _pip(root: Path, series: str) -> list[Component]:
    site = root / "lib" / f"python{series}" / "site-packages"
    (info,) = site.glob("pip-*.dist-info")
    vendored = (site / "pip" / "_vendor" / "vendor.txt").read_text(encoding="utf-8")
    return [
        Component(name="pip", version=PathDistribution(info).version, licence="MIT", cpe="pypa:pip", pypi=True),
        *(
            Component(name=name, version=version, within="pip", pypi=True)
            for name, version in re.findall(r"^\s*([\w.-]+)==([\w.+!-]+)", vendored, re.MULTILINE)
        ),
    ]
