"""The GPU's checks: what becomes of failures, crashes and hangs, and how goals are judged."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its processes pass descriptors on")


@pytest.fixture
def modules(monkeypatch):
    """The benchmark's modules, which import each other as scripts do."""
    monkeypatch.syspath_prepend(str(BENCH))
    import gpu
    from gpu_steps import running

    yield gpu, running
    for name in [name for name in sys.modules if name in ("gpu", "run", "measuring") or name.startswith("gpu_steps")]:
        del sys.modules[name]


@pytest.fixture
def watched(modules, monkeypatch, tmp_path):
    """Runs a step whose cases are given as source text, and returns its results."""
    _, running = modules

    def run(body, *, seconds=60, grace=2.0, parts=1):
        script = tmp_path / "step.py"
        lines = ["import os, sys, time, types", f"sys.path.insert(0, {str(BENCH)!r})", "import gpu"]
        lines += ["from gpu_steps.running import Case, Skip", textwrap.dedent(body)]
        lines += ["module = types.ModuleType('gpu_steps.made')", "module.cases = cases"]
        lines += ["sys.modules['gpu_steps.made'] = module", "sys.exit(gpu.serve(int(sys.argv[2])))"]
        script.write_text("\n".join(lines))
        monkeypatch.setattr(running, "COMMAND", str(script))
        monkeypatch.setattr(running, "GRACE_SECONDS", grace)
        results = []
        setting = running.Setting("made", True, (1.0,), False, time.time() + seconds, parts=parts)
        running.watch(setting, results.append)
        return [(result["case"], result["status"]) for result in results], results

    return run


def test_a_failure_does_not_end_the_run(watched):
    found, results = watched("""
    def fail():
        raise RuntimeError("an illegal memory access was encountered")
    def skip():
        raise Skip("not here")
    def cases(setting):
        yield Case("first", lambda: {"figure": 3})
        yield Case("second", fail)
        yield Case("third", skip)
        yield Case("fourth", dict)
    """)
    assert found == [("first", "passed"), ("second", "failed"), ("third", "skipped"), ("fourth", "passed")]
    assert results[0]["figure"] == 3
    assert "RuntimeError: an illegal memory access" in results[1]["error"]
    assert results[2]["reason"] == "not here"


def test_several_processes_share_the_cases(watched):
    found, results = watched(
        """
    def cases(setting):
        for number in range(8):
            run = (lambda: os._exit(7)) if number == 4 else lambda: {"process": os.getpid()}
            yield Case(str(number), run)
    """,
        parts=3,
    )
    assert sorted(found) == [(str(number), "failed" if number == 4 else "passed") for number in range(8)]
    assert len({result["process"] for result in results if "process" in result}) == 4


def test_a_process_that_dies_is_followed_by_another_behind_that_case(watched):
    found, results = watched("""
    def cases(setting):
        yield Case("first", dict)
        yield Case("second", lambda: os._exit(7))
        yield Case("third", lambda: {"done": list(setting.done)})
    """)
    assert found == [("first", "passed"), ("second", "failed"), ("third", "passed")]
    assert results[1]["error"] == "the process ended with exit code 7"
    assert results[2]["done"] == ["first", "second"]


def test_a_case_that_hangs_is_stopped(watched):
    found, results = watched("""
    def cases(setting):
        yield Case("first", lambda: time.sleep(300), 1.0)
        yield Case("second", dict)
    """)
    assert found == [("first", "failed"), ("second", "passed")]
    assert results[0]["error"] == "stopped: silent for 1 seconds"


def test_a_lost_device_is_left_behind(watched):
    found, results = watched("""
    from gpu_steps import device
    class Lost:
        healthy = True
        def is_healthy(self):
            return self.healthy
    device._current = Lost()
    def lose():
        Lost.healthy = False
        raise RuntimeError("the device is lost")
    def cases(setting):
        yield Case("first", lose)
        yield Case("second", lambda: {"process": os.getpid(), "healthy": Lost.healthy})
    """)
    assert found == [("first", "failed"), ("second", "passed")]
    assert results[1]["healthy"] is True


def test_a_step_that_cannot_begin_is_reported(watched):
    found, _ = watched("""
    def cases(setting):
        raise ImportError("no module")
    """)
    assert found == [("(step)", "failed")]


def test_cases_beyond_the_deadline_are_dropped(watched):
    found, _ = watched(
        """
    def cases(setting):
        yield Case("first", lambda: {"x": time.sleep(2.2)})
        yield Case("second", dict)
        yield Case("third", dict)
    """,
        seconds=2,
        grace=10.0,
    )
    assert found == [("first", "passed"), ("second", "dropped"), ("third", "dropped")]


