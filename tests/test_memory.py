"""Memory of large results: used again, never while somebody looks at it, never more than a share."""

import copy
import gc
import multiprocessing
import pickle
import subprocess
import sys
import textwrap
import threading
import weakref

import numpy as np
import pytest

import gpuimg
from gpuimg import memory

U8 = np.dtype("uint8")
SHAPE = (3000, 4001)

pytestmark = pytest.mark.skipif(not memory._SUPPORTED, reason="this system has no MADV_FREE")


@pytest.fixture(autouse=True)
def nothing_kept():
    gc.collect()
    memory.release()
    yield
    memory.release()


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_is_used_again():
    first = memory.new_array(SHAPE, U8)
    first[:] = 7
    place = address(first)
    assert place % 4096 == 0
    del first
    assert memory.kept() >= SHAPE[0] * SHAPE[1]
    again = memory.new_array((SHAPE[1], SHAPE[0]), np.dtype(bool))
    assert address(again) == place
    assert memory.kept() == 0
    assert again.flags.c_contiguous
    assert again.flags.writeable
    assert again.shape == (SHAPE[1], SHAPE[0])


def test_not_while_a_view_is_left():
    whole = memory.new_array(SHAPE, U8)
    whole[:] = 5
    view = whole[10:20, ::7].T
    del whole
    assert memory.kept() == 0
    other = memory.new_array(SHAPE, U8)
    other[:] = 9
    assert (view == 5).all()
    exported = memoryview(other)
    del other, view
    kept = memory.kept()
    third = memory.new_array(SHAPE, U8)
    third[:] = 1
    assert exported[0, 0] == 9
    del exported
    assert memory.kept() >= kept - third.nbytes


def test_small_arrays_are_numpys():
    assert memory.new_array((64, 64), U8).flags.owndata


def test_what_does_not_fit_goes_back_to_the_system():
    small = memory.new_array(SHAPE, U8)
    del small
    assert memory.kept() > 0
    large = memory.new_array((3 * SHAPE[0], SHAPE[1]), U8)
    assert memory.kept() == 0
    del large
    tiny = memory.new_array(SHAPE, U8)  # a third of the block that is kept: it would waste the rest
    assert memory.kept() == 0
    assert tiny.nbytes == SHAPE[0] * SHAPE[1]


def test_no_more_than_a_share_is_kept(monkeypatch):
    monkeypatch.setattr(memory, "MOST_KEPT", 3 * SHAPE[0] * SHAPE[1])
    arrays = [memory.new_array(SHAPE, U8) for _ in range(5)]
    arrays.clear()
    assert SHAPE[0] * SHAPE[1] < memory.kept() <= memory.MOST_KEPT


def test_results_stay_what_they_were():
    image = np.random.default_rng(1).integers(0, 256, SHAPE, np.uint8)
    results = [gpuimg.invert(image, backend=name) for name in ("single", "multicore", "processes")]
    del results[1]
    results.append(gpuimg.threshold(image, 3, backend="multicore"))
    np.testing.assert_array_equal(results[0], 255 - image)
    np.testing.assert_array_equal(results[1], 255 - image)
    np.testing.assert_array_equal(results[2], image > 3)


def test_results_are_plain_arrays():
    result = memory.new_array(SHAPE, U8)
    result[:] = 3
    for twin in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result), result.copy()):
        np.testing.assert_array_equal(twin, result)
        assert not np.shares_memory(twin, result)
    assert weakref.ref(result)() is result


def test_not_enough_memory_is_said():
    with pytest.raises(MemoryError, match="Unable to allocate"):
        memory.new_array((1 << 30, 1 << 30), U8)


def test_many_threads():
    wrong = []

    def work(value):
        for _ in range(30):
            mine = memory.new_array(SHAPE, U8)
            mine[:: SHAPE[0] // 7] = value
            if not (mine[:: SHAPE[0] // 7] == value).all():
                wrong.append(value)
            del mine

    threads = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def _overwrite(array):
    memory.new_array(SHAPE, U8)[:] = 8
    array[:] = 9


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_its_own():
    array = memory.new_array(SHAPE, U8)
    array[:] = 1
    del array
    held = memory.new_array(SHAPE, U8)
    held[:] = 2
    child = multiprocessing.get_context("fork").Process(target=_overwrite, args=(held,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert (held == 2).all()


def test_nothing_is_said_at_exit():
    code = (
        "import numpy, gpuimg\n"
        "kept = [gpuimg.invert(numpy.zeros((3000, 4001), 'u1'), backend='single') for _ in range(3)]\n"
        "del kept[1]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory of a process")
def test_kernels_give_their_scratch_rows_back():
    code = """
    import numpy as np, gpuimg
    from pathlib import Path
    def held():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    image = np.zeros((64, 4000), np.float32)
    def work():
        for backend in ("single", "multicore"):
            gpuimg.gaussian(image, 2, backend=backend)
            gpuimg.opening(image, 5, backend=backend)
            gpuimg.median(image, 5, backend=backend)
    work()
    work()
    before = held()
    for _ in range(60):
        work()
    print(held() - before)
    """
    grown = int(subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, check=True).stdout)
    assert grown < 8 << 20  # scratch rows of these calls are 40 MB and more in all


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "700\n", "a/memory.max": "500\n", "memory.max": "max\n"}, [700, 500]),
        ("0::/\n", {"memory.max": "900\n"}, [900]),
        ("0::/host/path\n", {"memory.max": "900\n"}, [900]),
        ("4:cpu,memory:/a\n9:name=systemd:/\n", {"memory/a/memory.limit_in_bytes": "300\n"}, [300]),
        ("0::/a\n", {"a/memory.max": "rubbish\n"}, []),
        ("", {}, []),
    ],
)
def test_control_groups_limit_the_memory(tmp_path, membership, files, expected):
    (tmp_path / "cgroup").write_text(membership)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert list(memory._group_limits(tmp_path / "cgroup", tmp_path)) == expected


