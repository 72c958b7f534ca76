"""Lists of checksums, and what was fetched before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relenv.errors import CacheError, SourceError
from relenv.fetch import _parse, all_fetched
from relenv.store import open_cache

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "ab" * 32


@pytest.mark.parametrize(
    "text", [f"{DIGEST}  x\n", f"{DIGEST} *x\r\n", f"{DIGEST.upper()}  x\n\n", f"\n{DIGEST}  x\n{DIGEST.upper()}  x"]
)
def test_a_list_is_what_sha256sum_writes_and_reads(text: str) -> None:
    assert _parse(text.encode(), "it") == {"x": DIGEST}


@pytest.mark.parametrize("text", ["<html>", f"{DIGEST}", f"{DIGEST}  x\n{'cd' * 32}  x\n", f"{DIGEST[1:]}  x\n"])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(SourceError, match="it is no list of checksums: line "):
        _parse(text.encode(), "it")


@pytest.mark.parametrize("text", ["", "[", "[]", "{}", "\udcff"])
def test_a_manifest_that_is_damaged_is_named(tmp_path: Path, text: str) -> None:
    cache = open_cache(tmp_path / "cache")
    root = cache.store / "fetched-3.13.15-0123456789abcdef"
    root.mkdir(parents=True)
    (root / "relenv.json").write_text(text, errors="surrogateescape")
    with pytest.raises(CacheError, match=r"relenv\.json is damaged") as caught:
        list(all_fetched(cache))
    assert str(root) in caught.value.hint
