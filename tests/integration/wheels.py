"""Wheels made to measure, by hand: what is in them is exactly what a test says."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import stat
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def make_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    files: Mapping[str, bytes | str] | None = None,
    console: Mapping[str, str] | None = None,
    gui: Mapping[str, str] | None = None,
    requires: tuple[str, ...] = (),
    tag: str = "py3-none-any",
) -> Path:
    """Write a wheel without anything compiled (https://packaging.python.org/en/latest/specifications/binary-distribution-format/).

    Args:
        folder: where to.
        name: the distribution's name, normalized.
        version: its version.
        files: content by path in the wheel; `{name}.py` that prints the version in `main` comes by itself, and so does
            what is in .dist-info, unless it is among these.
        console: console scripts, as name and object reference.
        gui: gui scripts.
        requires: Requires-Dist; one with an extra makes that extra known.
        tag: what it says to be for.
    """
    module = f"def main():\n    print({f'{name} {version}'!r})\n"
    info = f"{name}-{version}.dist-info"
    extras = sorted({one.partition("extra == ")[2].strip("'\"") for one in requires if "extra ==" in one})
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
    metadata += [f"Provides-Extra: {extra}\n" for extra in extras] + [f"Requires-Dist: {one}\n" for one in requires]
    groups = {"console_scripts": console or {}, "gui_scripts": gui or {}}
    points = "".join(
        f"[{group}]\n" + "".join(f"{script} = {target}\n" for script, target in some.items())
        for group, some in groups.items()
        if some
    )
    content: dict[str, bytes | str] = {
        f"{name}.py": module,
        f"{info}/METADATA": "".join(metadata),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    if points:
        content[f"{info}/entry_points.txt"] = points
    content |= files or {}
    data = {path: text.encode() if isinstance(text, str) else text for path, text in content.items()}
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    for path, one in data.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(one).digest()).rstrip(b"=").decode()
        rows.writerow([path, f"sha256={digest}", len(one)])
    rows.writerow([f"{info}/RECORD", "", ""])
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, one in (data | {f"{info}/RECORD": record.getvalue().encode()}).items():
            member = zipfile.ZipInfo(path)
            member.external_attr = (stat.S_IFREG | 0o755 if "/scripts/" in path else stat.S_IFREG | 0o644) << 16
            archive.writestr(member, one)
    return wheel
