"""The cost model, the names that select a backend, and the output of `explain`, `backends` and `calibrate`."""

import json
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

import gpuimg
from gpuimg import advice, choosing, dispatch, kernels, machine, stopping, tuning
from gpuimg.dispatch import BACKENDS, Job, Step
from gpuimg.machine import Figures
from gpuimg.registry import Filter, arguments
from gpuimg.tuning import Reading

LAPTOP = Figures(pcie_bandwidth=6e9, gpu_bandwidth=150e9, multicore_speedup=5.0)
WORKSTATION = Figures(pcie_bandwidth=24e9, gpu_bandwidth=800e9, multicore_speedup=14.0)
H200 = Figures(pcie_bandwidth=50e9, gpu_bandwidth=4200e9, multicore_speedup=40.0)
PROFILES = {"laptop": LAPTOP, "workstation": WORKSTATION, "H200": H200}


def job(pixels, work, *, on_device=False, itemsize=1):
    step = Step("kernel-BB", 2 * pixels, 2 * pixels * itemsize, work)
    return Job((step,), 2 * pixels * itemsize, on_device)


def best(task, figures, usable=BACKENDS):
    return dispatch.choose(task, figures, usable)[0].backend


@pytest.mark.parametrize("profile", PROFILES)
def test_small_images_stay_on_one_thread(profile):
    assert best(job(64 * 64, 1.0), PROFILES[profile]) == "single"


@pytest.mark.parametrize("profile", PROFILES)
def test_a_stack_that_one_call_fills_costs_one_call(profile):
    figures = PROFILES[profile]
    alone, apart = job(64 * 64, 1.0), job(64 * 64, 1.0)._replace(images=100)
    together = apart._replace(together=True)
    (one, many, filled) = (dispatch.predict(task, figures) for task in (alone, apart, together))
    assert many["single"] == pytest.approx(100 * one["single"])
    assert filled["single"] == pytest.approx(100 * one["single"] - 99 * figures.single_call)
    assert filled["multicore"] < many["multicore"]
    assert best(together, figures) == "multicore"
    assert filled["processes"] == many["processes"]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_chain_costs_one_call(profile):
    figures = PROFILES[profile]
    steps = job(64 * 64, 1.0).steps
    apart = Job(4 * steps, 1000)
    chain = apart._replace(chains=(3,))
    seconds, chained = (dispatch.predict(task, figures) for task in (apart, chain))
    for name, call in (("single", figures.single_call), ("multicore", figures.multicore_call)):
        assert chained[name] == pytest.approx(seconds[name] - 2 * call)
    assert (chained["processes"], chained["cuda"]) == (seconds["processes"], seconds["cuda"])


@pytest.mark.parametrize(
    ("name", "params", "chains"),
    [
        ("invert", {}, ()),
        ("opening", {"footprint": 3}, (2,)),
        ("morphological_gradient", {"footprint": 3}, (3,)),
        ("equalize_hist", {}, ()),
    ],
)
@pytest.mark.parametrize("side", [64, 2000])
def test_which_graphs_are_chains(name, params, chains, side):
    _, bound = gpuimg.run.planned(getattr(gpuimg, name), np.zeros((side, side), np.uint8), params)
    assert choosing.job_of(bound.graph, False).chains == chains


@pytest.mark.parametrize(
    ("name", "params", "together"),
    [("gaussian", {"sigma": 1}, True), ("flip", {"axis": 0}, True), ("equalize_hist", {}, False), ("label", {}, False)],
)
def test_which_stacks_one_call_fills(name, params, together):
    frames = np.zeros((5, 40, 50), np.uint8)
    source, bound = gpuimg.run.planned(getattr(gpuimg, name), frames, {"axes": "TYX", **params})
    found = choosing.job_for(source, bound.graph)
    assert (found.images, found.together) == (5, together)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_pointwise_filter_of_a_host_image_is_not_worth_the_transfer(profile):
    assert best(job(50_000_000, 0.5), PROFILES[profile]) == "multicore"


@pytest.mark.parametrize("profile", PROFILES)
def test_heavy_filters_of_large_host_images_go_to_the_gpu(profile):
    assert best(job(50_000_000, 60.0), PROFILES[profile]) == "cuda"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("pixels", [1, 64 * 64, 50_000_000])
