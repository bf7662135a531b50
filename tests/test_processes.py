"""The worker processes: where they can be started, and that nothing is left however a process ends."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import gpuimg
from gpuimg.backend import processes
from gpuimg.errors import BackendFailed, BackendUnavailable
from tests.conftest import alive, assert_gone, segments, shared_memory_of, wait_until

IMAGE = np.random.default_rng(3).integers(0, 256, (200, 301), np.uint8)
EXPECTED = 255 - IMAGE
ROOT = str(Path(gpuimg.__file__).parents[1])
NEEDS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
NEEDS_SIGNALS = pytest.mark.skipif(sys.platform == "win32", reason="signals work differently on Windows")
NEEDS_PROC = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory of a process")


def python(*command, check=True, **options):
    """Run Python in a new process."""
    options = {"capture_output": True, "text": True, "timeout": 240, **options}
    return subprocess.run([sys.executable, *command], check=check, **options)


def invert():
    np.testing.assert_array_equal(gpuimg.invert(IMAGE, backend="processes"), EXPECTED)


def workers():
    return list(processes._workers._workers)


def pids():
    return [worker.process.pid for worker in workers()]


# Where they can be started ------------------------------------------------------------------------------------------

WITHOUT_GUARD = """
import sys
with open(sys.argv[1], "a") as log:
    log.write("run\\n")
import numpy as np, gpuimg
assert (gpuimg.invert(np.zeros((300, 300), np.uint8), backend="processes") == 255).all()
"""


@pytest.mark.parametrize("kind", ["file", "standard input", "command", "module without a file"])
def test_the_users_code_needs_no_guard_and_runs_once(tmp_path, kind):
    log, script = tmp_path / "log", tmp_path / "script.py"
    script.write_text(WITHOUT_GUARD)
    if kind == "file":
        done = python(str(script), str(log))
    elif kind == "standard input":
        done = python("-", str(log), input=WITHOUT_GUARD)
    elif kind == "command":
        done = python("-c", WITHOUT_GUARD, str(log))
    else:  # as in a notebook
        start = f"import sys, types; sys.modules['__main__'] = m = types.ModuleType('__main__'); {ROOT!r}"
        done = python("-c", f"{start}; exec({WITHOUT_GUARD!r}, vars(m))", str(log))
    assert done.stderr == ""
    assert log.read_text() == "run\n"


POOLS = """
import sys, warnings
import numpy as np, gpuimg
warnings.simplefilter("ignore", DeprecationWarning)  # a fork while threads run

def call(value):
    assert {status.name: status.usable for status in gpuimg.backends()}["processes"]
    return int(gpuimg.invert(np.full((40, 50), value, np.uint8), backend="processes").max())

if __name__ == "__main__":
    gpuimg.invert(np.zeros((40, 50), np.uint8), backend="processes")
    kind, method = sys.argv[1:]
    if kind == "loky":
        from loky import get_reusable_executor
        pool = get_reusable_executor(2)
    elif kind == "Pool":
        from multiprocessing import get_context
        pool = get_context(method).Pool(2)
    else:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context
        pool = ProcessPoolExecutor(2, mp_context=get_context(method))
    with pool:
        assert list(pool.map(call, range(6))) == [255, 254, 253, 252, 251, 250]
        if kind == "Pool":  # left alone, it would be terminated: Python may lose count of semaphores then
            pool.close()
            pool.join()
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
@pytest.mark.parametrize("kind", ["Pool", "ProcessPoolExecutor"])
def test_they_work_inside_pools_of_processes(tmp_path, kind, method):
    script = tmp_path / "pools.py"
    script.write_text(POOLS)
    said = python(str(script), kind, method).stderr
    # Numba makes semaphores in every process; Python 3.13 says so of those in a pool that is terminated.
    assert all("semaphore" in line or "warnings.warn(" in line for line in said.splitlines()), said


def test_they_work_inside_loky(tmp_path):
    pytest.importorskip("loky")
    script = tmp_path / "pools.py"
    script.write_text(POOLS)
    python(str(script), "loky", "loky")


def test_they_work_from_threads():
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: gpuimg.invert(IMAGE, backend="processes"), range(8)):
            np.testing.assert_array_equal(result, EXPECTED)


