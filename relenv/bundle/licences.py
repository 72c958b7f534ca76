"""The licences of what is installed: what they are called, and where their texts are.

A wheel states its licence as an SPDX expression (PEP 639); older ones in a field for anything, or by classifiers. Its
texts are in `dist-info/licenses` (PEP 639), beside METADATA, or wherever its author put them.
"""

from __future__ import annotations

import csv
import posixpath
import re
from typing import TYPE_CHECKING

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from packaging.metadata import RawMetadata

FOLDER = "licenses"
INDEX = f"{FOLDER}/INDEX.txt"
TEXT = re.compile(
    r"((UN-?)?LICEN[CS]ES?|COPYING|COPYRIGHTS?|NOTICES?|AUTHORS|EULA|THIRD[._ -]?PARTY[._ -]?\w*)([._-].*)?",
    re.IGNORECASE,
)
"""How files are called that have the terms, or the names that the terms ask for."""
CODE = re.compile(r".+\.(pyc?|pyi|so|c|h|js|css|json|toml|ya?ml|po|mo|svg|png)", re.IGNORECASE)
"""What is none of these, whatever it is called."""
INFO = re.compile(r"(.+/site-packages)/([^/]+)\.dist-info/(.+)")
IN_INFO = re.compile(r"(licenses|license_files)/(.+)")
"""Where PEP 639 and what tools made of its drafts have them."""
LONGEST = 80
"""Characters: a longer `License` field is the text itself."""

CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "ISC License (ISCL)": "ISC",
    "Python Software Foundation License": "PSF-2.0",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 (LGPLv2)": "LGPL-2.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "The Unlicense (Unlicense)": "Unlicense",
    "Zero-Clause BSD (0BSD)": "0BSD",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "Zope Public License": "",
    "zlib/libpng License": "Zlib",
    "Artistic License": "",
    "Academic Free License (AFL)": "",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
    "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
}
"""SPDX identifiers of what the last part of a trove classifier names (PEP 301); empty: it is not told which."""


def licence_of(metadata: RawMetadata) -> str:
    """Return a distribution's licence: an SPDX expression if there is one, else its own word for it, else nothing."""
    names = [line.rpartition(" :: ")[2] for line in metadata.get("classifiers", ()) if line.startswith("License :: ")]
    field = metadata.get("license", "").strip()
    short = field if len(field) <= LONGEST and "\n" not in field and field.upper() != "UNKNOWN" else ""
    stated = spdx(metadata.get("license_expression", "")) or spdx(short)
    # several classifiers: whether all of them hold or one of them is not said
    known = CLASSIFIERS.get(names[0], "") if len(names) == 1 else ""
    return stated or known or short or ", ".join(sorted(names))


def spdx(text: str) -> str:
    """Return a licence as an SPDX expression; nothing if it is none."""
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        return ""


def candidates(paths: Iterable[str]) -> list[str]:
    """Return those of a bundle's files that may be the text of a licence of something installed."""
    return [path for path in paths if not path.startswith(f"{FOLDER}/") and _is_text(path)]


def _is_text(path: str) -> bool:
    name = path.rpartition("/")[2]
    if CODE.fullmatch(name):
        return False
    return TEXT.fullmatch(name) is not None or ((info := INFO.fullmatch(path)) and IN_INFO.match(info[3])) is not None


def gather(root: Path, infos: Mapping[str, RawMetadata], found: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return where to copy the texts from, and to.

    Args:
        root: the bundle.
        infos: the METADATA of what is installed, by its .dist-info directory, relative to the bundle.
        found: of `candidates`, and whatever METADATA calls a licence file.

    Returns:
        For each of `infos` the sources by their targets, both relative to the bundle.
    """
    texts: dict[str, dict[str, str]] = {info: {} for info in infos}
    owners = _owners(root, infos) if any(not _within(path, infos) for path in found) else {}
    for path in sorted(found):
        info = _within(path, infos) or owners.get(path)
        if info:
            target = f"{FOLDER}/{posixpath.basename(info).removesuffix('.dist-info')}/{_inside(path, info)}"
            texts[info][target] = path
    return texts


def named(info: str, metadata: RawMetadata) -> list[str]:
    """Return where the files may be that METADATA calls licence files: as PEP 639 has it, and as it was before."""
    entries = metadata.get("license_files", ())
    return [f"{info}/{place}" for one in entries for place in (f"licenses/{one}", one, posixpath.basename(one))]


def _within(path: str, infos: Mapping[str, RawMetadata]) -> str | None:
    found = INFO.fullmatch(path)
    info = f"{found[1]}/{found[2]}.dist-info" if found else ""
    return info if info in infos else None


def _inside(path: str, info: str) -> str:
    """Return a text's path in the directory of its distribution."""
    if path.startswith(f"{info}/"):
        rest = path[len(info) + 1 :]
        return found[2] if (found := IN_INFO.fullmatch(rest)) else rest
    site = posixpath.dirname(info)
    return path[len(site) + 1 :] if path.startswith(f"{site}/") else path


def _owners(root: Path, infos: Iterable[str]) -> dict[str, str]:
    """Return the .dist-info directory of each file that a RECORD lists."""
    found = {}
    for info in infos:
        record = root / info / "RECORD"
        lines = record.read_text(encoding="utf-8", errors="surrogateescape").splitlines() if record.is_file() else []
        for row in csv.reader(lines):
            if row:
                found[posixpath.normpath(f"{posixpath.dirname(info)}/{row[0]}")] = info
    return found


def index(
    components: Sequence[Mapping[str, str]],
    infos: Mapping[str, RawMetadata],
    texts: Mapping[str, Mapping[str, str]],
    paths: Iterable[str],
) -> str:
    """Return a list of all that is in a bundle, with the licence of each and where its text is.

    Args:
        components: of the interpreter, as its manifest has them.
        infos: as for `gather`.
        texts: of `gather`.
        paths: the bundle's files.
    """
    ours: dict[str, list[str]] = {}
    for path in paths:
        if path.startswith(f"{FOLDER}/") and path.count("/") > 1:
            ours.setdefault(path.split("/")[1], []).append(path)
    installed = {canonicalize_name(one["name"]) for one in infos.values()}
    entries = [
        (one["name"], one.get("version", ""), one.get("licence", ""), _of(one, ours))
        for one in components
        if canonicalize_name(one["name"]) not in installed and one.get("within") != "pip" and one["name"] != "pip"
    ]
    entries += [
        (one["name"], one.get("version", ""), licence_of(one), sorted(texts[info])) for info, one in infos.items()
    ]
    entries.sort(key=lambda entry: (canonicalize_name(entry[0]), entry[1]))
    return "".join(_paragraphs(entries))


def _of(component: Mapping[str, str], ours: Mapping[str, list[str]]) -> list[str]:
    name = component["name"]
    folders = (f"{name}-{component.get('version', '')}", name, component.get("within", ""))
    direct = next((ours[folder] for folder in folders if folder in ours), [])
    whole = component.get("within")  # what lies in another's sources has its terms there
    return sorted(
        direct or [path for folder in ours if whole and folder.startswith(f"{whole}-") for path in ours[folder]]
    )


def _paragraphs(entries: Iterable[tuple[str, str, str, list[str]]]) -> Iterator[str]:
    yield "What is in this bundle, under which licence, and where its text is.\n"
    for name, version, licence, texts in entries:
        yield f"\n{' '.join(filter(None, (name, version)))}\n    licence: {licence or 'not stated'}\n"
        yield from (f"    text: {path}\n" for path in texts)
        if not texts:
            yield "    no licence text in its wheel\n"