def test_device_images_stay_on_the_device(profile, pixels):
    assert best(job(pixels, 1.0, on_device=True), PROFILES[profile]) == "cuda"
    assert dispatch.choose(job(pixels, 1.0, on_device=True), PROFILES[profile], ("single", "multicore")) == []


def test_the_gpu_is_chosen_exactly_where_its_copies_and_kernel_are_shorter():
    for pixels in (1000, 100_000, 1_000_000, 30_000_000):
        for work in (0.5, 5.0, 50.0, 500.0):
            task = job(pixels, work)
            seconds = dispatch.predict(task, WORKSTATION)
            wins = seconds["cuda"] < min(seconds[name] for name in BACKENDS if name != "cuda")
            assert (best(task, WORKSTATION) == "cuda") == wins


def test_measured_speeds_replace_the_shipped_guess():
    slow = Figures(multicore_speedup=2.0, speeds={"kernel-BB": 1e-6})
    fast = Figures(multicore_speedup=2.0, speeds={"kernel-BB": 1e-12})
    assert best(job(10_000, 1.0), slow, ("single", "multicore")) == "multicore"
    assert best(job(10_000, 1.0), fast, ("single", "multicore")) == "single"


def test_images_in_the_cache_are_not_expected_to_wait_for_memory():
    guesses = {"speeds": {"k": 4e-10}, "cached_speeds": {"k": 2e-10}}
    figures = Figures(guesses=guesses, cache_bytes=1000.0, speeds={"other": 5e-10})
    assert figures.speed("k") == figures.speed("k", 1000 * machine.UNCACHED) == 4e-10
    assert figures.speed("k", 10) == figures.speed("k", 1000) == 2e-10
    assert figures.speed("k", 1000 * machine.UNCACHED**0.5) == pytest.approx(3e-10)
    assert figures.speed("other", 10) == 5e-10
    figures.speeds["k"] = 8e-10
    assert figures.speed("k", 10) == 2e-10
    assert figures.speed("k", 2000) == pytest.approx(5e-10)
    figures.speeds["k"] = 1e-12
    assert figures.speed("k", 10) == 1e-12
    figures.cached_speeds["k"] = 3e-12
    assert figures.speed("k", 10) == 3e-12


def test_overheads_are_not_divided_among_threads():
    known = Figures(multicore_speedup=4.0, multicore_call=1e-5, single_call=2e-6, speeds={"kernel-BB": 1e-9})
    task = job(10_000, 1.0)
    without = dispatch.predict(task, known)
    known.guesses = {"overheads": {"kernel-BB": 5e-5}}
    assert known.overhead("kernel-BB") == 5e-5
    for name in ("single", "multicore", "processes"):
        assert dispatch.predict(task, known)[name] == pytest.approx(without[name] + 5e-5)
    known.overheads["kernel-BB"] = 1e-5
    assert dispatch.predict(task, known)["single"] == pytest.approx(without["single"] + 1e-5)


def test_the_cost_of_a_call_and_of_an_element_in_the_cache():
    small = tuning.Amount(2 * 14e-6, 2 * 4_000.0, 2)
    large = tuning.Amount(70e-6, 60_000.0, 1)
    assert tuning._line(small, large) == pytest.approx((1e-9, 10e-6))
    # where the small image took longer per element than a line allows, all time is the elements'
    speed, overhead = tuning._line(tuning.Amount(1e-6, 4_000.0, 1), large)
    assert speed == pytest.approx(70e-6 / 60_000)
    assert overhead == tuning.NO_OVERHEAD
    # the same work at both sizes
    assert tuning._line(large, large)[0] == pytest.approx(70e-6 / 60_000)


def test_kernels_in_the_cache_are_measured_one_by_one():
    found = gpuimg.FILTERS["rescale_intensity"]
    tables = tuning.cached_tables(found, "float32")
    assert tables["cached_speeds"].keys() == tables["overheads"].keys() >= {"minmax-fd", "rescale-ff"}
    assert all(1e-15 < value < 1e-3 for value in tables["cached_speeds"].values())
    assert all(0 < value < 0.1 for value in tables["overheads"].values())


