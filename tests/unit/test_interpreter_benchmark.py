"""`benchmarks/interpreter.py`: which way its ratios point, and that one worker measures what it is told to."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("interpreter")


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("interpreter_worker")


def test_ratio_is_above_one_where_ours_is_faster(driver: Any) -> None:
    row = driver.make_row("pyperformance", "nbody", peer=[0.4, 0.3, 0.8], ours=[0.1, 0.2, 0.5])
    assert row.values == (0.3, 0.4, 0.1, 0.2)
    assert row.ratios == pytest.approx((3, 2))


def test_throughput_is_printed_as_a_rate_and_its_ratio_points_the_same_way(driver: Any) -> None:
    row = driver.make_row("throughput", "lzma compress", peer=[0.6], ours=[0.15])
    assert row.values == pytest.approx((0.5, 0.5, 2, 2))
    assert row.ratios == pytest.approx((4, 4))
    assert row.cells() == ["lzma compress", *["0.500 MB/s"] * 2, *["2.00 MB/s"] * 2, "4.00", "4.00"]


def test_mean_is_geometric(driver: Any) -> None:
    rows = [driver.make_row("pyperformance", "x", peer=[peer], ours=[1.0]) for peer in (0.5, 2.0)]
    assert driver.means(rows) == pytest.approx((1, 1))


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [(2.0, "s", "2.00 s"), (0.0123, "s", "12.3 ms"), (4.56e-7, "s", "456 ns"), (350, "calls", "350 calls"),
     (6606.4, "MB/s", "6606 MB/s")],
)  # fmt: skip
def test_values_have_three_digits(driver: Any, value: float, unit: str, said: str) -> None:
    assert driver.spell(value, unit) == said


def test_names_are_unique_and_pyperformance_is_well_covered(driver: Any) -> None:
    found = driver.all_benchmarks()
    assert len({(each.section, each.name) for each in found}) == len(found)
    for quick, least in ((True, 20), (False, 50)):
        assert len(driver.chosen(["pyperformance"], quick=quick)) >= least


def test_sides_take_turns_and_swap_each_round(driver: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    order: list[str] = []
    monkeypatch.setattr(driver.Session, "measure", lambda _, benchmark, side: order.append(f"{benchmark.name} {side}"))
    place = driver.Place(packages=tmp_path, material=tmp_path)
    settings = driver.Settings(rounds=2, samples=1, target=1.0, starts=2)
    session = driver.Session(pythons={}, place=place, settings=settings)
    session.run([driver.Benchmark(section="start-up", name="a", arguments=("-c", "pass"))])
    assert order == ["a peer", "a ours", "a ours", "a peer", "a ours", "a peer", "a peer", "a ours"]


def test_what_fails_is_left_out_and_told(driver: Any, tmp_path: Path) -> None:
    place = driver.Place(packages=tmp_path, material=tmp_path)
    settings = driver.Settings(rounds=2, samples=1, target=0.001, starts=1)
    session = driver.Session(pythons=dict.fromkeys(driver.SIDES, sys.executable), place=place, settings=settings)
    session.run([driver.Benchmark(section="throughput", name="zlib crc32")])
    assert list(session.failures) == ["throughput, zlib crc32"]
    assert session.failures["throughput, zlib crc32"].startswith("peer: FileNotFoundError")
    assert driver.tables(session) == {}


def test_calibration_reaches_the_target(worker: Any) -> None:
    assert worker.calibrate(lambda loops: loops * 0.001, 0.25) == 250
    assert worker.calibrate(lambda loops: loops * 0.9, 0.25) == 1


SCRIPT = """
import time, pyperf
def wait(loops, seconds):
    began = CLOCK()
    time.sleep(seconds)
    sum(range(200_000))
    return CLOCK() - began
runner = pyperf.Runner(add_cmdline_args=None)
runner.argparser.add_argument("seconds", type=float)
args = runner.parse_args()
print("this is not the answer")
runner.bench_time_func("other", lambda loops: 1 / 0)
runner.bench_time_func("wait", wait, args.seconds)
"""


@pytest.mark.parametrize("clock", ["pyperf.perf_counter", "time.perf_counter"])
def test_one_benchmark_of_a_script_is_measured_in_cpu_time(worker: Any, tmp_path: Path, clock: str) -> None:
    (tmp_path / "pyperf.py").write_text("Runner = perf_counter = None\n")
    (tmp_path / "script.py").write_text(SCRIPT.replace("CLOCK", clock))
    task = worker.Task(
        name="wait", material="", script=str(tmp_path / "script.py"), options=["0.2"], loops=1, samples=2
    )
    command = [sys.executable, BENCHMARKS / "interpreter_worker.py", task.dump()]
    env = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=env, check=True, capture_output=True)
    answer = json.loads(done.stdout)
    assert answer["loops"] == 1
    assert len(answer["seconds"]) == 2
    assert all(0 < each < 0.1 for each in answer["seconds"])  # asleep for twice as long
