"""Which file a package was installed from, of those that a lock allows."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from packaging.tags import Tag, sys_tags

from relenv.bundle.origins import as_pip_reports, certain, narrowed, of_report, ranks, several, tags_of

A, B, C, D = (letter * 64 for letter in "abcd")
FLAVOURS = {"py3-none-any": A, "cp313-cp313-manylinux_2_17_x86_64": B, "cp313-cp313-win_amd64": C}
TAGS = [Tag("cp313", "cp313", "manylinux_2_17_x86_64"), Tag("cp313", "abi3", "linux_x86_64"), Tag("py3", "none", "any")]
BEST = ranks(TAGS)


def line(*hashes: str, what: str = "one==1.0") -> str:
    return " ".join((what, *(f"--hash={one if ':' in one else f'sha256:{one}'}" for one in hashes))) + "\n"


def offered(*wheels: str, sdist: str = D) -> list[dict[str, object]]:
    files = [{"url": f"https://a.org/{one}", "hashes": {"sha256": digest}} for one, digest in map(split, wheels)]
    return [{"name": "one", "wheels": files, **({"sdist": {"hashes": {"sha256": sdist}}} if sdist else {})}]


def split(wheel: str) -> tuple[str, str]:
    """Return the name of a wheel, and its checksum: that of its flavour, unless it says another."""
    flavour, _, digest = wheel.partition("=")
    return f"one-1.0-{flavour}.whl", digest or FLAVOURS[flavour]


@pytest.mark.parametrize(
    ("allowed", "there", "chosen"),
    [
        ((A, B, C, D), offered(*FLAVOURS), B),
        ((A, D), offered(*FLAVOURS), A),
        ((A, B, C, D), offered("py3-none-any"), A),
        ((A, B, D), offered(), D),
        ((A, D), offered("cp313-cp313-manylinux_2_17_x86_64"), D),
        # of two builds the later one
        ((A, B, C), offered("py3-none-any", f"2-py3-none-any={B}", f"1-py3-none-any={C}"), B),
    ],
)
def test_of_what_a_lock_allows_and_an_index_has_the_best_is_taken(
    allowed: tuple[str, ...], there: list[dict[str, object]], chosen: str
) -> None:
    found = narrowed(line(*allowed), there, BEST)
    assert found == line(chosen)
    assert certain(found) == {"one": f"sha256:{chosen}"}


@pytest.mark.parametrize(
    ("requirements", "there"),
    [
        (line(A, B), offered(sdist=D)),
        (line(A, B), []),
        (line(A, B, what="other==1.0"), offered("py3-none-any")),
        (line(f"sha512:{A}", f"sha512:{B}"), offered("py3-none-any")),
        ("--find-links file:///somewhere\n" + line(A, D, what="other==1.0"), offered("py3-none-any")),
    ],
)
def test_what_cannot_be_told_stays_as_it_is(requirements: str, there: list[dict[str, object]]) -> None:
    assert narrowed(requirements, there, BEST) == requirements
    assert certain(requirements) == {}


def test_one_of_several_is_told_by_any_algorithm() -> None:
    there = [{"name": "one", "wheels": [{"url": "https://a.org/one-1-py3-none-any.whl", "hashes": {"sha384": A}}]}]
    assert narrowed(line(f"sha384:{A}", f"sha384:{B}"), there, BEST) == line(f"sha384:{A}")


def test_markers_and_extras_stay() -> None:
    what = "one[x]==1.0 ; python_version >= '3.12'"
    assert narrowed(line(A, D, what=what), offered("py3-none-any"), BEST) == line(A, what=what)


def test_what_has_several_is_asked_for() -> None:
    options = "--find-links file:///somewhere\n"
    many, single = line(A, B), line(A, what="other==1.0")
    assert several(options + many + single) == options + many
    assert several(options + single) == ""
    assert several("") == ""


def test_one_file_is_certain() -> None:
    assert certain(line(A, what="One.Two==1.0") + line(f"sha512:{B}", what="other==1")) == {
        "one-two": f"sha256:{A}",
        "other": f"sha512:{B}",
    }
    # for other machines there is another one
    both = line(A, what="one==1 ; python_version < '3.12'") + line(B, what="one==2 ; python_version >= '3.12'")
    assert certain(both) == {}
    # another algorithm may be of another file
    assert certain(line(A, f"sha512:{B}")) == {}


def test_pip_tells_as_far_as_the_lock_agrees() -> None:
    def item(name: str, **info: object) -> dict[str, object]:
        return {"metadata": {"name": name}, "download_info": {"url": "", **info}}

    report = [
        item("One", archive_info={"hashes": {"sha256": B}}),
        item("old", archive_info={"hash": f"sha256={A}"}),
        item("other", archive_info={"hashes": {"sha256": C}}),
        item("sums", archive_info={"hashes": {"sha512": A}}),
        item("bare", archive_info={}),
        item("repo", vcs_info={"vcs": "git"}),
        item("tree", dir_info={}),
    ]
    requirements = line(A, B) + "".join(line(A, B, what=f"{name}==1") for name in ("old", "other", "sums", "bare"))
    assert of_report(report, requirements) == {"one": f"sha256:{B}", "old": f"sha256:{A}"}
    # an index may tell another algorithm, and a lock know no other
    of_512 = line(f"sha512:{A}", f"sha512:{B}", what="sums==1")
    assert of_report(report, line(B) + of_512) == {"one": f"sha256:{B}", "sums": f"sha512:{A}"}


SUMS = {"archive_info": {"hashes": {"sha256": A}}}
SUMS_B = {"archive_info": {"hashes": {"sha256": B}}}


@pytest.mark.parametrize(
    ("package", "info", "direct"),
    [
        (
            {"archive": {"url": "https://a.org/1.zip", "hashes": {"sha256": A}}},
            {"url": "https://a.org/1.zip", **SUMS},
            True,
        ),
        ({"archive": {"path": "1.zip", "hashes": {"sha256": A}}}, {"url": "file:///work/1.zip", **SUMS}, True),
        ({"directory": {"path": "../tree"}}, {"url": "file:///tree", "dir_info": {}}, True),
        (
            {"vcs": {"type": "git", "url": "https://a.org/b", "commit-id": "ab", "subdirectory": "c"}},
            {"url": "https://a.org/b", "vcs_info": {"vcs": "git", "commit_id": "ab"}, "subdirectory": "c"},
            True,
        ),
        (offered(*FLAVOURS)[0], {"url": f"https://a.org/{split(list(FLAVOURS)[1])[0]}", **SUMS_B}, False),
        (
            {"sdist": {"path": "one-1.tar.gz", "hashes": {"sha256": A}}},
            {"url": "file:///work/one-1.tar.gz", **SUMS},
            False,
        ),
    ],
)
def test_what_uv_chooses_is_reported_as_by_pip(
    package: dict[str, object], info: dict[str, object], *, direct: bool
) -> None:
    found = as_pip_reports({"version": "1", **package, "name": "one"}, Path("/work"), BEST)
    assert found["metadata"] == {"name": "one", "version": "1"}
    assert found["is_direct"] is direct
    assert found["download_info"] == info


def test_the_order_is_that_of_pip() -> None:
    # where `linux_x86_64` comes differs between versions of packaging; with pip's it is the last
    own = [one for one in sys_tags() if not one.platform.startswith("linux_")]
    series = f"{own[0].interpreter[2]}.{own[0].interpreter[3:]}"
    found = tags_of(series, platform.machine())
    assert [one for one in found if one in own] == own
    of_cpython = [one for one in found if one.abi == own[0].abi]
    assert of_cpython[-1].platform == f"linux_{platform.machine()}"