@pytest.mark.parametrize(
    ("content", "expected"), [("2048K\n", 2.0**21), ("0K", 2.0**20), ("2M", 2.0**20), (None, 2.0**20)]
)
def test_the_size_of_the_cache(content, expected, monkeypatch):
    def read(*_, **__):
        if content is None:
            raise FileNotFoundError
        return content

    monkeypatch.setattr(machine.Path, "read_text", read)
    assert machine.cache_size() == expected


def test_estimates_are_sorted_and_only_of_usable_backends():
    found = dispatch.choose(job(1_000_000, 3.0), LAPTOP, ("multicore", "single"))
    assert [estimate.backend for estimate in found] == ["multicore", "single"]
    assert found[0].seconds < found[1].seconds


def test_speeds_of_kernels_that_were_not_measured_here():
    figures = Figures(guesses={"speeds": {"shipped-BB": 2e-11}})
    assert figures.speed("shipped-BB") == 2e-11
    assert figures.speed("other-BB") == figures.seconds_per_work
    figures.learn("shipped-BB", 1e-3, 1e6)
    assert figures.speed("shipped-BB") == pytest.approx(1e-9)


def test_shipped_speeds_are_of_kernels_that_are_there():
    shipped = machine.shipped_speeds()
    assert machine.figures().guesses == shipped
    assert tuple(shipped) == machine.TABLES
    assert shipped["cached_speeds"].keys() == shipped["overheads"].keys()
    for name, key, seconds in [(name, *item) for name, table in shipped.items() for item in table.items()]:
        kernel, types = key.split("-")
        assert kernels.find(f"{kernel}.py") is not None
        assert {np.dtype(char).char for char in types} == set(types)
        assert 1e-14 < seconds < (1e-1 if name == "overheads" else 1e-6)
    for table in shipped.values():
        assert {"gaussian-BB", "invert-BB", "median-ff", "threshold-B?"} <= set(table)


def test_learning_moves_towards_what_was_measured():
    figures = Figures()
    figures.learn("k", 1.0, 1e9)
    assert figures.speeds["k"] == pytest.approx(1e-9)
    for _ in range(30):
        figures.learn("k", 3.0, 1e9)
    assert figures.speeds["k"] == pytest.approx(3e-9, rel=0.01)


def test_real_calls_are_learned_from(monkeypatch):
    monkeypatch.setattr(machine.figures(), "speeds", {})
    gpuimg.invert(np.ones((1000, 1000), np.uint8), backend="single")
    (key,) = machine.figures().speeds
    assert key == "invert-BB"
    assert 0 < machine.figures().speeds[key] < 1e-6


def test_the_backend_in_force(monkeypatch):
    monkeypatch.delenv("GPUIMG_BACKEND", raising=False)
    assert dispatch.requested(None) == "auto"
    monkeypatch.setenv("GPUIMG_BACKEND", "multicore")
    assert dispatch.requested(None) == "multicore"
    with gpuimg.use_backend("single"):
        assert dispatch.requested(None) == "single"
        assert dispatch.requested("processes") == "processes"
        with gpuimg.use_backend("auto"):
            assert dispatch.requested(None) == "auto"
        assert dispatch.requested(None) == "single"
    assert dispatch.requested(None) == "multicore"


def test_wrong_names_are_refused_with_the_list(monkeypatch):
    image = np.zeros((2, 2), np.uint8)
    with pytest.raises(ValueError, match=r"backend must be one of auto, single, .* got 'gpu'"):
        gpuimg.invert(image, backend="gpu")
    with pytest.raises(ValueError, match=r"name must be one of .* got 'gpu'"), gpuimg.use_backend("gpu"):
        pass
    monkeypatch.setenv("GPUIMG_BACKEND", "gpu")
    with pytest.raises(ValueError, match="the variable GPUIMG_BACKEND must be one of"):
        gpuimg.invert(image)


def test_a_named_backend_that_cannot_run_says_why_and_what_helps(monkeypatch):
    cuda = choosing.backend_named("cuda")
    monkeypatch.setattr(cuda, "unusable", lambda: "no device; install a driver")
    with pytest.raises(gpuimg.BackendUnavailable, match="'cuda' cannot run here: no device; install a driver"):
        gpuimg.invert(np.zeros((2, 2), np.uint8), backend="cuda")


