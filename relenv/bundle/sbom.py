"""A bundle's components as a CycloneDX document (ECMA-424): the interpreter's own one, and all that is installed.

SBOMs that wheels carry (PEP 770) become part of it, below the component that carries them.
"""

from __future__ import annotations

import itertools
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.bom_ref import BomRef
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from relenv.bundle.licences import licence_of
from relenv.manifest.sbom import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from packaging.metadata import RawMetadata

Edges: TypeAlias = dict[str, set[str]]
"""What each depends on, by references or by names."""


@dataclass(frozen=True, kw_only=True)
class Carried:
    """An SBOM in a wheel."""

    path: str
    """Relative to the bundle."""
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What is in a bundle."""

    project: str
    """Its name, normalised."""
    installed: Mapping[str, RawMetadata]
    """The METADATA of all that is installed, the project too, by normalised names."""
    carried: Mapping[str, Sequence[Carried]]
    """The SBOMs of wheels, likewise."""
    hashes: Mapping[str, str]
    """`sha256:...` of the file that something was installed from, likewise, where it is known."""
    extras: Sequence[str]
    """Of the project."""
    requires: Sequence[str]
    """What is installed with the project besides what it requires itself."""
    environment: Mapping[str, str]
    """What markers are evaluated with."""
    gone: Collection[str] = ()
    """Components of the interpreter that were left out, by name."""


def render(root: Path, base: Mapping[str, Any], inventory: Inventory) -> str:
    """Return the document as JSON: the same text for the same bundle.

    Args:
        root: the bundle.
        base: the document of its interpreter.
        inventory: what is installed.
    """
    bom = _read(base)
    python = cast("Component", bom.metadata.component)
    entries = {name: _entry(metadata, inventory.hashes.get(name, "")) for name, metadata in inventory.installed.items()}
    edges = _given(bom)
    for one in [one for one in bom.components if one.name in inventory.gone]:
        _forget(bom, one, edges)
    _replace_pip(bom, entries, edges)
    refs = {name: _ref(entry) for name, entry in entries.items()}
    edges |= _graph(inventory, refs)
    for name, carried in inventory.carried.items():
        for number, one in enumerate(carried, 1):
            edges |= _merge(entries[name], root, one, f"{refs[name]}#{number}", edges)
    main = entries.pop(inventory.project)
    main.type = ComponentType.APPLICATION
    bom.components.add(python)
    bom.components.update(entries.values())
    bom.metadata.component = main
    edges[_ref(main)].add(_ref(python))
    bom.dependencies = [
        Dependency(BomRef(one), [Dependency(BomRef(other)) for other in sorted(others)])
        for one, others in sorted(edges.items())
    ]
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    # the same content has the same number
    del document["serialNumber"]
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(NAMESPACE, json.dumps(document, sort_keys=True))}"
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _read(document: Mapping[str, Any]) -> Bom:
    read = cast("Any", Bom).from_json  # a decorator adds it
    return cast("Bom", read(document))


def _ref(component: Component) -> str:
    return str(component.bom_ref.value)


def _given(bom: Bom) -> Edges:
    return {str(one.ref): {str(other.ref) for other in one.dependencies} for one in bom.dependencies}


def _forget(bom: Bom, component: Component, edges: Edges) -> None:
    bom.components.discard(component)
    edges.pop(_ref(component), None)
    for others in edges.values():
        others.discard(_ref(component))


def _replace_pip(bom: Bom, entries: dict[str, Component], edges: Edges) -> None:
    """Let the interpreter's pip go where it was left out or another version is installed."""
    pip = next((one for one in bom.components if one.name == "pip"), None)
    if pip is None:
        return
    _forget(bom, pip, edges)
    if "pip" in entries and entries["pip"].version == pip.version:
        pip.bom_ref.value = _ref(entries["pip"])
        entries["pip"] = pip


ALGORITHMS = {"sha256": HashAlgorithm.SHA_256, "sha384": HashAlgorithm.SHA_384, "sha512": HashAlgorithm.SHA_512}
"""What CycloneDX calls those that locks have."""


