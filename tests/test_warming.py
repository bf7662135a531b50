"""Compiling beforehand, and saying so where somebody waits for it."""

import io
import json
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

import gpuimg
from gpuimg import warming
from gpuimg.backend import compiled
from gpuimg.cli import cli


def run_fresh(script, folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=280,
        env={"GPUIMG_CACHE_DIR": str(folder), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_was_compiled_is_not_compiled_again(tmp_path):
    warm = "import gpuimg; print(gpuimg.warmup(['invert', 'sobel'], ['uint8', 'bool']))"
    assert run_fresh(warm, tmp_path).strip() == "Warmed(filters=3, failed={})"  # sobel takes no bool
    kept = sorted(path for path in tmp_path.rglob("*") if path.suffix in (".nbi", ".nbc"))
    assert kept
    use = "import gpuimg, numpy as np; gpuimg.sobel(np.ones((300, 300), np.uint8), backend='single')"
    run_fresh(use, tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.suffix in (".nbi", ".nbc")) == kept


def test_every_filter_compiles_with_its_examples():
    for entry in gpuimg.FILTERS.values():
        for dtype in ("bool", "uint8", "float32"):
            if np.dtype(dtype) in entry.dtypes:
                warming.compile_filter(entry, dtype)


def test_progress_and_failures(monkeypatch, tmp_path):
    seen = []
    found = gpuimg.warmup(["invert", gpuimg.flip], ["uint8"], progress=seen.append)
    assert found == (2, {})
    assert sorted(seen) == ["flip uint8", "invert uint8"]
    # What is written for dtype "no" fails in the process that compiles.
    failing = dict(warming._compiled_elsewhere([("invert", "no"), ("invert", "uint8")], seen.append))
    assert list(failing) == ["invert no"]
    assert "not understood" in failing["invert no"]


def test_wrong_arguments():
    with pytest.raises(ValueError, match="there is no filter 'blur'"):
        gpuimg.warmup(["blur"])
    with pytest.raises(TypeError, match="must be gpuimg's filters or their names"):
        gpuimg.warmup([len])


def test_on_the_command_line():
    done = CliRunner().invoke(cli, ["warmup", "invert", "flip", "--dtype", "uint8"])
    assert done.exit_code == 0
    assert done.stdout == "2 filters are ready, counted once for each dtype\n"
    wrong = CliRunner().invoke(cli, ["warmup", "blur"])
    assert wrong.exit_code == 2
    assert "there is no filter 'blur'" in wrong.stderr


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def said(monkeypatch):
    monkeypatch.setattr(compiled, "_is_said", False)
    monkeypatch.setattr(compiled, "SAID_AFTER", 0.01)
    stream = Terminal()
    monkeypatch.setattr(compiled, "sys", SimpleNamespace(stderr=stream, modules={}))
    return stream


def test_a_long_compilation_is_said_once_where_a_person_watches(said):
    for _ in range(2):
        with compiled._said_if_long("sobel"):
            time.sleep(0.05)
    assert said.getvalue().count("gpuimg: compiling filters for this machine") == 1


def test_a_short_one_is_not_said(said, monkeypatch):
    monkeypatch.setattr(compiled, "SAID_AFTER", 30)
    with compiled._said_if_long("sobel"):
        pass
    time.sleep(0.02)
    assert said.getvalue() == ""


def test_it_goes_to_the_log_where_nobody_watches(said, monkeypatch, caplog):
    stream = io.StringIO()
    monkeypatch.setattr(compiled, "sys", SimpleNamespace(stderr=stream, modules={}))
    with caplog.at_level("INFO", "gpuimg"), compiled._said_if_long("sobel"):
        time.sleep(0.05)
    assert stream.getvalue() == ""
    assert "compiling filters for this machine" in caplog.text
    assert "(sobel)" in caplog.text


def test_what_the_other_process_says():
    line = run_other('[["invert", "uint8"]]')
    assert json.loads(line) == ["invert uint8", ""]


def run_other(tasks):
    command = [sys.executable, "-c", "from gpuimg.warming import compile_given; compile_given()"]
    return subprocess.run(command, input=tasks, capture_output=True, text=True, timeout=120, check=True).stdout
