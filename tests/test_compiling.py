"""Compiling beside the program: several kernels at once, nobody held up, stopped at once, nothing left."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import Future

import pytest

from gpuimg import stopping
from gpuimg.backend import compiling
from gpuimg.backend.compiling import Compilers
from gpuimg.errors import BackendFailed

SETUP = """
import sys, threading, time
import numpy as np, gpuimg
from gpuimg.backend import compiled, compiling

image = np.arange(90_000, dtype=np.uint32).astype(np.uint8).reshape(300, 300)
asked = []  # tasks of which a process was asked and has not answered
processes = set()
most = 0
ask = compiling._ask

def counting_ask(process, task):
    global most
    asked.append(task)
    processes.add(process.pid)
    most = max(most, len(asked))
    try:
        return ask(process, task)
    finally:
        asked.remove(task)

compiling._ask = counting_ask

def holding_ask(process, task):
    asked.append(task)
    assert release.wait(200)
    return ask(process, task)

release = threading.Event()

def wait_until(condition):
    end = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
"""


def run_fresh(code, folder, *flags, **variables):
    """What code prints in a new process with this folder for compiled code."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", SETUP + textwrap.dedent(code)],
        env={**os.environ, "GPUIMG_CACHE_DIR": str(folder), **variables},
        timeout=280,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.split()


def test_different_kernels_compile_at_once(tmp_path):
    found = run_fresh(
        """
        compiling.processor_count = lambda: 2
        pool = gpuimg.Pool(running=2)
        params = {"backend": "single"}
        jobs = [pool.submit("invert", image, **params), pool.submit("gaussian", image, sigma=1, **params)]
        np.testing.assert_array_equal(jobs[0].result(), ~image)
        np.testing.assert_array_equal(jobs[1].result(), gpuimg.gaussian(image, 1, **params))
        print(most, len(processes))
        print(sum(code._cache_hits for code in compiled._alive), len(compiled._alive))
        """,
        tmp_path,
    )
    assert found[:2] == ["2", "2"]
    assert found[2] == found[3]  # all was loaded from disk


def test_compiling_holds_up_no_code_that_is_there(tmp_path):
    run_fresh("gpuimg.rot90(image, backend='single')", tmp_path)
    run_fresh(
        """
        gpuimg.invert(image, backend="single")  # this program's only thread compiles in place
        assert not compiling.compilers._processes
        compiling._ask = holding_ask
        job = gpuimg.submit("gaussian", image, sigma=1, backend="single")
        wait_until(lambda: asked)
        np.testing.assert_array_equal(gpuimg.invert(image, backend="single"), ~image)
        np.testing.assert_array_equal(gpuimg.rot90(image, backend="single"), np.rot90(image))
        assert not job.done()
        release.set()
        job.result()
        """,
        tmp_path,
    )


def test_a_thread_compiles_elsewhere_too(tmp_path):
    run_fresh(
        """
        compiling._ask = holding_ask
        results = []
        thread = threading.Thread(target=lambda: results.append(gpuimg.invert(image, backend="single")))
        thread.start()
        wait_until(lambda: asked)
        release.set()
        thread.join()
        np.testing.assert_array_equal(results[0], ~image)
        """,
        tmp_path,
    )


@pytest.mark.parametrize("backend", ["single", "multicore", "processes"])
def test_a_job_is_cancelled_while_its_kernel_is_compiled(tmp_path, backend):
    run_fresh(
        f"""
        from concurrent.futures import CancelledError
        compiling._ask = holding_ask
        pool = gpuimg.Pool(running=1)
        job = pool.submit("invert", image, backend={backend!r})
        wait_until(lambda: asked)
        assert job.cancel()
        try:
            job.result(100)
            raise AssertionError("it was not cancelled")
        except CancelledError:
            pass
        assert pool.submit(lambda image: image.shape, image).result(100) == image.shape  # its place is free
        again = pool.submit("invert", image, backend={backend!r})
        release.set()
        np.testing.assert_array_equal(again.result(), ~image)
        assert len(set(asked)) == len(asked)  # nothing was compiled twice
        """,
        tmp_path,
    )


def test_the_parallel_loop_is_compiled_elsewhere_too(tmp_path):
    found = run_fresh(
        """
        from gpuimg.backend.driver import numba_is_safe
        seen = []
        compiling._ask = lambda process, task: seen.append(task) or ask(process, task)
        job = gpuimg.submit("invert", image, backend="multicore")
        np.testing.assert_array_equal(job.result(), ~image)
        assert (("_parallel_loop",) in seen) == numba_is_safe()
        print(len(seen))
        """,
        tmp_path,
    )
    assert found in (["1"], ["2"])


