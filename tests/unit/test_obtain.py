"""Which Python is taken where the one that is wanted is not here, and what else is offered."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

import pytest
from packaging.specifiers import SpecifierSet
from rich.console import Console

from relenv import context as contexts
from relenv.context import Context
from relenv.errors import SourceError
from relenv.interpreter import Wanted
from relenv.manifest import MANIFEST
from relenv.obtain import obtain_interpreter
from relenv.ui import PlainUi

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """One whose web would answer nothing, if it were asked."""
    monkeypatch.setattr(contexts, "_Web", lambda **_: None)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    environ = {"RELENV_DATA": str(tmp_path / "cache"), "RELENV_FETCH_FROM": "https://127.0.0.1:9/pythons"}
    return Context(environ=environ, ui=PlainUi(Console(file=StringIO())), jobs=1, offline=True)


def test_offline_what_is_here_is_offered_if_the_project_admits_it(context: Context) -> None:
    for version in ("3.13.5", "3.11.2"):
        root = context.cache.store / f"python-{version}-0123"
        root.mkdir(parents=True)
        (root / MANIFEST).touch()
    with pytest.raises(SourceError, match=r"^Python 3\.12\.\d+ is not here, and --offline asks no network$") as caught:
        obtain_interpreter(context, Wanted(python="3.12", requires=SpecifierSet(">=3.12")))
    assert caught.value.hint.splitlines()[0] == "these can be had here: 3.13.5"
    with pytest.raises(SourceError) as caught:
        obtain_interpreter(context, Wanted(python="3.12"))
    assert caught.value.hint.splitlines()[0] == "these can be had here: 3.13.5, 3.11.2"


def test_offline_no_compiler_is_downloaded(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relenv.toolchain.ensure", None)
    with pytest.raises(SourceError, match=r"^the toolchain \S+ is not here, and --offline asks no network for it$"):
        context.toolchain()