def test_auto_never_raises_for_want_of_hardware(monkeypatch):
    monkeypatch.setattr(choosing.backend_named("cuda"), "unusable", lambda: "no device")
    monkeypatch.setattr(machine, "figures", lambda: H200)
    monkeypatch.setattr(choosing, "figures", lambda: H200)
    result = gpuimg.median(np.zeros((300, 300), np.uint8), 15)
    np.testing.assert_array_equal(result, np.zeros((300, 300), np.uint8))


def test_a_gpu_that_breaks_is_replaced_with_a_warning(monkeypatch):
    class Broken:
        name = "cuda"

        def unusable(self):
            return None

        def missing(self, kernels):
            return None

        def run(self, bound, out):
            raise gpuimg.BackendFailed("the device was lost")

    real = choosing.backend_named
    monkeypatch.setattr(choosing, "backend_named", lambda name: Broken() if name == "cuda" else real(name))
    monkeypatch.setattr(choosing, "figures", lambda: Figures(seconds_per_work=1e-3))
    image = np.arange(300, dtype=np.uint8).reshape(10, 30)
    with pytest.warns(gpuimg.FallbackWarning, match="multicore instead of cuda: the device was lost"):
        result = gpuimg.invert(image)
    np.testing.assert_array_equal(result, 255 - image)
    with pytest.raises(gpuimg.BackendFailed, match="the device was lost"):
        gpuimg.invert(image, backend="cuda")


def test_backends_lists_all_with_reasons():
    table = {status.name: status for status in gpuimg.backends()}
    assert tuple(table) == BACKENDS
    assert table["single"].usable
    assert table["multicore"].usable
    for status in table.values():
        assert status.usable == (status.reason == "")
        assert not status.usable or status.detail


def test_explain_shows_the_table_it_chose_from():
    image = np.zeros((64, 64), np.uint8)
    found = gpuimg.explain(gpuimg.gaussian, image, sigma=2)
    assert found.filter == "gaussian"
    assert found.chosen in ("single", "multicore")
    assert {row.backend for row in found.rows} == set(BACKENDS)
    assert "<- chosen" in str(found)
    assert found.passes == ("gaussian",)
    assert gpuimg.explain("gaussian", image, backend="multicore").chosen == "multicore"


@pytest.mark.usefixtures("figures_file")
def test_explain_measures_on_request():
    found = gpuimg.explain("invert", np.zeros((64, 64), np.uint8), measure=True)
    measured = {row.backend: row.measured for row in found.rows if row.predicted is not None}
    assert {"single", "multicore", "processes"} <= set(measured)
    assert all(seconds > 0 for seconds in measured.values())


@pytest.fixture
def clock(monkeypatch):
    """A clock that a call of a backend moves by the seconds set here, whatever it really takes."""
    now, seconds = [0.0], {"single": 1.1e-3, "multicore": 15.26e-3, "processes": 0.5}
    timed = choosing._timed

    def call(name, bound, work):
        now[0] += seconds[name]
        return timed(name, bound, work)

    monkeypatch.setattr(choosing, "_timed", call)
    monkeypatch.setattr(advice, "perf_counter", lambda: now[0])
    monkeypatch.setattr(choosing.backend_named("cuda"), "unusable", lambda: "no device")
    with stopping.interrupted_by(stopping.Watch()):  # short calls do without what is replaced here
        yield seconds


@pytest.fixture
def guesses(monkeypatch):
    """The figures of a machine that was not measured, of which multicore is thought to be fast."""
    found = Figures(multicore_speedup=50.0, multicore_call=1e-9)
    for module in (choosing, advice):
        monkeypatch.setattr(module, "figures", lambda: found)
    return found


