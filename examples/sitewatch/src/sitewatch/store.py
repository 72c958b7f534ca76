"""Measurements in a SQLite file."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import astuple, fields
from typing import TYPE_CHECKING

from sitewatch.model import Measurement, Summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SCHEMA = """
create table if not exists measurement (
    url text not null,
    at text not null,
    status integer,
    milliseconds real not null,
    expires text,
    error text not null,
    primary key (url, at)
) without rowid
"""

# The columns that are not aggregated come from the row that has max(at):
# https://sqlite.org/lang_select.html#bare_columns_in_an_aggregate_query
SUMMARIES = """
select url, max(at), status, milliseconds, expires, error,
       count(*), count(*) filter (where status < 400), avg(milliseconds) filter (where status is not null)
from measurement group by url order by url
"""


class Store:
    """An open store; get one from `open_store`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def record(self, measurements: Iterable[Measurement]) -> None:
        """Keep measurements: all of them, or none when that fails."""
        marks = ", ".join("?" * len(fields(Measurement)))
        with self._connection:
            self._connection.executemany(
                f"insert or replace into measurement values ({marks})",  # noqa: S608 - question marks only
                map(astuple, measurements),
            )

    def measurements(self) -> Iterator[Measurement]:
        """Yield everything, oldest first."""
        for row in self._connection.execute("select * from measurement order by at, url"):
            yield _measurement(row)

    def summaries(self) -> list[Summary]:
        """Sum up every site, by name."""
        return [
            Summary(url=row[0], checks=checks, up=up, mean=mean, latest=_measurement(row))
            for *row, checks, up, mean in self._connection.execute(SUMMARIES)
        ]


def _measurement(row: Iterable[object]) -> Measurement:
    names = (field.name for field in fields(Measurement))
    return Measurement(**dict(zip(names, row, strict=True)))  # type: ignore[arg-type]


@contextmanager
def open_store(path: Path | None) -> Iterator[Store]:
    """Open a store, making it when there is none; None gives one in memory."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path or ":memory:")
    try:
        connection.execute(SCHEMA)
        yield Store(connection)
    finally:
        connection.close()
