"""Making a profile: an instrumented CPython is built and run, and what it counted is packed for the package."""

from __future__ import annotations

import hashlib
import io
import lzma
import tarfile
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from relenv.build import build
from relenv.interpreter import resolve_plan
from relenv.recipes.cpython import training_for
from relenv.recipes.profiles import Profile
from relenv.store import part_of

if TYPE_CHECKING:
    from pathlib import Path

    from relenv.context import Context
    from relenv.recipes.model import Recipe


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A profile that was made."""

    path: Path
    profile: Profile


def train(context: Context, releases: tuple[Recipe, ...], into: Path) -> Trained:
    """Make the profile of the first of these releases that can be had.

    Args:
        context: the edges.
        releases: as of `interpreter.releases_for`.
        into: the directory for the packed profile.

    Raises:
        SourceError: no source. BuildError: building or training failed.
    """
    plan = resolve_plan(context, releases, aim_of=aim_for)
    version = plan.aim.recipe.version
    artifact = build(plan, context.workshop())[plan.aim.name]
    packed = pack((artifact.path / "profile.tar").read_bytes())
    toolchain = context.toolchain(plan.toolchain_key)
    path = into / f"cpython-{version}-{plan.platform.triplet}-{toolchain.name}.tar.xz"
    partial = part_of(path)
    partial.write_bytes(packed)
    partial.replace(path)
    digest = hashlib.sha256(packed).hexdigest()
    return Trained(
        path=path, profile=Profile(version=version, toolchain=toolchain.name, filename=path.name, sha256=digest)
    )


def aim_for(recipe: Recipe, toolchain: str) -> Recipe:
    """Return how the profile of a release of CPython is made, for a toolchain by its name."""
    workload = (files("relenv.recipes.profiles") / "workload.py").read_text(encoding="utf-8")
    return training_for(recipe.source, workload, toolchain)


def pack(plain: bytes) -> bytes:
    """Return a tar file of .gcda files as a .tar.xz without owners and times."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(plain)) as source, tarfile.open(fileobj=out, mode="w") as target:
        for member in sorted(source.getmembers(), key=lambda member: member.name):
            data = source.extractfile(member)
            if data is None:
                continue
            clean = tarfile.TarInfo(member.name)
            clean.size = member.size
            target.addfile(clean, data)
    return lzma.compress(out.getvalue(), preset=9 | lzma.PRESET_EXTREME)
