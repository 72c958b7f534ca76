"""What is run may write anywhere: the store and the bundle come out of it as they were, or as nothing."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from relenv import interrupts
from relenv.bundle.unharmed import TouchedError, unharmed, untouched
from relenv.errors import BuildError, CacheError
from relenv.interpreter import Interpreter
from relenv.store import open_cache

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from relenv.store import Cache


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return open_cache(tmp_path / "cache")


@pytest.fixture
def interpreter(cache: Cache) -> Interpreter:
    root = cache.store / "python"
    (root / "lib").mkdir(parents=True)
    (root / "lib/os.py").write_text("os")
    return Interpreter(root=root, version="3.13.15", triplet="", key="")


@pytest.fixture
def bundle(cache: Cache, interpreter: Interpreter, tmp_path: Path) -> Path:
    """A bundle of an interpreter, of a layer, and of what is its own."""
    bundle = tmp_path / "bundle"
    for root, names in {"layer-python-1": ["state", "fixed"], "layer-python-2": ["fixed"]}.items():
        for name in names:
            path = cache.store / root / "tree/lib" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
    (bundle / "lib").mkdir(parents=True)
    os.link(interpreter.root / "lib/os.py", bundle / "lib/os.py")
    for name in ("state", "fixed"):
        os.link(cache.store / "layer-python-1/tree/lib" / name, bundle / "lib" / name)
    (bundle / "own").write_text("own")
    return bundle


def entries(cache: Cache) -> list[str]:
    return sorted(path.name for path in cache.store.iterdir())


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write("+")


def within(guard: AbstractContextManager[Any], *steps: Callable[[], object]) -> None:
    with guard:
        for step in steps:
            step()


def fail() -> None:
    raise BuildError("no")


ALL = ["layer-python-1", "layer-python-2", "python"]


def test_what_writes_nothing_changes_nothing(cache: Cache, interpreter: Interpreter, bundle: Path) -> None:
    with unharmed(cache, interpreter), untouched(cache, interpreter, bundle) as new:
        pass
    assert not new
    assert entries(cache) == ALL


def test_what_is_new_goes(cache: Cache, interpreter: Interpreter, bundle: Path) -> None:
    (bundle / "empty").mkdir()
    before = files(bundle)
    with untouched(cache, interpreter, bundle) as new:
        (bundle / "lib/made/deep").mkdir(parents=True)
        (bundle / "lib/made/deep/file").touch()
        (bundle / "log").touch()
        (bundle / "empty/file").touch()
    assert new == ["empty/file", "lib/made/deep/file", "log"]
    assert files(bundle) == before
    assert entries(cache) == ALL


@pytest.mark.parametrize(
    ("name", "left"), [("lib/state", ["layer-python-2", "python"]), ("own", ALL), ("lib/os.py", None)]
)
def test_what_is_changed_is_noticed_and_goes_from_the_store(
    cache: Cache, interpreter: Interpreter, bundle: Path, name: str, left: list[str] | None
) -> None:
    with pytest.raises(TouchedError if left else CacheError) as caught, untouched(cache, interpreter, bundle):
        append(bundle / name)
    if isinstance(caught.value, TouchedError):
        assert caught.value.names == [name]
        assert entries(cache) == left
    else:
        assert entries(cache) == ["layer-python-1", "layer-python-2"]


def test_a_file_in_the_place_of_another_or_gone_is_noticed(
    cache: Cache, interpreter: Interpreter, bundle: Path
) -> None:
    steps = (
        lambda: (bundle / "other").write_text("state"),
        lambda: (bundle / "other").rename(bundle / "lib/state"),
        (bundle / "own").unlink,
    )
    with pytest.raises(TouchedError) as caught:
        within(untouched(cache, interpreter, bundle), *steps)
    assert sorted(caught.value.names) == ["lib/state", "own"]


def test_what_fails_has_harmed_all_the_same(cache: Cache, interpreter: Interpreter, bundle: Path) -> None:
    with pytest.raises(BuildError):
        within(untouched(cache, interpreter, bundle), lambda: append(bundle / "lib/state"), fail)
    assert entries(cache) == ["layer-python-2", "python"]
    with pytest.raises(CacheError, match=r"in place: lib/os\.py"):
        within(unharmed(cache, interpreter), lambda: append(interpreter.root / "lib/os.py"), fail)
    assert entries(cache) == ["layer-python-2"]


def test_an_interrupt_stays_one(cache: Cache, interpreter: Interpreter) -> None:
    before = signal.getsignal(signal.SIGINT)
    steps = (lambda: append(interpreter.root / "lib/os.py"), lambda: os.kill(os.getpid(), signal.SIGINT), signal.pause)
    try:
        interrupts.listen(again=lambda: None)
        with pytest.raises(KeyboardInterrupt):
            within(unharmed(cache, interpreter), *steps)
    finally:
        signal.signal(signal.SIGINT, before)
    assert entries(cache) == []