def test_a_deadline_ends_a_job_while_its_kernel_is_compiled(tmp_path):
    run_fresh(
        """
        compiling._ask = holding_ask
        pool = gpuimg.Pool(running=1)
        job = pool.submit("invert", image, backend="single", deadline=3)
        try:
            job.result(100)
            raise AssertionError("it has no end")
        except TimeoutError as error:
            assert "3 s after it was submitted" in str(error)
        assert asked
        release.set()
        """,
        tmp_path,
    )


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_signal_handler_calls_in_the_midst_of_compiling(tmp_path):
    run_fresh(
        """
        import signal
        from gpuimg.backend import jit
        results = []
        signal.signal(signal.SIGUSR1, lambda *_: results.append(gpuimg.invert(image, backend="single")))
        cfunc = jit.cfunc

        def interrupted(function):
            jit.cfunc = cfunc
            signal.raise_signal(signal.SIGUSR1)
            return cfunc(function)

        jit.cfunc = interrupted
        gpuimg.gaussian(image, 1, backend="single")
        np.testing.assert_array_equal(results[0], ~image)
        """,
        tmp_path,
    )


NO_PROCESS = {
    "no interpreter": "sys.executable = '/nowhere/python'",
    "another program": "sys.executable = '/bin/true'; compiling.compilers.is_usable = compiling.is_interpreter()",
    "frozen": "sys.frozen = True; compiling.compilers.is_usable = compiling.is_interpreter()",
    "dies": "compiling._start_compiler = lambda: compiling.start_python('raise SystemExit', bufsize=0)",
    "limit": "def fail(): raise BlockingIOError('no process left')\ncompiling._start_compiler = fail",
    "no thread": "def fail(self): raise RuntimeError('no thread left')\nbefore = threading.Thread.start\n"
    "threading.Thread.start = lambda self: (fail if self.name == 'gpuimg compile' else before)(self)",
    "no folder": "import os; os.environ['GPUIMG_CACHE_DIR'] = '/dev/null/none'",
}


@pytest.mark.parametrize("why", NO_PROCESS)
def test_without_a_process_it_is_compiled_in_place(tmp_path, why):
    code = """
    job = gpuimg.submit("invert", image, backend="single")
    np.testing.assert_array_equal(job.result(), ~image)
    assert not compiling.compilers._processes
    print(sum(code._cache_hits for code in compiled._alive), len(compiled._alive))
    """
    assert run_fresh(NO_PROCESS[why] + "\n" + textwrap.dedent(code), tmp_path) == ["0", "1"]


def test_nothing_is_left_at_the_end(tmp_path):
    # Once with a process that waits for work, once in the midst of a compilation nobody waits for.
    for end in ("job.result()", "wait_until(lambda: asked); job.cancel()"):
        (process,) = run_fresh(
            f"""
            job = gpuimg.submit("gaussian", image, sigma=1, backend="single")
            {end}
            print(*processes, flush=True)
            """,
            tmp_path,
            *("-X", "dev", "-W", "error"),
        )
        if os.name == "posix":
            with pytest.raises(ProcessLookupError):
                os.kill(int(process), 0)
        for path in tmp_path.rglob("*.nb[ic]"):
            path.unlink()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_has_processes_of_its_own(tmp_path):
    run_fresh(
        """
        import os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking a process that has threads
        gpuimg.submit("invert", image, backend="single").result()
        (process,) = compiling.compilers._processes
        child = os.fork()
        if child == 0:
            alright = not compiling.compilers._processes and process.stdin.closed
            os._exit(0 if alright else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert process.poll() is None
        """,
        tmp_path,
    )


def test_idle_processes_end(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUIMG_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compiling, "IDLE_SECONDS", 0.05)
    compilers = Compilers()
    assert compilers.wait_for(("a",), lambda: compilers.compile(("no such kernel", "u12", "fill"))) is False
    end = time.monotonic() + 100
    while compilers._threads and time.monotonic() < end:
        time.sleep(0.01)
    assert not compilers._threads
    assert not compilers._processes


def test_all_who_want_the_same_share_its_error():
    compilers = Compilers()
    begun, go = threading.Event(), threading.Event()
    calls = []

    def fail():
        calls.append(None)
        begun.set()
        assert go.wait(100)
        raise TimeoutError("no luck")  # not to be taken for one of waiting

    def waiting(future):
        with stopping.watched(stopping.Watch()):
            try:
                compilers.wait_for(("a",), fail)
            except TimeoutError as error:
                future.set_result(str(error))

    futures = [Future(), Future()]
    threads = [threading.Thread(target=waiting, args=(future,)) for future in futures]
    for thread in threads:
        thread.start()
    assert begun.wait(100)
    time.sleep(0.05)
    go.set()
    assert [future.result(100) for future in futures] == ["no luck", "no luck"]
    for thread in threads:
        thread.join()


def test_after_the_end_nothing_is_started():
    compilers = Compilers()
    compilers.exit()
    assert compilers.wait_for(("a",), lambda: 5) == 5
    assert not compilers._threads


def test_what_waits_for_a_process_ends_with_the_program(monkeypatch):
    monkeypatch.setattr(compiling, "processor_count", lambda: 0)
    compilers = Compilers()
    ended = Future()

    def make():
        try:
            compilers.compile(("invert", "u12_u12_i8", "fill"))
        except BackendFailed as error:
            ended.set_result(str(error))

    threading.Thread(target=compilers.wait_for, args=(("a",), make)).start()
    while not compilers._threads:
        time.sleep(0.01)
    compilers.exit()
    assert "the program ends" in ended.result(100)
