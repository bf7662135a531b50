"""Jobs in the cells of a notebook, run by a real kernel of Jupyter."""

import os
import subprocess
import textwrap
import time
from pathlib import Path

import pytest

import gpuimg
from tests.conftest import assert_gone

manager = pytest.importorskip("jupyter_client.manager", reason="jupyter_client is not installed")
pytest.importorskip("ipykernel", reason="ipykernel is not installed")

SECONDS = 120  # for a cell on a busy machine
IMPORTS = """
import asyncio, concurrent.futures, time
import numpy as np, gpuimg
from gpuimg import stopping
image = np.random.default_rng(0).integers(0, 256, (300, 200), np.uint8)

def hold(image):
    while True:
        stopping.look()
        time.sleep(0.001)
"""


# What the kernel says of its sockets, and gpuimg where nothing is compiled yet.
EXPECTED = ("Kernel is running over TCP without encryption", "gpuimg: compiling filters for this machine")


def unexpected(text):
    """The lines on stderr that should not be there."""
    return [line for line in text.splitlines() if not any(part in line for part in EXPECTED)]


class Notebook:
    """Cells that a kernel runs one after the other."""

    def __init__(self, folder):
        self.errors = folder / "stderr"
        self.kernel = manager.KernelManager(kernel_name="python3")
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(gpuimg.__file__).parents[1]),
            "PYTHONWARNINGS": "default",
            "IPYTHONDIR": str(folder),
            "JUPYTER_RUNTIME_DIR": str(folder),
        }
        with self.errors.open("w") as stderr:
            self.kernel.start_kernel(env=environment, cwd=str(folder), stdout=subprocess.DEVNULL, stderr=stderr)
        self.client = self.kernel.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=SECONDS)

    def run(self, code, interrupt_at=None):
        """Run a cell; returns what it printed, its value as text and the name of its error, or ""."""
        cell = self.client.execute(textwrap.dedent(code))
        printed, value, error = {"stdout": "", "stderr": ""}, "", ""
        while True:
            message = self.client.get_iopub_msg(timeout=SECONDS)
            if message["parent_header"].get("msg_id") != cell:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                printed[content["name"]] += content["text"]
                if interrupt_at is not None and interrupt_at in printed["stdout"]:
                    interrupt_at = None
                    time.sleep(0.3)  # the cell waits by then
                    self.kernel.interrupt_kernel()
            elif kind == "execute_result":
                value = content["data"]["text/plain"]
            elif kind == "error":
                error = content["ename"]
            elif kind == "status" and content["execution_state"] == "idle":
                assert unexpected(printed["stderr"]) == []
                return printed["stdout"], value, error

    def close(self):
        self.client.stop_channels()
        if self.kernel.has_kernel:
            self.kernel.shutdown_kernel()

    def ends_by_itself(self):
        """Whether the kernel's process ends when it is asked to, and without an error."""
        process = self.kernel.provisioner.process
        self.client.shutdown()
        return process.wait(SECONDS) == 0


@pytest.fixture
def notebook(tmp_path):
    found = Notebook(tmp_path)
    try:
        assert found.run(IMPORTS) == ("", "", "")
        yield found
    finally:
        found.close()
    assert unexpected(found.errors.read_text()) == []


def test_a_cell_awaits_jobs(notebook):
    cell = """
    smooth = await gpuimg.submit("gaussian", image, sigma=2)
    both = await asyncio.gather(gpuimg.submit("sobel", smooth), gpuimg.submit("invert", smooth, backend="processes"))
    means = [int(found.max()) async for found in gpuimg.stream([smooth] * 3, "invert")]
    bool((both[0] == gpuimg.sobel(smooth)).all() and (both[1] == 255 - smooth).all()), means == [int(both[1].max())] * 3
    """
    assert notebook.run(cell) == ("", "(True, True)", "")
    background = """
    async def watch(job):
        while not job.done():
            await asyncio.sleep(0.001)
        return "done"
    task = asyncio.create_task(watch(gpuimg.submit("median", image, size=9)))
    """
    assert notebook.run(background)[2] == ""
    assert notebook.run("await task") == ("", "'done'", "")


def test_an_interrupted_result_leaves_the_job_to_be_cancelled(notebook):
    cell = """
    job = gpuimg.submit(hold, image)
    print("waits", flush=True)
    job.result()
    """
    assert notebook.run(cell, interrupt_at="waits") == ("waits\n", "", "KeyboardInterrupt")
    assert notebook.run("job.running(), job.cancel()") == ("", "(True, True)", "")
    assert notebook.run("job.result()")[2] == "CancelledError"
    assert notebook.run("bool((gpuimg.submit('invert', image).result() == 255 - image).all())")[1] == "True"


def test_an_interrupted_await_stops_the_job(notebook):
    """The kernel's loop notices an interrupt when it wakes up, which a loop that only awaits a job may not do."""
    cell = """
    job = gpuimg.submit(hold, image)
    print("waits", flush=True)
    try:
        while not job.done():
            await asyncio.sleep(0.01)
    finally:
        job.cancel()
    """
    assert notebook.run(cell, interrupt_at="waits") == ("waits\n", "", "CancelledError")
    assert notebook.run("_ = concurrent.futures.wait([job], 60); job.cancelled()")[1] == "True"
    awaiting = """
    async def tick():
        while True:
            await asyncio.sleep(0.01)
    ticking = asyncio.create_task(tick())
    job = gpuimg.submit(hold, image)
    print("waits", flush=True)
    await job
    """
    assert notebook.run(awaiting, interrupt_at="waits") == ("waits\n", "", "CancelledError")
    assert notebook.run("ticking.cancel(), concurrent.futures.wait([job], 60); job.cancelled()")[1] == "True"
    assert notebook.run("bool((await gpuimg.submit('invert', image) == 255 - image).all())")[1] == "True"


def test_jobs_are_done_when_the_kernel_shuts_down(notebook, tmp_path):
    cell = f"""
    def slow(image):
        time.sleep(0.1)
        same = (gpuimg.invert(image, backend="processes") == 255 - image).all()
        with open({str(tmp_path / "done")!r}, "a") as file:
            file.write(f"{{same}} ")

    pool = gpuimg.Pool(running=1)
    jobs = [pool.submit(slow, image) for _ in range(5)]
    """
    assert notebook.run(cell)[2] == ""
    assert notebook.ends_by_itself()
    assert (tmp_path / "done").read_text() == "True " * 5


def test_a_kernel_with_jobs_that_do_not_end_can_be_killed(notebook):
    cell = """
    from gpuimg.backend import processes
    gpuimg.invert(image, backend="processes")
    pool = gpuimg.Pool(running=1)
    jobs = [pool.submit(hold, image), pool.submit("invert", image)]
    print(*[worker.process.pid for worker in processes._workers._workers])
    """
    printed, _, error = notebook.run(cell)
    assert error == ""
    notebook.kernel.shutdown_kernel(now=True)
    assert not notebook.kernel.is_alive()
    assert_gone([int(number) for number in printed.split()])
