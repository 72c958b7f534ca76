"""What a bundle says of itself: an SBOM, the texts of all licences, and a manifest with the checksum of every file.

    what is installed ──► sbom.cdx.json, licenses/ ──► relenv.json

The first two follow from METADATA and its like alone, and are kept: an edit of the project's code changes nothing of
them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.metadata import parse_email
from packaging.utils import canonicalize_name

from relenv.bundle import licences
from relenv.bundle.archive import plain_mode, walk
from relenv.bundle.reach import missing
from relenv.bundle.wheel import marker_environment
from relenv.manifest import MANIFEST, SBOM
from relenv.plan import KEY_LENGTH
from relenv.store import remove_tree, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relenv.bundle.dependencies import Site
    from relenv.environment import Environment

FOLDER = "documents"
"""In the cache."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A bundle that is documented."""

    site: Site
    environment: Environment
    project: str
    """The project's name."""
    origins: Mapping[str, str]
    """`sha256:...` of the file that something was installed from, by normalised names, where it is known."""

    @property
    def root(self) -> Path:
        """The bundle."""
        return self.environment.root


@dataclass(frozen=True, kw_only=True)
class Documents:
    """What is written into a bundle."""

    sbom: str
    index: str
    texts: Mapping[str, str]
    """Where to copy the texts of licences from, by where to, both relative to the bundle."""


def document(subject: Subject, known: Mapping[str, str]) -> dict[str, str]:
    """Write a bundle's SBOM, licences and manifest.

    Args:
        subject: the bundle.
        known: the sha256 of each of its files, by their paths.

    Returns:
        The same of each file that it now has.
    """
    config = subject.site.config
    digests = dict(known)
    made = _documents(subject, known) if config.sbom or config.licenses else None
    if made and config.licenses:
        _lay_licences(subject.root, made, digests)
    if made and config.sbom:
        _write(subject.root, SBOM, made.sbom, digests)
    else:
        remove_tree(subject.root / SBOM)
        digests.pop(SBOM, None)
    _seal(subject.root, digests)
    return dict(sorted(digests.items()))


def _write(root: Path, name: str, text: str, digests: dict[str, str]) -> None:
    write_text(root / name, text)
    digests[name] = hashlib.sha256(text.encode()).hexdigest()


# --- licences and SBOM ------------------------------------------------------------------------------------


def _lay_licences(root: Path, made: Documents, digests: dict[str, str]) -> None:
    # the interpreter's pip may be gone, or another one; if it is here, it is like any other package
    for folder in (root / licences.FOLDER).glob("pip-*"):
        remove_tree(folder)
    for name in [name for name in digests if name.startswith(f"{licences.FOLDER}/pip-")]:
        del digests[name]
    for target, source in made.texts.items():
        path = root / target
        path.parent.mkdir(parents=True, exist_ok=True)
        _copy(root / source, path)
        digests[target] = digests[source]
    _write(root, licences.INDEX, made.index, digests)


def _copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)  # no format of a bundle has links: each writes it as another file
    except OSError:
        shutil.copyfile(source, target)


def _documents(subject: Subject, digests: Mapping[str, str]) -> Documents:
    """Return the documents, as they were written the last time or made now."""
    key = _key(subject, digests)
    folder = subject.site.context.cache.root / FOLDER
    subject.site.context.cache.use(folder)
    path = folder / f"{key[:KEY_LENGTH]}.json"
    try:
        return Documents(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        made = _make(subject, digests)
    folder.mkdir(exist_ok=True)
    write_text(path, json.dumps(vars(made)) + "\n")
    return made


def _key(subject: Subject, digests: Mapping[str, str]) -> str:
    """Return what decides all of it."""
    config = subject.site.config
    facts = {name: digests[name] for name in digests if name.endswith(".dist-info/METADATA") or _is_sbom(name)}
    asked = [subject.project, sorted(subject.origins.items()), config.extras, config.group_requires]
    # METADATA may call any file beside it a licence
    beside = (name for name in digests if ".dist-info/" in name)
    texts, gone = sorted({*licences.candidates(digests), *beside}), sorted(missing(subject.root))
    kept = sorted(name for name in _kept(digests) if name.startswith(f"{licences.FOLDER}/"))
    parts = [_code(), subject.site.interpreter.key, asked, facts, texts, kept, gone]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def _code() -> str:
    files = [Path(__file__), Path(licences.__file__), Path(__file__).with_name("sbom.py")]
    code = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    return f"{code} {version('cyclonedx-python-lib')} {version('packaging')}"


def _is_sbom(name: str) -> bool:
    return ".dist-info/sboms/" in name


def _make(subject: Subject, digests: Mapping[str, str]) -> Documents:
    from relenv.bundle import sbom  # noqa: PLC0415 - it takes longer to import than all else here

    root = subject.root
    site = f"{subject.environment.site_packages.relative_to(root).as_posix()}/"
    names = [name for name in digests if name.startswith(site) and name[len(site) :].count("/") == 1]
    infos = {
        name.removesuffix("/METADATA"): parse_email((root / name).read_bytes())[0]
        for name in sorted(names)
        if name.endswith(".dist-info/METADATA")
    }
    found = {*licences.candidates(digests)}
    found |= {path for info, metadata in infos.items() for path in licences.named(info, metadata) if path in digests}
    texts = licences.gather(root, infos, sorted(found))
    manifest = json.loads((root / MANIFEST).read_bytes())
    by_name = {canonicalize_name(metadata["name"]): info for info, metadata in infos.items()}
    config = subject.site.config
    inventory = sbom.Inventory(
        project=canonicalize_name(subject.project),
        installed={name: infos[info] for name, info in by_name.items()},
        carried={name: _carried(info, digests) for name, info in by_name.items()},
        hashes=subject.origins,
        extras=config.extras,
        requires=config.group_requires,
        environment=marker_environment(subject.site.interpreter),
        gone=missing(root),
    )
    base = json.loads((root / SBOM).read_bytes())
    return Documents(
        sbom=sbom.render(root, base, inventory),
        index=licences.index(manifest["components"], infos, texts, _kept(digests)),
        texts={target: source for one in texts.values() for target, source in one.items()},
    )


def _carried(info: str, digests: Mapping[str, str]) -> list[Any]:
    from relenv.bundle.sbom import Carried  # noqa: PLC0415 - as above

    return [Carried(path=name, sha256=digests[name]) for name in sorted(digests) if name.startswith(f"{info}/sboms/")]


def _kept(digests: Mapping[str, str]) -> list[str]:
    return [name for name in digests if not name.startswith(f"{licences.FOLDER}/pip-")]


# --- manifest ---------------------------------------------------------------------------------------------


def _seal(root: Path, digests: dict[str, str]) -> None:
    """Enter every file into the manifest but itself: what its checksum, size and mode are."""
    manifest = json.loads((root / MANIFEST).read_bytes())
    rows = []
    for name, entry in sorted(walk(root), key=lambda one: one[0]):
        if not name.endswith("/") and name != MANIFEST:
            status = entry.stat(follow_symlinks=False)
            mode = plain_mode(status.st_mode)
            facts = f'"sha256": "{digests[name]}", "size": {status.st_size}, "mode": "{mode:04o}"'
            rows.append(f"    {json.dumps(name)}: {{{facts}}}")
    # a line for a file: what differs between two bundles is then seen
    head = json.dumps(manifest, indent=2).removesuffix("\n}")
    _write(root, MANIFEST, f'{head},\n  "files": {{\n' + ",\n".join(rows) + "\n  }\n}\n", digests)
