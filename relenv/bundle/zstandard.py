"""Zstandard: of the standard library from Python 3.14 on (PEP 784), and its backport before."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

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
    zstd = _module()
    parameter = zstd.CompressionParameter
    options = {parameter.compression_level: LEVELS[compression], parameter.checksum_flag: 1}
    with zstd.ZstdFile(out, "wb", options=options) as packed:
        yield cast("BinaryIO", packed)


@contextmanager
def decompressing(packed: BinaryIO) -> Iterator[BinaryIO]:
    """Give a file to read from what `packed`, which is not closed, unpacks to.

    Raises:
        HostError: this Python cannot. OSError: it is damaged.
    """
    zstd = _module()
    try:
        with zstd.ZstdFile(packed) as plain:
            yield cast("BinaryIO", plain)
    except zstd.ZstdError as error:
        raise OSError(str(error)) from error


def _module() -> Any:
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
    return zstd