def test_what_explain_measures_replaces_estimates(clock, guesses, monkeypatch):
    monkeypatch.delenv("GPUIMG_BACKEND", raising=False)
    image = np.zeros((64, 64), np.uint8)
    before = gpuimg.explain("invert", image)
    assert before.chosen == "multicore"
    assert before.why.startswith("multicore: ")
    assert " estimated against " in before.why

    found = gpuimg.explain("invert", image, measure=True)
    assert found.chosen == "single"
    assert found.why == (
        "single: 1.10 ms measured against 15.26 ms on multicore; "
        "multicore was estimated to be faster, but measured times now decide for such calls"
    )
    assert str(found).startswith(f"{found.why}\ninvert of 64x64 uint8\n")
    assert [row.backend for row in found.rows] == ["single", "multicore", "processes", "cuda"]

    taken = []
    monkeypatch.setattr(
        choosing, "_timed", lambda name, bound, work: taken.append(name) or work(choosing.backend_named(name))
    )
    gpuimg.invert(image)
    assert taken == ["single"]
    assert gpuimg.explain("invert", image).chosen == "single"
    assert gpuimg.explain("invert", np.zeros((90, 90), np.uint8)).chosen == "multicore"


def test_explain_measures_again(clock, guesses):
    image = np.zeros((64, 64), np.uint8)
    assert gpuimg.explain("invert", image, measure=True).chosen == "single"
    clock["multicore"] = 1.05e-3
    found = gpuimg.explain("invert", image, measure=True)
    assert found.why == "multicore: 1.05 ms measured against 1.10 ms on single"


def test_explain_says_why_there_was_no_choice(clock, monkeypatch):
    image = np.zeros((64, 64), np.uint8)
    assert gpuimg.explain("invert", image, backend="processes").why == "processes: asked for by name"
    for name in ("multicore", "processes"):
        monkeypatch.setattr(choosing.backend_named(name), "unusable", lambda: "no threads here")
    assert gpuimg.explain("invert", image).why == "single: no other backend can run it (no threads here)"


def test_explanations_are_tables_in_jupyter(clock, monkeypatch):
    monkeypatch.setattr(choosing.backend_named("cuda"), "unusable", lambda: "no <device> & no driver")
    found = gpuimg.explain("invert", np.zeros((64, 64), np.uint8), measure=True)
    html = found._repr_html_()
    tree = ElementTree.fromstring(f"<div>{html}</div>")
    assert tree.findtext("p") == found.why
    rows = [[cell.text or "" for cell in row] for row in tree.iter("tr")]
    assert rows[0] == ["backend", "predicted", "measured", ""]
    assert [row[0] for row in rows[1:]] == [row.backend for row in found.rows]
    assert rows[1][2:] == ["1.10 ms", "<- chosen"]
    assert rows[-1] == ["cuda", "-", "-", "no <device> & no driver"]
    for row in rows[1:]:
        assert " ".join(row).split() in [line.split() for line in str(found).splitlines()]


def test_explain_checks_its_arguments():
    with pytest.raises(ValueError, match="there is no filter 'blur'"):
        gpuimg.explain("blur", np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match="sigma must be at least 0"):
        gpuimg.explain("gaussian", np.zeros((2, 2), np.uint8), sigma=-1)


def test_figures_are_stored_and_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUIMG_CACHE_DIR", str(tmp_path))
    machine.figures.cache_clear()
    try:
        path = machine.store(Figures(multicore_call=0.25, speeds={"k": 2.0}))
        everything = json.loads(path.read_text())
        everything["another machine"] = {"multicore_call": 1.0}
        path.write_text(json.dumps(everything))
        machine.store(Figures(multicore_call=0.5, speeds={"k": 2.0}))
        assert machine.figures().multicore_call == 0.5
        assert machine.figures().speeds == {"k": 2.0}
        assert json.loads(path.read_text())["another machine"] == {"multicore_call": 1.0}
        machine.figures.cache_clear()
        path.write_text("{")  # a damaged file is as good as none
        assert machine.figures().multicore_call == Figures().multicore_call
    finally:
        machine.figures.cache_clear()


CALIBRATE = """
import gpuimg
from gpuimg import machine, tuning

tuning.SHAPE, tuning.DTYPES, tuning.COMPILING = (64, 80), ("uint8",), 200.0
stored, said = [], []
machine.store = lambda *given: stored.append(given)
found = gpuimg.calibrate(progress=said.append)
((figures, names),) = stored
assert figures is found
assert {"speeds", "cached_speeds", "overheads"} <= names
assert found.speeds or found.cached_speeds
assert found.cached_speeds.keys() == found.overheads.keys() >= {"invert-BB", "threshold-B?"}
assert {"calls", "threads", "memory", "compiled gaussian uint8"} <= set(said), said
assert found.single_call > 0
assert found.multicore_speedup >= 1
assert found.copy_bandwidth > 1e8
"""