def _entry(metadata: RawMetadata, checksum: str) -> Component:
    kind, _, value = checksum.partition(":")
    name, version = metadata["name"], metadata.get("version", "")
    purl = PackageURL(type="pypi", name=canonicalize_name(name), version=version)
    licence = licence_of(metadata)
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        description=metadata.get("summary") or None,
        hashes=[HashType(alg=ALGORITHMS[kind], content=value)] if value else None,
        licenses=[LicenseFactory().make_from_string(licence)] if licence else None,
    )


# --- who needs whom ---------------------------------------------------------------------------------------


def _graph(inventory: Inventory, refs: Mapping[str, str]) -> Edges:
    """Return what depends on what by Requires-Dist, with the extras that are asked for, beginning at the project."""
    edges: Edges = {name: set() for name in refs}
    pending = [(inventory.project, extra) for extra in ("", *inventory.extras)]
    pending += [(name, "") for name in refs]
    pending += list(_needs(inventory.project, inventory.requires, "", inventory, edges))
    seen = set()
    while pending:
        name, extra = pending.pop()
        if (name, extra) not in seen:
            seen.add((name, extra))
            pending += _needs(name, inventory.installed[name].get("requires_dist", ()), extra, inventory, edges)
    # what somebody asked for and nothing requires, as extras in a lock: the project has it for some reason
    wanted = {other for others in edges.values() for other in others}
    edges[inventory.project] |= refs.keys() - wanted - {inventory.project}
    return {refs[name]: {refs[other] for other in others} for name, others in edges.items()}


def _needs(
    name: str, requires: Iterable[str], extra: str, inventory: Inventory, edges: Edges
) -> Iterator[tuple[str, str]]:
    """Note what something needs, and yield each with the extras of it that are asked for."""
    for text in requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:  # of old: pip has made what it could of it
            continue
        other = canonicalize_name(requirement.name)
        marker = requirement.marker
        if other not in edges or (marker and not marker.evaluate({**inventory.environment, "extra": extra})):
            continue
        if other != name:
            edges[name].add(other)
        yield from ((other, one) for one in ("", *requirement.extras))


# --- what wheels carry (PEP 770) --------------------------------------------------------------------------


def _merge(entry: Component, root: Path, carried: Carried, prefix: str, edges: Edges) -> Edges:
    """Add what a wheel's SBOM lists to the wheel's component, and refer to the file.

    Returns:
        What depends on what in it; empty for one that is no CycloneDX document in JSON.
    """
    entry.external_references.add(
        ExternalReference(
            type=ExternalReferenceType.BOM,
            url=XsUri(carried.path),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=carried.sha256)],
        )
    )
    try:
        document = json.loads((root / carried.path).read_bytes())
        if document.get("bomFormat") != "CycloneDX":
            return {}
        listed = document.get("components", [])
        main = document.get("metadata", {}).get("component", {})
        known = {main["bom-ref"]: _ref(entry)} if "bom-ref" in main else {}
        # auditwheel lists what it is all about once more
        again = [one for one in listed if one.get("bom-ref") in known]
        listed = [one for one in listed if one not in again]
        listed += [part for one in (*again, main) for part in one.get("components", [])]
        _rename(listed, prefix, known, itertools.count(len(known) + 1))
        parts = _read({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": listed}).components
        found = _edges(document.get("dependencies", []), known)
    except Exception:  # noqa: BLE001 - whatever its builder wrote there: the file is referred to, and that is enough
        return {}
    entry.components.update(parts)
    # one of the wheel's own distribution: what it needs is added to what the wheel needs
    return {ref: others | edges.get(ref, set()) for ref, others in found.items()}


def _rename(components: Sequence[Any], prefix: str, known: dict[str, str], numbers: Iterator[int]) -> None:
    """Give components references that are theirs alone in the whole document; the old ones may name directories."""
    for component in components:
        new = f"{prefix}.{next(numbers)}"
        known[component.get("bom-ref", new)] = component["bom-ref"] = new
        _rename(component.get("components", []), prefix, known, numbers)


def _edges(dependencies: Iterable[Mapping[str, Any]], known: Mapping[str, str]) -> Edges:
    return {
        known[one["ref"]]: {known[other] for other in one.get("dependsOn", ()) if other in known} - {known[one["ref"]]}
        for one in dependencies
        if one["ref"] in known
    }
