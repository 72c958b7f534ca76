"""What the layout of an image (OCI image-spec, image-layout.md) is made of."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def put(layout: Path, data: bytes) -> dict[str, Any]:
    """Put a blob into a layout; return its descriptor."""
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def begin(layout: Path, manifest: dict[str, Any]) -> None:
    """Write what leads to a manifest."""
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"manifests": [manifest]}))
