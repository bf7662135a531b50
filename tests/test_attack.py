"""Hostile circumstances: interrupts, values at the ends of their range, images that change, guarded memory."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import gpuimg

NEEDS_SIGNALS = pytest.mark.skipif(sys.platform == "win32", reason="sends signals as POSIX systems do")


def python(code, *, timeout=200, **variables):
    """Run a script in a new process, whose crash or hang fails the test."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **variables},
        timeout=timeout,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr[-4000:]}"
    return done.stdout


@NEEDS_SIGNALS
def test_no_thread_writes_after_repeated_interrupts():
    code = """
    import os, signal, threading, time
    import numpy as np, gpuimg
    from gpuimg.backend import driver

    rng = np.random.default_rng(5)
    image = rng.random((1100, 1000))  # large enough for its result's memory to be used again
    small = rng.random((64, 64))
    gpuimg.median(small, 41, backend="multicore")
    assert not driver.numba_is_safe()
    bright = np.full(image.shape, 2.0)
    expected = 1 - image
    interrupted = 0
    for turn in range(6):
        out = np.zeros(image.shape) if turn % 2 else None
        pid = os.getpid()
        def send():
            for delay in (0.05, 0.02, 0.01):
                time.sleep(delay)
                os.kill(pid, signal.SIGINT)
        sender = threading.Thread(target=send)
        try:
            try:
                sender.start()
                gpuimg.median(bright, 41, backend="multicore", out=out)
                time.sleep(1)
            finally:
                sender.join()
        except KeyboardInterrupt:
            interrupted += 1
        while sender.is_alive():
            try:
                sender.join()
            except KeyboardInterrupt:
                pass
        held = None if out is None else out.copy()
        results = [gpuimg.invert(image, backend="multicore") for _ in range(2)]
        time.sleep(0.3)
        for result in results:
            np.testing.assert_array_equal(result, expected)
        if out is not None:
            np.testing.assert_array_equal(out, held)
    assert interrupted == 6, interrupted
    """
    python(code, NUMBA_THREADING_LAYER="workqueue")


def test_memory_of_bands_goes_back_when_a_call_ends():
    code = """
    import gc, weakref
    import numpy as np, gpuimg
    image = np.random.default_rng(5).random((500, 400))
    watched = weakref.ref(image)
    for _ in range(20):
        gpuimg.gaussian(image, 1, backend="multicore")
    del image
    gc.collect()
    import time
    time.sleep(0.2)
    assert watched() is None
    """
    python(code, NUMBA_THREADING_LAYER="workqueue")


@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_first_call_in_a_thread_that_outlives_the_main_one(layer):
    code = """
    import threading, time
    import numpy as np, gpuimg
    def late():
        threading.main_thread().join()
        time.sleep(0.1)
        image = np.arange(200 * 300, dtype=np.uint16).reshape(200, 300)
        result = gpuimg.invert(image, backend="multicore")
        np.testing.assert_array_equal(result, 65535 - image)
        print("done")
    threading.Thread(target=late).start()
    """
    assert python(code, NUMBA_THREADING_LAYER=layer) == "done\n"
