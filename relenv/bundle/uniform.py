"""What each installer does in a way of its own, done in one way: a bundle does not show which of them was there.

    pip, uv ──► the scripts of entry points, modes, INSTALLER, REQUESTED, RECORD ──► the same bytes

Of what they install for an entry point the specification says what it is to do, not how it is to look
(https://packaging.python.org/en/latest/specifications/entry-points/#use-for-scripts); and where two packages have the
same file, the one that is installed last wins: with uv that is another one each time.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
import shutil
from collections import defaultdict
from functools import partial
from importlib.metadata import Distribution
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from relenv.bundle import dependencies
from relenv.bundle.content import ORIGINS, edit_record, make_scripts, targets_of
from relenv.environment import create, repair
from relenv.store import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.metadata import EntryPoint
    from pathlib import Path

    from relenv.bundle.dependencies import Dependencies, Installer, Site
    from relenv.environment import Environment

INSTALLER = b"relenv\n"
"""Who installed a package, in its .dist-info: as for the project's own wheel."""
DROPPED = (*ORIGINS, "REQUESTED")
"""What says where a package came from, and that somebody asked for it: nobody did, the project needs it."""
TARGET = re.compile(r"[\w.]+:[\w.]+")
SCRIPTS = ("console_scripts", "gui_scripts")
PROGRAMS = "../../../bin/"
"""How RECORD names what is in bin/: as seen from site-packages."""


def install(site: Site, installer: Installer, environment: Environment, wanted: Dependencies) -> dict[str, str]:
    """Install dependencies; a file that several of them have is that of the first by name, as pip leaves it.

    Returns:
        As `relenv.bundle.dependencies.install`.

    Raises:
        InstallError: they cannot be had. ChecksumError: something else was there in the place of one.
    """
    origins = dependencies.install(site, installer, environment, wanted)
    for name, paths in _contested(environment).items():
        alone = create(environment.interpreter, site.work / "alone", share=True)
        installer.install(site, alone, wanted.only(name))
        for path in paths:
            source, target = alone.root / path, environment.root / path
            if source.is_file():
                remove_tree(target)
                shutil.copy2(source, target)
        remove_tree(alone.root)
    return origins


def settle(environment: Environment) -> None:
    """Put what an installer has written into the one form that it has in bundles."""
    given = {path.name for path in (environment.interpreter.root / _site(environment)).glob("*.dist-info")}
    infos = sorted(path for path in environment.site_packages.glob("*.dist-info") if path.name not in given)
    write_scripts(environment.root, infos)
    repair(environment.root)
    for info in infos:
        for name in DROPPED:
            (info / name).unlink(missing_ok=True)
        (info / "INSTALLER").unlink(missing_ok=True)
        (info / "INSTALLER").write_bytes(INSTALLER)
        if (info / "RECORD").is_file():
            edit_record(info / "RECORD", partial(_record, info.name))


def write_scripts(root: Path, infos: Iterable[Path]) -> None:
    """Write the scripts of entry points anew, where there are any: of the same name, that of the first by name.

    Args:
        root: the environment.
        infos: the .dist-info directories of those whose entry points are meant.
    """
    points: dict[str, EntryPoint] = {}
    for info in sorted(infos, key=_name):
        for entry in _entry_points(Distribution.at(info)):
            if (root / "bin" / entry.name).is_file():
                points.setdefault(entry.name, entry)
    make_scripts(root, targets_of(tuple(points.values())), {})


def _entry_points(distribution: Distribution) -> Sequence[EntryPoint]:
    return [
        one
        for one in distribution.entry_points
        if one.group in SCRIPTS and "/" not in one.name and TARGET.fullmatch(targets_of([one])[one.name])
    ]


def _site(environment: Environment) -> Path:
    return environment.site_packages.relative_to(environment.root)


def _record(info: str, record: bytes) -> bytes:
    """Return the RECORD of what .dist-info directory with what is in it now, in the order of paths.

    See https://packaging.python.org/en/latest/specifications/recording-installed-packages/#the-record-file.
    """
    rows = _rows(record)
    for name in DROPPED:
        rows.pop(f"{info}/{name}", None)
    digest = base64.urlsafe_b64encode(hashlib.sha256(INSTALLER).digest()).rstrip(b"=").decode()
    rows[f"{info}/INSTALLER"] = [f"{info}/INSTALLER", f"sha256={digest}", str(len(INSTALLER))]
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows[path] for path in sorted(rows))
    return out.getvalue().encode("utf-8", "surrogateescape")


def _contested(environment: Environment) -> dict[str, list[str]]:
    """Return the files that several packages have, not all with the same content, by the name of the first of these.

    Of a script in bin/ nobody knows any more by now what each of them had: they are all counted.
    """
    owners: defaultdict[str, dict[str, str]] = defaultdict(dict)
    generated: set[str] = set()
    for info in environment.site_packages.glob("*.dist-info"):
        generated |= {f"{PROGRAMS}{entry.name}" for entry in _entry_points(Distribution.at(info))}
        record = info / "RECORD"
        for path, row in _rows(record.read_bytes() if record.is_file() else b"").items():
            owners[path][_name(info)] = row[1]
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path, hashes in sorted(owners.items()):
        differ = len(hashes) > 1 and (len({*hashes.values()}) > 1 or path.startswith(PROGRAMS))
        if differ and path not in generated:
            found[min(hashes)].append(os.path.normpath(_site(environment) / path))
    return dict(found)


def _name(info: Path) -> str:
    return canonicalize_name(info.name.partition("-")[0])


def _rows(record: bytes) -> dict[str, list[str]]:
    text = io.StringIO(record.decode("utf-8", "surrogateescape"), newline="")
    return {row[0]: [*row, "", ""][:3] for row in csv.reader(text) if row}
