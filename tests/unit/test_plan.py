from __future__ import annotations

import re
from dataclasses import replace

import pytest

from relenv.plan import Plan, make_plan
from relenv.platforms import PLATFORMS
from relenv.recipes.cpython import CPYTHON, DEFAULT_SERIES, EXTENSIONS, RELEASES, needs_of, series_of
from relenv.recipes.libraries import LIBRARIES
from relenv.recipes.model import SYMBOLS, Recipe, Run, Source

LINUX = PLATFORMS["x86_64-linux-gnu"]
NEWEST = {name: releases[0] for name, releases in LIBRARIES.items()}
PYTHON = next(recipe for recipe in CPYTHON if series_of(recipe.version) == DEFAULT_SERIES)


def _plan(aim: Recipe = PYTHON, **changed: Recipe) -> Plan:
    return make_plan(aim, {**NEWEST, **changed}, platform=LINUX, toolchain_key="a compiler")


def test_each_node_comes_after_what_it_needs() -> None:
    seen: set[str] = set()
    for node in _plan().nodes:
        assert set(node.needs) <= seen
        seen.add(node.name)
    assert _plan().aim.name == "cpython"


def test_keys_are_stable() -> None:
    assert [node.key for node in _plan().nodes] == [node.key for node in _plan().nodes]


@pytest.mark.parametrize(
    "change",
    [
        {"steps": (*NEWEST["zlib"].steps, Run(argv=("true",)))},
        {"source": replace(NEWEST["zlib"].source, sha256="0" * 64)},
        {"licence_files": ("other",)},
    ],
)
def test_a_change_of_a_library_changes_its_key_and_that_of_what_needs_it(change: dict) -> None:
    before, after = _plan(), _plan(zlib=replace(NEWEST["zlib"], **change))
    changed = {node.name for node in before.nodes if after.node(node.name).key != node.key}
    assert changed == {"zlib", "cpython"}


def test_where_a_tarball_comes_from_changes_no_key() -> None:
    elsewhere = replace(NEWEST["zlib"], source=replace(NEWEST["zlib"].source, urls=("https://example.org/z",)))
    assert _plan(zlib=elsewhere).aim.key == _plan().aim.key


def test_another_compiler_changes_every_key() -> None:
    other = make_plan(PYTHON, NEWEST, platform=LINUX, toolchain_key="another")
    assert not {node.key for node in other.nodes} & {node.key for node in _plan().nodes}


def _sources() -> list[Source]:
    return [recipe.source for releases in LIBRARIES.values() for recipe in releases] + list(RELEASES)


@pytest.mark.parametrize("source", _sources(), ids=lambda source: source.filename)
def test_every_source_is_pinned_and_obtainable(source: Source) -> None:
    assert len(source.sha256) == 64
    assert set(source.sha256) <= set("0123456789abcdef")
    assert source.urls or source.apt or source.index
    assert all(url.startswith("https://") for url in source.urls)


def test_every_symbol_in_a_step_is_known() -> None:
    for recipe in [recipe for releases in LIBRARIES.values() for recipe in releases] + list(CPYTHON):
        for step in recipe.steps:
            if isinstance(step, Run):
                for word in step.argv:
                    assert set(re.findall(r"\{(\w+)\}", word)) <= SYMBOLS


def test_what_cpython_needs_follows_from_what_libraries_feed() -> None:
    assert "zstd" in needs_of("3.14")
    assert "zstd" not in needs_of("3.13")
    fed = {feed for releases in LIBRARIES.values() for recipe in releases for feed in recipe.feeds}
    assert fed <= EXTENSIONS["3.14"]


def test_releases_are_newest_first() -> None:
    versions = [tuple(map(int, source.version.split("."))) for source in RELEASES]
    assert versions == sorted(versions, reverse=True)
    assert {series_of(source.version) for source in RELEASES} == set(EXTENSIONS)