def test_the_current_folder_hides_no_module_from_them(tmp_path):
    for name in ("numpy", "queue", "socket", "numba", "mmap", "typing"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong module')")
    code = f"""
    import os, numpy as np, gpuimg
    image = np.zeros((300, 300), np.uint8)
    gpuimg.invert(image, backend="processes")
    from gpuimg.backend import processes
    processes._workers.stop()
    os.chdir({str(tmp_path)!r})
    assert (gpuimg.invert(image, backend="processes") == 255).all()
    """
    assert python("-c", textwrap.dedent(code)).stderr == ""


def test_they_import_the_parents_gpuimg(tmp_path):
    (tmp_path / "gpuimg").mkdir()
    (tmp_path / "gpuimg" / "__init__.py").write_text("raise RuntimeError('the wrong gpuimg')")
    code = f"""
    import sys; sys.path.insert(0, {ROOT!r})
    import numpy as np, gpuimg
    assert (gpuimg.invert(np.zeros((300, 300), np.uint8), backend="processes") == 255).all()
    """
    done = python("-c", textwrap.dedent(code), env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.stderr == ""


def test_an_interpreter_that_cannot_be_started(monkeypatch):
    processes._workers.stop()
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(BackendFailed, match=r"no worker process could be started with /no/such/python"):
        invert()
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(BackendUnavailable, match="no Python interpreter to start workers with"):
        invert()
    monkeypatch.undo()
    invert()


@NEEDS_FORK
def test_a_forked_child_leaves_the_parents_workers_alone():
    code = """
    import os, sys, warnings, numpy as np, gpuimg
    from gpuimg.backend import processes
    warnings.simplefilter("ignore", DeprecationWarning)
    image = np.zeros((50, 50), np.uint8)
    gpuimg.invert(image, backend="processes")
    pids = {worker.process.pid for worker in processes._workers._workers}
    child = os.fork()
    if child == 0:
        good = (gpuimg.invert(image, backend="processes") == 255).all()
        good &= pids.isdisjoint(worker.process.pid for worker in processes._workers._workers)
        sys.exit(0 if good else 3)
    _, status = os.waitpid(child, 0)
    assert (gpuimg.invert(image, backend="processes") == 255).all()
    assert pids == {worker.process.pid for worker in processes._workers._workers}
    sys.exit(os.waitstatus_to_exitcode(status))
    """
    assert python("-X", "dev", "-c", textwrap.dedent(code)).stderr == ""


# Shared memory ------------------------------------------------------------------------------------------------------


def test_they_leave_no_shared_memory():
    before = segments()
    for _ in range(3):
        invert()
    assert segments() <= before


@NEEDS_PROC
def test_no_process_holds_memory_after_a_call():
    invert()
    assert shared_memory_of(os.getpid()) == []
    assert wait_until(lambda: not any(map(shared_memory_of, pids())))


@NEEDS_SIGNALS
@pytest.mark.usefixtures("without_memfd")
def test_memory_with_a_name_loses_it_at_once():
    before = segments()
    block = processes.reserve(5000)
    assert segments() <= before
    block.close()
    invert()
    result = gpuimg.median(IMAGE, 5, backend="processes")
    np.testing.assert_array_equal(result, gpuimg.median(IMAGE, 5, backend="single"))
    assert segments() <= before


@NEEDS_SIGNALS
@pytest.mark.usefixtures("without_memfd")
@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_no_shared_memory_is_a_clear_error(monkeypatch, number):
    def refuse(**_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(processes, "SharedMemory", refuse)
    with pytest.raises(BackendFailed, match=rf"{os.strerror(number)}.*/dev/shm .*backend='multicore'"):
        invert()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot reserve shared memory")
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_too_little_shared_memory_is_an_error_and_no_crash(monkeypatch, error):
    def full(_file, _start, _length):
        raise error

    monkeypatch.setattr(os, "posix_fallocate", full)
    before = segments()
    opened = len(os.listdir("/dev/fd"))  # noqa: PTH208
    expected = BackendFailed if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match=r"No space left on device.*shm|^$"):
        gpuimg.invert(IMAGE, backend="processes")
    assert segments() <= before
    assert len(os.listdir("/dev/fd")) == opened  # noqa: PTH208


def test_more_memory_than_the_system_has_is_not_asked_for(monkeypatch):
    monkeypatch.setattr(processes, "_available", lambda: 3 * processes.CHECKED)
    processes.reserve(2 * processes.CHECKED).close()
    with pytest.raises(BackendFailed, match="not enough memory"):
        processes.reserve(4 * processes.CHECKED)


# Workers that die or stop -------------------------------------------------------------------------------------------


def kill_a_busy_worker():
    """Kill a worker while it works; returns the thread that does it and a list for its process id."""
    killed = []

    def watch():
        while not killed:
            for worker in workers():
                if worker.band is not None:
                    os.kill(worker.process.pid, signal.SIGKILL)
                    killed.append(worker.process.pid)
                    break
            time.sleep(0.001)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread, killed


@NEEDS_SIGNALS
def test_a_worker_that_dies_is_replaced_and_its_band_done_again():
    image = np.random.default_rng(0).random((300, 3000))
    expected = gpuimg.median(image, 9, backend="single")
    gpuimg.median(image[:9], 9, backend="processes")
    thread, killed = kill_a_busy_worker()
    result = gpuimg.median(image, 9, backend="processes")
    thread.join(10)
    assert len(killed) == 1
    np.testing.assert_array_equal(result, expected)


@NEEDS_SIGNALS
def test_idle_workers_that_died_are_replaced():
    invert()
    for worker in workers():
        worker.process.kill()
        worker.process.wait()
    invert()


def killing(monkeypatch, times):
    """Kill the worker that is given a band, a number of times for each band."""
    real = processes.Worker.give
    killed = []

    def give(self, job, band):
        is_doomed = killed.count(band) < times
        if is_doomed:
            killed.append(band)
            self.process.send_signal(signal.SIGSTOP)  # or it might be done with the band before it is killed
        real(self, job, band)
        if is_doomed:
            self.process.kill()

    monkeypatch.setattr(processes.Worker, "give", give)
    return killed


def test_a_band_that_kills_every_worker_ends_in_a_clear_error(monkeypatch):
    before = segments()
    killed = killing(monkeypatch, 1000)
    with pytest.raises(
        BackendFailed, match=r"3 worker processes in a row died at rows .*'invert' \(exit code .*memory"
    ):
        gpuimg.invert(np.zeros((3000, 3000), np.uint8), backend="processes")
    assert max(map(killed.count, killed)) == 3
    monkeypatch.undo()
    assert segments() <= before
    assert (gpuimg.invert(np.zeros((30, 30), np.uint8), backend="processes") == 255).all()


def test_workers_may_die_as_often_as_bands_are_finished_in_between(monkeypatch):
    killed = killing(monkeypatch, 1)
    invert()
    assert len(killed) > processes.MOST_DEATHS


def test_deaths_count_until_a_band_is_finished():
    job = processes.Arena().job("invert", ())
    current = processes.Round(job, [])
    for _ in range(5):
        current.repeat((0, 1), "")
        current.repeat((0, 1), "")
        current.finish(0.0)
    current.repeat((0, 1), "")
    current.repeat((0, 1), "")
    with pytest.raises(BackendFailed, match="in a row died at rows 0 to 1"):
        current.repeat((0, 1), "exit code 1")


@NEEDS_SIGNALS
@pytest.mark.parametrize("count", [1, 100])
def test_workers_that_are_stopped_are_replaced(monkeypatch, count):
    monkeypatch.setattr(processes, "SILENT_SECONDS", 2.0)
    invert()
    stopped = pids()[:count]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    invert()
    assert not set(stopped) & set(pids())
    assert_gone(stopped)


def test_workers_that_take_long_are_not_replaced(monkeypatch):
    image = np.random.default_rng(0).random((64, 10000))
    gpuimg.median(image[:, :60], 41, backend="processes")
    before = pids()
    monkeypatch.setattr(processes, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(processes, "processor_count", lambda: 1)
    monkeypatch.setattr(processes, "BANDS_PER_WORKER", 1)
    took = 0.0
    while took < 2 * processes.SILENT_SECONDS:
        image = np.tile(image, 2)
        start = time.monotonic()
        gpuimg.median(image, 41, backend="processes")
        took = time.monotonic() - start
    assert pids() == before


def test_a_worker_that_cannot_do_its_task_says_why():
    arena = processes.Arena()
    job = arena.job("no_such_kernel", (arena.shared(IMAGE), arena.empty(IMAGE.shape, IMAGE.dtype)))
    with pytest.raises(BackendFailed, match=r"failed in the kernel 'no_such_kernel': ModuleNotFoundError"):
        processes._workers.fill(job, [(0, 200)], 1)
    arena.close()
    invert()


# Signals and ends ---------------------------------------------------------------------------------------------------


@NEEDS_SIGNALS
def test_they_ignore_interrupts():
    invert()
    before = pids()
    for pid in before:
        os.kill(pid, signal.SIGINT)
    invert()
    assert pids() == before


@NEEDS_SIGNALS
def test_a_signal_handler_may_call_in_the_midst_of_a_call():
    code = """
    import signal, numpy as np, gpuimg
    from gpuimg.backend import processes
    image = np.random.default_rng(0).random((300, 4000))
    expected = gpuimg.median(image, 15, backend="processes")
    small = np.zeros((60, 70), np.uint8)
    gpuimg.invert(small, backend="processes")
    seen = []
    def handler(*_):
        seen.append(processes._workers._busy)
        assert (gpuimg.invert(small, backend="processes") == 255).all()
    signal.signal(signal.SIGALRM, handler)
    while not any(seen):
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        np.testing.assert_array_equal(gpuimg.median(image, 15, backend="processes"), expected)
    """
    assert python("-X", "dev", "-c", textwrap.dedent(code)).stderr == ""


@NEEDS_PROC
@NEEDS_SIGNALS
def test_an_interrupt_at_any_moment_leaks_nothing():
    code = """
    import gc, os, random, signal, warnings, numpy as np, gpuimg
    from gpuimg.backend import processes
    warnings.simplefilter("ignore", ResourceWarning)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    image = np.zeros((3000, 3000), np.uint8)
    gpuimg.invert(image, backend="processes")
    processes._workers.stop()
    before = sorted(os.listdir("/proc/self/fd"))
    random.seed(0)
    interrupts = 0
    for turn in range(30):
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.02 if turn % 3 else 0.6))
            for _ in range(1000):
                gpuimg.invert(image, backend="processes")
        except KeyboardInterrupt:
            interrupts += 1
    assert interrupts == 30
    assert (gpuimg.invert(image, backend="processes") == 255).all()
    processes._workers.stop()
    gc.collect()
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert "memfd:gpuimg" not in open("/proc/self/maps").read()
    """
    python("-c", textwrap.dedent(code))


BUSY = """
import os, sys, threading, time, warnings
import numpy as np, gpuimg
from gpuimg.backend import processes
warnings.simplefilter("ignore", DeprecationWarning)
image = np.random.default_rng(0).random((4000, 5000))
gpuimg.median(image[:40, :40], 41, backend="processes")
if sys.argv[1] == "forked" and os.fork() == 0:
    print(os.getpid(), flush=True)
    time.sleep(60)
elif sys.argv[1] == "idle":
    print(*[worker.process.pid for worker in processes._workers._workers], flush=True)
    time.sleep(60)
def say():
    while not any(worker.band for worker in processes._workers._workers):
        time.sleep(0.01)
    time.sleep(0.2)
    print(*[worker.process.pid for worker in processes._workers._workers], flush=True)
threading.Thread(target=say).start()
gpuimg.median(image, 41, backend="processes")
"""


@NEEDS_SIGNALS
@pytest.mark.parametrize("state", ["busy", "idle", "forked"])
@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM"])
def test_workers_end_with_a_parent_that_is_killed(state, number):
    before = segments()
    with subprocess.Popen([sys.executable, "-c", BUSY, state], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline()) if state == "forked" else None
        numbers = [int(word) for word in parent.stdout.readline().split()]
        assert all(map(alive, numbers))
        parent.send_signal(getattr(signal, number))
        parent.wait(20)
        assert_gone(numbers)
        if child is not None:
            os.kill(child, signal.SIGKILL)
    assert segments() <= before


@pytest.mark.parametrize("end", ["pass", "os._exit(0)", "sys.exit(0)", "threading.Thread(target=later).start()"])
def test_nothing_is_left_or_said_when_the_interpreter_ends(end):
    code = f"""
    import os, sys, threading, time, numpy as np, gpuimg
    from gpuimg.backend import processes
    def call():
        gpuimg.invert(np.zeros((300, 300), np.uint8), backend="processes")
    def later():
        time.sleep(0.2)
        call()
    call()
    print(*[worker.process.pid for worker in processes._workers._workers], flush=True)
    {end}
    """
    done = python("-X", "dev", "-W", "error::ResourceWarning", "-c", textwrap.dedent(code))
    assert done.stderr == ""
    assert_gone([int(word) for word in done.stdout.split()])


def test_a_daemon_thread_in_the_midst_of_a_call_does_not_hold_up_the_end():
    code = """
    import threading, time, numpy as np, gpuimg
    from gpuimg.backend import processes
    image = np.random.default_rng(0).random((4000, 5000))
    gpuimg.median(image[:40, :40], 41, backend="processes")
    print(*[worker.process.pid for worker in processes._workers._workers], flush=True)
    threading.Thread(target=gpuimg.median, args=(image, 41), kwargs={"backend": "processes"}, daemon=True).start()
    time.sleep(0.5)
    """
    done = python("-c", textwrap.dedent(code))
    assert done.stderr == ""
    assert_gone([int(word) for word in done.stdout.split()])


def _in_daemon(send):
    result = gpuimg.invert(IMAGE, backend="processes")
    send.send((gpuimg.backends()[2], result))


def test_a_daemonic_process_starts_workers_of_its_own():
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_in_daemon, args=(send,), daemon=True)
    process.start()
    send.close()
    status, result = receive.recv()
    process.join(60)
    assert status.name == "processes"
    assert status.usable
    np.testing.assert_array_equal(result, EXPECTED)
