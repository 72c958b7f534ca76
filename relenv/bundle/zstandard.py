"""Zstandard: of the standard library from Python 3.14 on (PEP 784), and its backport before."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from relenv.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS = {"store": -131072, "fast": 3, "default": 9, "small": 19}
"""By `compression`. There is no level that only stores; 19 takes twenty times as long as 9 for a tenth less."""


@contextmanager
def compressing(out: BinaryIO, compression: str) -> Iterator[BinaryIO]:
    """Give a file, what is written to which is compressed into `out`, with a checksum and in one thread.

    With several threads the result would depend on how many there are.

    Args:
        out: is not closed.
        compression: a key of LEVELS.

    Raises:
        HostError: this Python cannot.
    """
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd  # noqa: PLC0415 - a Python may lack it, and most bundles do not need it
        else:
            from backports import zstd  # noqa: PLC0415
    except ImportError as error:
        raise HostError(
            f"this Python ({sys.executable}) was built without Zstandard",
            hint="choose tar.gz, or run relenv with a Python that has the module compression.zstd",
        ) from error
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {parameter.compression_level: LEVELS[compression], parameter.checksum_flag: 1}
    with zstd.ZstdFile(out, "wb", options=options) as packed:
        yield cast("BinaryIO", packed)
