"""The parts of bundles that are kept (relenv.bundle.layers)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relenv.bundle import layers
from relenv.bundle.formats import DEFLATE
from relenv.bundle.layers import PATIENCE, Layer, effort

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("compression", "patient", "added", "level"),
    [
        ("default", False, PATIENCE, 10),
        ("default", False, PATIENCE + 1, DEFLATE["default"]),
        ("default", True, PATIENCE + 1, 10),
        ("small", False, PATIENCE + 1, 12),
        ("fast", False, 0, 1),
        ("fast", True, PATIENCE + 1, 1),
    ],
)
def test_what_is_large_is_squeezed_as_fast_as_a_project(
    compression: str, added: int, level: int, tmp_path: Path, *, patient: bool
) -> None:
    assert effort(Layer(root=tmp_path, digests={}, added=added), compression, patient=patient) == level


def test_what_a_part_adds_is_what_those_below_have_not(tmp_path: Path) -> None:
    def part(name: str, contents: dict[str, bytes], below: Layer | None) -> Layer:
        root = tmp_path / name
        (root / "tree").mkdir(parents=True)
        for file, content in contents.items():
            (root / "tree" / file).write_bytes(content)
        layers._seal(root, frozenset(), below)
        index = layers._index(root)
        return Layer(root=root, digests=index["digests"], added=index["added"])

    low = part("low", {"a": b"12345", "b": b"12345"}, None)
    assert low.added == 5
    high = part("high", {"a": b"12345", "b": b"123456", "moved": b"12345", "new": b"1234567"}, low)
    assert high.added == 6 + 7