def test_calibrate_measures_and_stores():
    subprocess.run([sys.executable, "-c", CALIBRATE], check=True, timeout=300)


class Clock:
    """Wall and processor time, which calls move by the seconds of a script."""

    def __init__(self, monkeypatch):
        self.wall = self.worked = 0.0
        monkeypatch.setattr(tuning, "perf_counter", lambda: self.wall)
        monkeypatch.setattr(tuning, "process_time", lambda: self.worked)

    def call(self, seconds, share=1.0):
        script = iter(seconds)

        def call(*_, **__):
            now = next(script)
            self.wall += now
            self.worked += share * now

        return call


@pytest.fixture
def timings(monkeypatch):
    return Clock(monkeypatch)


def reading_of(clock, seconds, share=1.0):
    timer = tuning._Timer(clock.call([9.0, *seconds], share))
    return tuning._reading([timer.seconds() for _ in seconds], timer.worked_less_than(tuning.SINGLE_SHARE))


STEADY, UNSTEADY = [1e-4, 1.1e-4, 1.2e-4, 1e-4], [1e-4, 9e-4, 2e-4, 8e-4]


@pytest.mark.parametrize(
    ("seconds", "share", "expected"),
    [
        (STEADY, 1.0, 1.05e-4),
        ([1e-4, 1.1e-4, 1e-4, 1e-4, 1e-4, 1e-4, 9e-3], 1.0, 1e-4),  # one that was disturbed
        (UNSTEADY, 1.0, None),
        (STEADY, 0.5, None),  # another process had half of the time
        ([0.0] * 4, 1.0, None),
        ([-1e-4] * 4, 1.0, None),
        ([1e5] * 4, 1.0, None),
        ([float("inf")] * 4, 1.0, None),
    ],
)
def test_only_steady_times_count(timings, seconds, share, expected):
    readings = []

    def measure():
        readings.append(reading_of(timings, seconds, share))
        timings.wall = 0.0
        return readings[-1]

    assert tuning._steady("single_call", measure) == pytest.approx(expected)
    assert len(readings) == (1 if expected else tuning.ATTEMPTS)


def test_unsteady_times_are_taken_again(timings):
    tries = iter([Reading(1e-3, 9.0), Reading(1e-3, 0.1, is_disturbed=True), Reading(1e-4, 0.1)])
    assert tuning._steady("single_call", lambda: next(tries)) == 1e-4


def test_measurements_that_take_long_are_not_repeated(timings):
    tries = iter([UNSTEADY, STEADY])
    assert tuning._steady("single_call", lambda: reading_of(timings, next(tries))) is None


@pytest.mark.parametrize(
    ("seconds", "share", "expected"),
    [
        ([1.0, 3e-9, 2e-9, 2.2e-9], 1.0, 3e-9),  # the first run finds memory cold
        ([9e-9, 2e-9, 9e-9, 9e-9, 3e-9, 3e-9], 1.0, 3e-9),
        ([2e-9, 8e-9, 9e-9] * 2, 1.0, None),
        ([2e-9] * 6, 0.5, None),
        ([5.0] * 6, 1.0, None),
        ([0.0] * 6, 1.0, None),
    ],
)
def test_speeds_of_kernels_are_kept_if_steady(timings, seconds, share, expected, monkeypatch):
    figures = Figures(speeds={"k": 7e-9, "other": 1e-9})
    script, call = iter(seconds), timings.call(seconds, share)

    def function(image, *, backend):
        call()
        figures.learn("k", next(script), 1.0)

    entry = Filter("fake", function, "smooth", ({},))
    tables = {"cached_speeds": {"k": 1e-9}, "overheads": {"k": 1e-6, "other": 1.0}}
    monkeypatch.setattr(tuning, "cached_tables", lambda *_: tables)
    assert tuning._measure_filter(figures, entry, "uint8") == (expected is not None)
    assert figures.speeds == {"k": expected or 7e-9, "other": 1e-9}
    assert (figures.cached_speeds, figures.overheads) == ({"k": 1e-9}, {"k": 1e-6})