def speeds(gpu, **changed):
    """Results of the last step of a device that reaches every goal."""
    names = [(name, dtype) for dtype in ("uint8", "float32") for name in (*gpu.SMALL, "median size=5")]
    names += [(f"gaussian sigma={sigma}", "uint8") for sigma in (1.5, 5)]
    rates = {name: changed.get(name, 2500.0) for name, _ in names}
    results = [
        {"case": f"{name} {dtype}", "params": name, "dtype": dtype, "megapixels": size, "gigabytes_per_second": rate}
        for name, dtype in names
        for size, rate in ((2, 1.0), (50, rates[name]), (400, 1.0))
    ]
    results += [
        {"case": "copy on the device", "copy": 3000.0},
        {"case": "threshold of a resident 64x64 image", "call_microseconds": 19.0, "launch_microseconds": 9.0},
        {
            "case": "pinned copies",
            "gigabytes_per_second": {"to the device": 50.0, "to the host": 50.0, "both at once": 80.0},
        },
        {"case": "invert", "bytes_to_device": 5e7, "bytes_to_host": 5e7, "seconds": changed.get("seconds", 0.00150)},
        {"case": "beside", "library": "cupyx", "times_as_fast": changed.get("times_as_fast", 6.0)},
        {"case": "beside torch", "library": "torch", "times_as_fast": 0.1},
    ]
    return [{"status": "passed", **result} for result in results]


@pytest.mark.parametrize(
    ("changed", "failing"),
    [
        ({}, []),
        ({"laplace": 2000.0}, ["pointwise, 3x3 and 5x5"]),
        ({"median size=5": 900.0}, ["median 5x5"]),
        ({"gaussian sigma=1.5": 1400.0}, ["gaussian sigma 1.5"]),
        ({"gaussian sigma=5": 740.0}, ["gaussian sigma 5"]),
        ({"times_as_fast": 4.9}, ["geometric mean over cupyx"]),
        ({"seconds": 0.0016}, ["NumPy to NumPy"]),
    ],
)
def test_goals_are_judged_by_the_figures(modules, changed, failing):
    gpu, _ = modules
    goals = list(gpu.goals({"speed": {"results": speeds(gpu, **changed)}}, rehearse=False))
    assert len(goals) == 1 + len(gpu.SPEEDS)
    failed = [goal.goal for goal in goals if goal.status == "FAIL"]
    assert len(failed) == len(failing)
    for name, start in zip(failed, failing, strict=True):
        assert name.startswith(start)


def test_speeds_are_shares_of_the_copys(modules):
    gpu, _ = modules
    steps = {"speed": {"results": speeds(gpu)}}
    gpu.add_shares(steps)
    shares = {result["share_of_copy"] for result in steps["speed"]["results"] if "megapixels" in result}
    assert shares == {2500 / 3000, 1 / 3000}
    assert all(("share_of_copy" in result) == ("params" in result) for result in steps["speed"]["results"])


def test_what_was_not_measured_is_no_pass(modules):
    gpu, _ = modules
    goals = list(gpu.goals({"speed": {"results": [{"case": "x", "status": "failed"}]}}, rehearse=False))
    assert [goal.status for goal in goals] == ["FAIL"] * (1 + len(gpu.SPEEDS))
    dropped, passed = {"case": "x", "status": "dropped"}, {"case": "y", "status": "passed"}
    for results, status in (([dropped], "FAIL"), ([dropped, passed], "PART"), ([passed], "PASS")):
        (goal,) = gpu.goals({"races": {"results": results}}, rehearse=False)
        assert goal.status == status


def test_the_names_of_goals_are_those_of_races(modules):
    gpu, _ = modules
    from run import cases

    known = {str(race) for dtype in ("uint8", "float32") for race in cases(dtype)}
    assert set(gpu.SMALL) - known == {"uniform size=5", "minimum size=5"}  # these are the GPU's own


@pytest.mark.skipif(shutil.which("g++") is None, reason="the emulator needs g++")
def test_a_rehearsed_step_writes_its_results(tmp_path):
    out = tmp_path / "results" / "gpu.json"
    command = [sys.executable, str(BENCH / "gpu.py"), "--rehearse", "--only", "4,5", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path, env={**os.environ})
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(out.read_text())
    assert document["rehearsal"] is True
    assert list(document["steps"]) == ["streams", "memory"]
    for goal in document["goals"]:
        assert goal["status"] == "PASS", goal
    assert [path.name for path in out.parent.iterdir()] == ["gpu.json"]


def test_steps_that_do_not_exist_are_refused(tmp_path):
    command = [sys.executable, str(BENCH / "gpu.py"), "--only", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 2
    assert "--only must be numbers from 1 to 6" in done.stderr