# ---------------------------------------------------------------- page-locked


class Locker:
    """What locks memory, without a device."""

    def __init__(self):
        self.locked = {}
        self.refuses = False

    def __call__(self, address, size):
        if self.refuses:
            raise RuntimeError("refused")
        self.locked[address] = size
        return lambda: self.locked.pop(address)


@pytest.fixture
def locker():
    memory._wishes.clear()
    yield Locker()
    memory.release()
    assert memory.locked() == 0


def use(locker, shape=SHAPE):
    """An array whose memory a device copies to, and whether it is page-locked."""
    array = memory.new_array(shape, U8)
    return array, memory.lock(memory.block_of(array), locker)


def test_memory_is_locked_for_sizes_that_come_again(locker):
    assert [use(locker)[1] for _ in range(5)] == [False, False, True, True, True]
    assert len(locker.locked) == 1
    held = [use(locker) for _ in range(3)]  # at once: others of that size are locked without waiting
    assert len(locker.locked) == 3
    assert all(is_locked for _, is_locked in held)
    del held
    assert memory.locked() == memory.kept() == sum(locker.locked.values())


def test_locked_memory_is_kept_where_sizes_change(locker):
    other = (2 * SHAPE[0], SHAPE[1])
    for _ in range(3):
        use(locker)
        use(locker, other)
    assert len(locker.locked) == 2
    memory.new_array((5 * SHAPE[0], SHAPE[1]), U8)
    assert len(locker.locked) == 2
    memory.release()
    assert locker.locked == {}


def test_no_more_than_a_share_is_locked(locker, monkeypatch):
    size = -(-SHAPE[0] * SHAPE[1] // memory.HUGE_PAGE) * memory.HUGE_PAGE
    monkeypatch.setattr(memory, "MOST_LOCKED", 2 * size)
    held = [use(locker) for _ in range(6)]
    assert [is_locked for _, is_locked in held] == [False, False, True, True, False, False]
    del held
    other = (2 * SHAPE[0], SHAPE[1])
    for _ in range(3):  # what is kept makes room
        array, is_locked = use(locker, other)
        del array
    assert is_locked
    assert list(locker.locked.values()) == [memory.locked()]


def test_what_is_refused_is_tried_again_later(locker):
    locker.refuses = True
    assert not any(use(locker)[1] for _ in range(4))
    locker.refuses = False
    assert [use(locker)[1] for _ in range(3)] == [False, True, True]


def test_views_lie_in_the_block_of_their_array():
    array = memory.new_array(SHAPE, np.dtype(bool))
    block = memory.block_of(array)
    for view in (array[3:], array.view(np.uint8), array.T[5], array.reshape(-1)[7:].view(np.uint8)):
        assert memory.block_of(view) is block
    assert memory.block_of(array.copy()) is None
    assert memory.block_of(np.zeros(3)) is None
    assert memory.block_of(np.frombuffer(b"abc", np.uint8)) is None


def _is_apart(array, locker):
    """In a forked child: whether memory that was locked before is used as any other, and undone by nobody."""
    before = dict(locker.locked)
    assert not memory.block_of(array).is_locked
    assert memory.locked() == 0
    memory.new_array(SHAPE, U8)[:] = 8
    del array
    memory.release()
    assert locker.locked == before


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_locked_memory_belongs_to_one_process(locker):
    for _ in range(3):
        held, _ = use(locker)
    use(locker)
    assert len(locker.locked) == 2
    child = multiprocessing.get_context("fork").Process(target=_is_apart, args=(held, locker))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert len(locker.locked) == 1  # nothing that is only kept is copied into the child
    assert not memory.block_of(held).is_locked
    del held
    assert locker.locked == {}


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory of a process")
@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_the_median_of_a_huge_window_needs_little_more_than_its_tile(dtype):
    code = f"""
    import numpy as np, gpuimg
    from pathlib import Path
    def kib(name):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1])
    image = np.random.default_rng(3).integers(0, 60000, (450, 600)).astype({dtype!r})
    gpuimg.median(image[:20, :20], 9, backend="single")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is measured from here on
    before = kib("VmRSS")
    gpuimg.median(image, 301, backend="single")
    print(1024 * (kib("VmHWM") - before) - image.nbytes)
    """
    used = int(subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, check=True).stdout)
    tile = 450 * 450  # values: the window and half as many on each side
    assert used < tile * (np.dtype(dtype).itemsize + 3 * 4)  # each value, two places and something to spare
