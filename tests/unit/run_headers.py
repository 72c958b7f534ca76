"""The header of a `run` file, as far as what reads them looks at it."""

from __future__ import annotations

import hashlib


def run_header(payload: bytes) -> bytes:
    """Return what stands in front of an archive."""
    digest = hashlib.sha256(payload).hexdigest()
    facts = f"size={len(payload)}\nsha256={digest}\nskip=00000\nheader="
    head = f"#!/bin/sh\n{facts}\nexit\n"
    head = head.replace("00000", f"{len(head) + 64 + 1:05}")
    seal = hashlib.sha256(head.encode()).hexdigest()
    return head.replace("header=", f"header={seal}").encode()
