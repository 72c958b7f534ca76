"""[tool.relenv] as a JSON schema: for editors, and for validate-pyproject, which finds it by its entry point."""

from __future__ import annotations

from typing import Any

from relenv.bundle.keys import KEYS, TARGET, described
from relenv.platforms import PLATFORMS

ID = "urn:relenv:tool-relenv.schema.json"


def tool_schema(tool: str = "relenv") -> dict[str, Any]:
    """Return the schema of the table [tool.relenv] (JSON schema, draft 7).

    Args:
        tool: the table's name; the entry point's signature has it
            (https://validate-pyproject.readthedocs.io/en/latest/dev-guide.html).
    """
    properties = described(KEYS)
    overrides = {"type": "object", "additionalProperties": False, "properties": properties}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": ID,
        "title": f"[tool.{tool}]",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **properties,
            TARGET: {
                "description": "keys that hold for one kind of machine",
                "type": "object",
                "additionalProperties": False,
                "properties": dict.fromkeys(PLATFORMS, overrides),
            },
        },
    }
