"""The components as a CycloneDX document (ECMA-424), by which vulnerability scanners know what is inside."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component as Entry
from cyclonedx.model.component import ComponentType
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from relenv import __version__
from relenv.recipes.model import BUILD_ENV

if TYPE_CHECKING:
    from relenv.manifest.components import Component
    from relenv.plan import Plan
    from relenv.toolchain import Toolchain

NAMESPACE = uuid.UUID("6f0b7a53-2f0e-5b0c-9a55-3b1d4c1d9f11")
"""Of serial numbers: the same interpreter has the same one."""


def render(plan: Plan, toolchain: Toolchain, components: tuple[Component, ...], *, key: str) -> str:
    """Return the document as JSON, the same text for the same interpreter.

    Args:
        plan: what was built.
        toolchain: what it was compiled with.
        components: of the interpreter.
        key: the interpreter's.
    """
    entries = {component.name: _entry(component) for component in components if component.within != "pip"}
    main = entries.pop(plan.aim.name)
    main.type = ComponentType.APPLICATION
    entries["pip"].components.update(_entry(component) for component in components if component.within == "pip")
    bom = Bom(serial_number=uuid.uuid5(NAMESPACE, key), components=entries.values())
    bom.metadata = BomMetaData(
        component=main,
        timestamp=datetime.fromtimestamp(int(BUILD_ENV["SOURCE_DATE_EPOCH"]), UTC),
        tools=ToolRepository(
            components=[
                Entry(name="relenv", version=__version__, type=ComponentType.APPLICATION),
                Entry(name=toolchain.name, description=toolchain.compiler(), type=ComponentType.APPLICATION),
            ]
        ),
    )
    bom.register_dependency(main, entries.values())
    for component in components:
        if component.needs and component.name in entries:
            bom.register_dependency(entries[component.name], [entries[need] for need in component.needs])
    return json.dumps(json.loads(JsonV1Dot6(bom).output_as_string()), indent=2, sort_keys=True) + "\n"


def _entry(component: Component) -> Entry:
    reference = component.name if not component.within else f"{component.within}/{component.name}"
    entry = Entry(
        name=component.name,
        version=component.version or None,
        type=ComponentType.LIBRARY,
        bom_ref=reference,
        purl=_purl(component),
        cpe=_cpe(component) if component.cpe and component.version else None,
        licenses=[LicenseFactory().make_from_string(component.licence)] if component.licence else None,
    )
    if component.source:
        entry.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=component.source.sha256))
        for url in component.source.urls[:1]:
            entry.external_references.add(
                ExternalReference(type=ExternalReferenceType.SOURCE_DISTRIBUTION, url=XsUri(url))
            )
    return entry


def _purl(component: Component) -> PackageURL:
    return PackageURL(
        type="pypi" if component.pypi else "generic",
        name=component.name,
        version=component.version or None,
        qualifiers={"checksum": f"sha256:{component.source.sha256}"} if component.source else None,
    )


def _cpe(component: Component) -> str:
    # vulnerabilities are filed by release: `6.5` of `6.5+20250216`
    version = component.version.partition("+")[0]
    return f"cpe:2.3:a:{component.cpe}:{version}:*:*:*:*:*:*:*"
