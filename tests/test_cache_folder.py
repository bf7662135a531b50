"""The cache folder: nobody else gets code in, and whatever is found there, results are right and nothing waits."""

import os
import pickle
import random
import shutil
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gpuimg import caching, machine
from gpuimg.backend import jit
from gpuimg.stopping import Stopped

if os.name != "posix":
    pytest.skip("owners, modes and links are those of POSIX systems", allow_module_level=True)

import fcntl

STRANGER = 54321  # a user and a group that this user is not
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="permissions do not bind this user")

SETUP = """
import os, sys, time
from pathlib import Path
import numpy as np, gpuimg
from gpuimg import caching
from gpuimg.backend import compiled, jit, jit_fast
from gpuimg.plans.graph import graph_of
from gpuimg.run import _quick
image = np.arange(600, dtype=np.uint8).reshape(20, 30)

def check():
    np.testing.assert_array_equal(gpuimg.invert(image, backend="single"), 255 - image)

def forget():
    compiled._compiled.clear()
    compiled._prepared.clear()
    graph_of.cache_clear()
    _quick.clear()

def hits():
    return sum(code.cache_hits for code in compiled._alive)
"""


def run(code, folder):
    """Run code in a new process with this cache folder; returns the process."""
    done = subprocess.run(
        [sys.executable, "-c", SETUP + textwrap.dedent(code)],
        env={**os.environ, "GPUIMG_CACHE_DIR": str(folder), "NUMBA_CACHE_DIR": ""},
        timeout=250,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache") / "gpuimg"
    run("check(); gpuimg.threshold(image, 100, backend='single')", folder)
    return folder


@pytest.fixture
def folder(compiled_once, tmp_path):
    """A cache folder with compiled code of two kernels."""
    return Path(shutil.copytree(compiled_once, tmp_path / "gpuimg"))


def home(folder, kernel="invert"):
    (found,) = folder.glob(f"cpu-*/{kernel}-*")
    return found


def files(folder):
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


# ------------------------------------------------------------ other users


class Planted:
    """Unpickled, it makes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def plant(folder, mark, monkeypatch, sealed):
    content = pickle.dumps(Planted(mark))
    for path in home(folder).glob("__pycache__/*.nb[ic]"):
        path.write_bytes(content)
    if sealed:
        monkeypatch.setattr(jit, "_folder_of", lambda _: home(folder))
        jit._seal(home(folder).name)


def test_a_planted_pickle_is_not_loaded(folder, tmp_path, monkeypatch):
    plant(folder, tmp_path / "mark", monkeypatch, sealed=False)
    run("check()", folder)
    assert not (tmp_path / "mark").exists()


def test_a_pickle_with_its_digest_would_be_loaded(folder, tmp_path, monkeypatch):
    plant(folder, tmp_path / "mark", monkeypatch, sealed=True)
    run("check()", folder)
    assert (tmp_path / "mark").exists()


def _chmod(path, mode):
    path.chmod(mode)


def _give_away(path, mode):
    os.chown(path, STRANGER, -1)


def _give_to_group(path, mode):
    os.chown(path, -1, STRANGER)
    path.chmod(mode)


WAYS = {
    "others may write": (lambda folder: folder, _chmod, 0o777),
    "others may write inside": (home, _chmod, 0o777),
    "others may write the code": (lambda folder: home(folder) / "__pycache__", _chmod, 0o703),
    "others may replace it": (lambda folder: folder.parent, _chmod, 0o777),
    "others may add to the code": (home, _chmod, 0o1777),
    "a group may write": (lambda folder: folder, _give_to_group, 0o770),
    "a group may replace it": (lambda folder: folder.parent, _give_to_group, 0o775),
    "another's": (lambda folder: folder, _give_away, None),
    "another's inside": (home, _give_away, None),
    "another's above": (lambda folder: folder.parent, _give_away, None),
}


@pytest.mark.parametrize("way", [name if "others" in name else pytest.param(name, marks=needs_root) for name in WAYS])
def test_where_others_can_write_nothing_is_loaded(folder, tmp_path, monkeypatch, way):
    mark = tmp_path / "mark"
    plant(folder, mark, monkeypatch, sealed=True)
    where, do, mode = WAYS[way]
    do(where(folder), mode)
    before = {path: path.read_bytes() for path in files(folder)}
    done = run("check(); check(); gpuimg.threshold(image, 100, backend='single')", folder)
    assert not mark.exists()
    assert done.stderr.count("no disk cache") == 1
    assert {path: path.read_bytes() for path in files(folder) if path in before} == before


@needs_root
def test_a_file_of_another_user_is_not_loaded(folder, tmp_path, monkeypatch):
    plant(folder, tmp_path / "mark", monkeypatch, sealed=True)
    for path in files(home(folder)):
        os.chown(path, STRANGER, -1)
    run("check()", folder)
    assert not (tmp_path / "mark").exists()


def test_a_folder_where_everyone_can_add_files_can_hold_ours(tmp_path):
    tmp_path.chmod(0o1777)
    assert caching.own(tmp_path / "a") == (tmp_path / "a").resolve()
    with pytest.raises(PermissionError, match="other users can write"):
        caching.own(tmp_path)


@needs_root
def test_nothing_is_made_in_a_folder_of_others(tmp_path):
    os.chown(tmp_path, STRANGER, -1)
    with pytest.raises(PermissionError, match=f"belongs to user {STRANGER}"):
        caching.own(tmp_path / "gpuimg" / "cuda")
    assert not (tmp_path / "gpuimg").exists()


def test_folders_are_made_for_this_user_only(tmp_path):
    before = os.umask(0)
    try:
        made = caching.own(tmp_path / "a" / "b")
        caching.write(made / "c", b"content")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a", made, made / "c")] == [0o700, 0o700, 0o600]
    done = run("os.umask(0); check(); forget(); check(); print(hits())", tmp_path / "gpuimg")
    assert done.stdout.split() == ["1"]


def test_a_group_with_this_user_alone_may_write(tmp_path, monkeypatch):
    tmp_path.chmod(0o775)
    monkeypatch.setattr(caching, "_is_private", lambda group: group == tmp_path.stat().st_gid)
    assert caching.own(tmp_path / "a") == (tmp_path / "a").resolve()
    monkeypatch.setattr(caching, "_is_private", lambda group: False)
    with pytest.raises(PermissionError, match="other users can write"):
        caching.own(tmp_path / "a")


def test_a_link_to_a_folder_is_its_real_path(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert caching.own(tmp_path / "link" / "a") == (tmp_path / "real" / "a").resolve()


@pytest.mark.parametrize("mode", [0o755, 0o777])
def test_numbas_own_folder_is_checked_as_well(tmp_path, mode):
    theirs = tmp_path / "numba"
    theirs.mkdir()
    theirs.chmod(mode)
    code = f"import numba; numba.config.CACHE_DIR = {str(theirs)!r}; check(); forget(); check(); print(hits())"
    done = run(code, tmp_path / "gpuimg")
    assert done.stdout.split() == ["1" if mode == 0o755 else "0"]
    for path in theirs.rglob("*.nb[ic]"):
        path.write_bytes(b"damaged" + path.read_bytes()[7:])
    assert run(code, tmp_path / "gpuimg").stdout == done.stdout


# ------------------------------------------------------------ locks


def test_a_link_in_the_place_of_a_lock_is_not_followed(folder, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("content")
    (home(folder) / "lock").unlink()
    (home(folder) / "lock").symlink_to(precious)
    run("check()", folder)
    assert precious.read_text() == "content"
    assert not (home(folder) / "lock").is_symlink()


def test_a_lock_that_is_held_is_not_waited_for_for_ever(folder):
    with (home(folder) / "lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run("caching.LOCK_SECONDS = 0.1; check()", folder)


def test_waiting_for_a_lock_can_be_stopped(tmp_path):
    def look():
        raise Stopped

    # It is free at first, so nothing looks, and again at the end.
    with caching.locked(tmp_path / "lock", look), pytest.raises(Stopped), caching.locked(tmp_path / "lock", look):
        pass
    with caching.locked(tmp_path / "lock", look):
        pass


FORKS = """
import _thread, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
begun, forked, cfunc = threading.Event(), threading.Event(), jit.cfunc
"""


def test_a_child_that_lives_on_does_not_hold_a_lock(tmp_path):
    run(
        FORKS
        + textwrap.dedent(
            """
            def interrupted(function):
                jit.cfunc = cfunc
                global child
                child = os.fork()
                while child == 0:
                    time.sleep(1)
                return cfunc(function)

            jit.cfunc = interrupted
            check()
            import fcntl
            (lock,) = Path(os.environ["GPUIMG_CACHE_DIR"]).glob("cpu-*/invert-*/lock")
            with lock.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.kill(child, 9)
            os.waitpid(child, 0)
            """
        ),
        tmp_path,
    )


def test_a_child_forked_while_another_thread_compiles_can_compile(tmp_path):
    run(
        FORKS
        + textwrap.dedent(
            """
            def watched(function):
                jit.cfunc = cfunc
                begun.set()
                return cfunc(function)

            def fork():
                global child
                begun.wait()
                child = os.fork()
                if child == 0:
                    check()
                    os._exit(17)
                forked.set()

            jit.cfunc = watched
            _thread.start_new_thread(fork, ())  # one that `threading` does not count: this one compiles in place
            np.testing.assert_array_equal(gpuimg.gaussian(image // 255, 1, backend="single").shape, image.shape)
            assert forked.wait(100)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
            """
        ),
        tmp_path,
    )


# ------------------------------------------------------------ damage


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits_are_found(folder, seed):
    rng = random.Random(seed)
    code = []
    for _ in range(15):
        path = rng.choice(files(home(folder)))
        size = path.stat().st_size
        if size:
            code.append((str(path), rng.randrange(size), 1 << rng.randrange(8)))
    run(
        f"""
        for path, at, bit in {code!r}:
            path = Path(path)
            content = bytearray(path.read_bytes())
            content[at] ^= bit
            path.write_bytes(content)
            forget()
            check()
        check()
        """,
        folder,
    )


@pytest.mark.parametrize("kind", ["os.mkfifo(path)", "path.mkdir()", "path.symlink_to('/dev/zero')", "path.touch()"])
def test_whatever_is_in_the_place_of_a_file_is_replaced(folder, kind):
    paths = [str(path) for path in files(home(folder))]
    assert len(paths) == 5
    run(
        f"""
        for path in map(Path, {paths!r}):
            path.unlink()
            {kind}
            forget()
            check()
            before = hits()
            forget()
            check()
            assert hits() == before + 1, path
        """,
        folder,
    )


def test_code_of_another_kernel_is_not_loaded(folder):
    mine, other = home(folder, "invert"), home(folder, "threshold")
    shutil.rmtree(mine)
    shutil.copytree(other, mine)
    for path in mine.glob("__pycache__/*"):
        path.rename(path.with_name(path.name.replace(other.name, mine.name)))
    for path in other.glob("__pycache__/*.nbc"):
        shutil.copy2(path, mine / "__pycache__")
    run("check()", folder)


def test_what_is_sealed_is_whole_and_in_its_place(tmp_path):
    path, moved = tmp_path / "a", tmp_path / "b"
    caching.write_sealed(path, b"content\n\0")
    whole = path.read_bytes()
    assert caching.read_sealed(path) == b"content\n\0"
    moved.write_bytes(whole)
    with pytest.raises(ValueError, match="damaged"):
        caching.read_sealed(moved)
    for bit in range(8 * len(whole)):
        path.write_bytes((int.from_bytes(whole, "little") ^ (1 << bit)).to_bytes(len(whole), "little"))
        with pytest.raises(ValueError, match="damaged"):
            caching.read_sealed(path)


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_figures_are_read_from_a_file_only(tmp_path, monkeypatch, put):
    monkeypatch.setenv("GPUIMG_CACHE_DIR", str(tmp_path))
    put(machine.figures_path())
    assert machine._stored() == {}
    machine.store(machine.Figures(gpu_call=1e-5))
    assert machine._stored()[machine.identity()]["gpu_call"] == 1e-5