@pytest.fixture
def calibrated(tmp_path, monkeypatch):
    """`calibrate` of a machine with one filter, which tells what `measured` holds."""
    monkeypatch.setenv("GPUIMG_CACHE_DIR", str(tmp_path))
    machine.figures.cache_clear()
    entry = Filter("fake", lambda image, *, backend: machine.figures().learn("k", 3e-10, 1.0), "smooth", ({},))
    monkeypatch.setattr(tuning, "all_filters", lambda: {"fake": entry})
    monkeypatch.setattr(tuning, "cached_tables", lambda *_: {"cached_speeds": {"k": 1e-10}, "overheads": {"k": 2e-6}})
    monkeypatch.setattr(tuning, "DTYPES", ("uint8",))
    monkeypatch.setattr(tuning, "SINGLE_SHARE", 0.0)
    monkeypatch.setattr(tuning, "_compile", lambda tasks, report: set(tasks))
    monkeypatch.setattr(choosing.backend_named("cuda"), "unusable", lambda: "no device")
    measured = {"single_call": 3e-6, "multicore_speedup": 1.5}
    monkeypatch.setattr(tuning, "_measure_machine", lambda report: measured)
    yield measured
    machine.figures.cache_clear()


def test_calibrate_stores_what_it_measured(calibrated):
    found = gpuimg.calibrate()
    assert found.multicore_speedup == 1.5
    assert machine.stored() == {
        "single_call": 3e-6,
        "multicore_speedup": 1.5,
        "speeds": {"k": pytest.approx(3e-10)},
        "cached_speeds": {"k": 1e-10},
        "overheads": {"k": 2e-6},
    }
    machine.figures.cache_clear()
    assert machine.figures().multicore_speedup == 1.5
    assert machine.figures().overhead("k") == 2e-6


def test_figures_stored_without_speeds_in_the_cache_are_read(calibrated):
    everything = {machine.identity(): {"single_call": 3e-6, "speeds": {"invert-BB": 5e-9}}}
    machine.figures_path().write_text(json.dumps(everything))
    machine.figures.cache_clear()
    found = machine.figures()
    shipped = machine.shipped_speeds()
    assert found.single_call == 3e-6
    assert found.speed("invert-BB") == 5e-9
    assert found.speed("invert-BB", 10) == shipped["cached_speeds"]["invert-BB"]
    assert found.overhead("invert-BB") == shipped["overheads"]["invert-BB"]
    gpuimg.calibrate()
    assert machine.stored()["cached_speeds"] == {"k": 1e-10}


def test_calibrate_keeps_figures_that_it_could_not_measure(calibrated):
    gpuimg.calibrate()
    machine.figures().record("job", {"single": 1.0})
    calibrated |= {"multicore_speedup": None, "copy_bandwidth": None, "single_call": 4e-6}
    words = "^times were unsteady, so multicore speedup, copy bandwidth were not stored: calibrate again when the"
    with pytest.warns(gpuimg.CalibrationWarning, match=words):
        found = gpuimg.calibrate()
    assert (found.single_call, found.multicore_speedup) == (4e-6, 1.5)
    assert found.copy_bandwidth == Figures().copy_bandwidth
    assert machine.stored().keys() == {"single_call", "multicore_speedup", *machine.TABLES}
    assert found.measured == {}


def test_no_gpu_figures_are_stored_without_a_gpu(calibrated, monkeypatch):
    machine.store(Figures())
    assert "gpu_call" in machine.stored()
    gpuimg.calibrate()
    assert machine.stored().keys().isdisjoint(machine.GPU_FIGURES)
    assert machine.figures().gpu_call == Figures().gpu_call
    calibrated["gpu_call"] = 5e-5
    monkeypatch.setattr(choosing.backend_named("cuda"), "unusable", lambda: None)
    gpuimg.calibrate()
    assert machine.stored()["gpu_call"] == 5e-5


def test_calibrate_ends_at_its_deadline(calibrated, monkeypatch):
    now = iter(range(0, 10_000, 20))
    monkeypatch.setattr(tuning, "perf_counter", lambda: next(now))
    monkeypatch.setattr(tuning, "DTYPES", ("uint8", "uint16", "float32"))
    with pytest.warns(gpuimg.CalibrationWarning, match="^2 of 3 filters and dtypes were not measured in 30 s"):
        gpuimg.calibrate()


def test_filters_that_there_was_no_time_to_compile_are_left(calibrated, monkeypatch):
    monkeypatch.setattr(tuning, "_compile", lambda tasks, report: set())
    with pytest.warns(gpuimg.CalibrationWarning, match="^1 of 1 filters and dtypes were not measured"):
        gpuimg.calibrate()
    assert machine.stored()["speeds"] == {}


def test_reset_removes_this_machine_only(calibrated, monkeypatch):
    with monkeypatch.context() as other:
        other.setattr(machine, "processor_count", lambda: 1234)
        machine.store(Figures(gpu_call=2e-5))
    gpuimg.calibrate()
    assert machine.reset()
    assert not machine.reset()
    assert machine.stored() == {}
    assert machine.figures().single_call == Figures().single_call
    assert machine.figures().speeds == {}
    assert len(json.loads(machine.figures_path().read_text())) == 1


def test_a_plan_shows_the_whole_graph():
    shown = str(gpuimg.plan(gpuimg.unsharp_mask, (100, 200, 3), "uint16", radius=2))
    head, _, convert, smooth, add = shown.splitlines()
    assert head.startswith("unsharp_mask of 100x200x3 uint16 on ")
    assert convert.split() == ["1", "point", "convert", "100x200x3", "float32", "0x0"]
    assert smooth.split() == ["window", "gaussian", "100x200x3", "float32", "8x8"]
    assert add.split() == ["point", "weighted_sum", "100x200x3", "uint16", "0x0"]


def test_a_plan_shows_folds_and_what_follows_them():
    shown = str(gpuimg.plan("equalize_hist", (100, 200), "int16", backend="single"))
    assert [line.split()[:3] for line in shown.splitlines()[2:]] == [
        ["1", "view", "100x200"],
        ["2", "fold", "histogram"],
        ["3", "host", "equalizing"],
        ["4", "point", "lut"],
    ]
    kernels = gpuimg.plan("adjust_gamma", (10, 10), "int16", gamma=2).graph.kernels
    assert kernels == ("minmax", "lut")
    assert gpuimg.explain("adjust_gamma", np.ones((10, 10), np.int16), gamma=2).passes == ("minmax", "lut")


@pytest.mark.parametrize("name", gpuimg.FILTERS)
def test_plans_need_no_pixels(name):
    entry = gpuimg.FILTERS[name]
    kind = np.uint8 if "u" in entry.kinds else np.float32
    shape = (60, 50, 3) if entry.color else (60, 50)
    for given in entry.examples:
        params = arguments(given, np.zeros(shape, kind))
        described = gpuimg.plan(name, shape, kind, **params)
        grouped = [node for group in described.graph.chained for node in group.nodes]
        assert sorted(map(id, grouped)) == sorted(map(id, described.graph.nodes))
        assert name in str(described)


def test_plans_check_their_arguments():
    with pytest.raises(ValueError, match="size must be odd and positive, got 4"):
        gpuimg.plan("median", (10, 10), "uint8", size=4)
    with pytest.raises(ValueError, match="there is no filter 'blur'"):
        gpuimg.plan("blur", (10, 10), "uint8")


MOST_CALLS = 5  # of Python functions, of which a filter of a small image takes most of its time


@pytest.mark.parametrize("out", [None, np.empty((64, 64), bool)])
def test_a_call_of_a_filter_is_little_work_in_python(out):
    image = np.zeros((64, 64), np.uint8)

    def run():
        return gpuimg.threshold(image, 100, backend="single", out=out)

    run()
    run()
    called = []
    outer = sys.getprofile()
    sys.setprofile(lambda frame, event, _: called.append(frame.f_code.co_name) if event == "call" else None)
    try:
        run()
    finally:
        sys.setprofile(outer)
    assert 0 < len(called) <= MOST_CALLS, called
