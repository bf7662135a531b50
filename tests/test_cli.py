"""The command line: chains of filters over files, errors of one line, results as JSON."""

import inspect
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import gpuimg
from gpuimg import cli, files, machine
from gpuimg.choosing import backend_named
from gpuimg.cli import run
from gpuimg.dispatch import requested
from gpuimg.errors import BackendUnavailable
from gpuimg.machine import Figures
from tests.conftest import noise


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a grey and a 16-bit colour picture in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GPUIMG_BACKEND", raising=False)
    rng = np.random.default_rng(3)
    gpuimg.save_image("grey.png", rng.integers(0, 256, (40, 50), np.uint8))
    gpuimg.save_image("deep.png", rng.integers(0, 65536, (40, 50, 3), np.uint16))
    return tmp_path


def gpuimg_command(*args):
    return CliRunner().invoke(cli.cli, [str(arg) for arg in args])


def assert_fails(result, code, *words):
    assert result.exit_code == code, result.output
    for word in words:
        assert word in result.stderr
    if code == 1:
        assert result.stderr.count("\n") == 1
        assert result.stderr.startswith("Error: ")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_version():
    result = gpuimg_command("--version")
    assert result.output == f"gpuimg {gpuimg.__version__}\n"


def test_help_of_every_command():
    for command in ("demo", "run", "info", "filters", "calibrate"):
        assert gpuimg_command(command, "--help").exit_code == 0


# run


def test_a_chain_is_the_same_as_calls(folder):
    steps = ("-f", "minimum:size=3", "-f", "maximum:size=(3,5),mode=nearest", "-f", "threshold:value=100")
    result = gpuimg_command("run", "grey.png", "-o", "out.png", *steps)
    assert result.exit_code == 0, result.output
    assert result.output == ""
    image = gpuimg.maximum(gpuimg.minimum(gpuimg.open_image("grey.png")), (3, 5), mode="nearest")
    np.testing.assert_array_equal(gpuimg.open_image("out.png"), gpuimg.threshold(image, 100) * np.uint8(255))


@pytest.mark.parametrize("name", ["out.tif", "out.png"])
def test_16_bit_colour_stays(folder, name):
    assert gpuimg_command("run", "deep.png", "-o", name, "-f", "maximum").exit_code == 0
    expected = gpuimg.maximum(gpuimg.open_image("deep.png"))
    assert expected.dtype == np.uint16
    np.testing.assert_array_equal(gpuimg.open_image(name), expected)


def test_the_input_may_be_the_output(folder):
    expected = gpuimg.minimum(gpuimg.open_image("grey.png"))
    assert gpuimg_command("run", "grey.png", "-o", "grey.png", "-f", "minimum", "--overwrite").exit_code == 0
    np.testing.assert_array_equal(gpuimg.open_image("grey.png"), expected)
    assert names(folder) == ["deep.png", "grey.png"]


@pytest.mark.parametrize("backend", ["auto", "single", "multicore", "processes", "cuda"])
def test_backend(folder, backend, monkeypatch):
    seen = []

    invert = gpuimg.FILTERS["invert"].function

    def telling(image, *, backend=None, out=None):
        seen.append(requested(backend))
        return invert(image, backend="single")

    monkeypatch.setitem(gpuimg.FILTERS, "invert", gpuimg.FILTERS["invert"]._replace(function=telling))
    assert gpuimg_command("run", "grey.png", "-o", "out.png", "-f", "invert", "--backend", backend).exit_code == 0
    assert seen == [backend, backend]  # planned and run


def test_steps_in_short(folder):
    steps = ("-f", "gaussian:2", "-f", "rescale:0.5")
    assert gpuimg_command("run", "grey.png", "-o", "out.png", *steps).exit_code == 0
    image = gpuimg.resize(gpuimg.gaussian(gpuimg.open_image("grey.png"), 2), (20, 25))
    np.testing.assert_array_equal(gpuimg.open_image("out.png"), image)


def test_a_mask_is_cleaned(folder):
    steps = ("-f", "rgb2gray", "-f", "threshold:value=30000", "-f", "opening:footprint=5")
    assert gpuimg_command("run", "deep.png", "-o", "out.png", *steps).exit_code == 0
    mask = gpuimg.opening(gpuimg.threshold(gpuimg.rgb2gray(gpuimg.open_image("deep.png")), 30000), 5)
    np.testing.assert_array_equal(gpuimg.open_image("out.png"), mask * np.uint8(255))


def test_a_result_is_converted(folder):
    steps = ("-f", "rgb2gray", "-f", "astype:dtype=float32,scale=True", "-f", "sobel")
    result = gpuimg_command("run", "deep.png", "-o", "out.png", *steps, "-f", "astype:dtype=uint8,scale=True")
    assert result.exit_code == 0, result.output
    image = gpuimg.astype(gpuimg.rgb2gray(gpuimg.open_image("deep.png")), "float32", scale=True)
    expected = gpuimg.astype(gpuimg.sobel(image), np.uint8, scale=True)
    np.testing.assert_array_equal(gpuimg.open_image("out.png"), expected)


@pytest.mark.parametrize(
    ("steps", "output", "words"),
    [
        (["sobel"], "out.png", "not float32; add -f astype:dtype=uint8,scale=True for values from 0 to 1"),
        (["sobel"], "out.jpg", "a .tif file holds float32"),
        (["invert", "astype:dtype=int16"], "out.png", "not int16; add -f astype:dtype=uint8,scale=True; a .tif file"),
        (["label"], "out.png", "not int32; add -f astype:dtype=uint16"),
        (["integral_image", "rot90"], "out.png", "not int64; save it as .tif, which holds int64"),
        (["astype:dtype=float32", "equalize_hist", "rgb2gray"], "out.png", "not float32"),
        (["median", "hsv2rgb"], "out.tif", "hsv2rgb: image must have one of the dtypes float32, float64, got uint16"),
        (["threshold:value=9", "gaussian"], "out.tif", "gaussian: image must have one of the dtypes uint8"),
        (["threshold:value=9", "gaussian"], "out.tif", "got bool: convert it first"),
        (["median", "erosion:footprint=0"], "out.tif", "erosion: footprint must be positive"),
    ],
)
def test_what_cannot_be_saved_is_not_computed(folder, steps, output, words, monkeypatch):
    def computed(*_args):
        raise AssertionError("something was computed")

    monkeypatch.setattr("gpuimg.run.run_on", computed)
    given = [word for step in steps for word in ("-f", step)]
    assert_fails(gpuimg_command("run", "deep.png", "-o", output, *given), 1, words)
    assert names(folder) == ["deep.png", "grey.png"]


def test_backend_of_the_environment(folder, monkeypatch):
    monkeypatch.setenv("GPUIMG_BACKEND", "nonsense")
    assert_fails(gpuimg_command("run", "grey.png", "-o", "out.png", "-f", "minimum"), 2, "GPUIMG_BACKEND", "nonsense")


def test_a_backend_that_cannot_run(folder, monkeypatch):
    def unavailable(image, size=3, *, backend=None, out=None):
        raise BackendUnavailable("cuda", "there is none")

    found = gpuimg.FILTERS["minimum"]._replace(function=unavailable)
    monkeypatch.setitem(gpuimg.FILTERS, "minimum", found)
    result = gpuimg_command("run", "grey.png", "-o", "out.png", "-f", "minimum", "--backend", "cuda")
    assert_fails(result, 1, "backend 'cuda' cannot run here: there is none")
    assert names(folder) == ["deep.png", "grey.png"]


def test_explain_goes_to_stderr(folder):
    result = gpuimg_command("run", "grey.png", "-o", "out.png", "-f", "threshold:value=100", "--explain")
    assert result.stdout == ""
    assert "threshold of 40x50 uint8" in result.stderr
    assert "multicore" in result.stderr


def test_a_number_is_printed(folder):
    result = gpuimg_command("run", "grey.png", "-f", "threshold_otsu")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == gpuimg.threshold_otsu(gpuimg.open_image("grey.png"))


def test_a_histogram_is_printed(folder):
    result = gpuimg_command("run", "grey.png", "-f", "histogram:bins=16")
    counts, edges = gpuimg.histogram(gpuimg.open_image("grey.png"), 16)
    assert json.loads(result.stdout) == [counts.tolist(), edges.tolist()]


def test_values_without_names_go_to_the_parameters_in_order(folder):
    result = gpuimg_command("run", "grey.png", "-o", "out.png", "-f", "clip:50,200")
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(gpuimg.open_image("out.png"), gpuimg.open_image("grey.png").clip(50, 200))


@pytest.mark.parametrize("step", ["subtract:other=two.png", "subtract:two.png", "subtract:other='two.png'"])
def test_an_image_is_named_by_its_file(folder, step):
    image = gpuimg.open_image("grey.png")
    gpuimg.save_image("two.png", image // 2)
    result = gpuimg_command("run", "grey.png", "-o", "out.png", "-f", step)
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(gpuimg.open_image("out.png"), gpuimg.subtract(image, image // 2))


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (
            "subtract:other=two.png",
            "subtract: other must be a number or the name of an image file; there is no file 'two.png'",
        ),
        ("threshold:10O.5", "threshold: value must be a number or the name of an image file; there is no file '10O.5'"),
        ("blend:two.png,alpha=0.5", "blend: other must be the name of an image file; there is no file 'two.png'"),
        ("blend:2,alpha=0.5", "blend: other must be the name of an image file, got 2"),
    ],
)
def test_a_file_that_is_not_there_in_place_of_an_image(folder, step, words):
    assert_fails(gpuimg_command("run", "grey.png", "-o", "out.png", "-f", step), 2, words)


def test_no_image_ends_the_chain(folder):
    result = gpuimg_command("run", "grey.png", "-o", "out.png", "-f", "threshold_otsu", "-f", "minimum")
    assert_fails(result, 2, "threshold_otsu returns no image, so it must be the last filter")


def test_several_images_are_not_for_the_command_line(folder):
    for more in ([], ["-o", "out.png"], ["-f", "minimum"]):
        result = gpuimg_command("run", "grey.png", "-f", "gradient", *more)
        assert_fails(result, 2, "gradient returns 2 images: call it from Python")


def test_no_image_has_no_output_file(folder):
    assert_fails(gpuimg_command("run", "grey.png", "-o", "out.png", "-f", "threshold_otsu"), 2, "leave out -o")
    assert names(folder) == ["deep.png", "grey.png"]


def test_an_image_needs_an_output_file(folder):
    assert_fails(
        gpuimg_command("run", "grey.png", "-f", "minimum"), 2, "uint8 of shape (40, 50): name a target with -o"
    )


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("gausian:sigma=2", "there is no filter 'gausian'; did you mean gaussian?"),
        ("zzz", "there is no filter 'zzz'; `gpuimg filters` lists them"),
        ("", "there is no filter ''"),
        ("gaussian:sigm=2", "gaussian has no parameter 'sigm'; it takes sigma, truncate, nan, mode, cval"),
        (
            "resize:scale=0.5",
            "resize has no parameter 'scale'; it takes output_shape, order, anti_aliasing; rescale takes",
        ),
        ("invert:x=1", "invert has no parameter 'x'; it takes none"),
        ("minimum:backend=single", "minimum has no parameter 'backend'"),
        ("minimum:out=1", "minimum has no parameter 'out'"),
        ("minimum:image=1", "minimum has no parameter 'image'"),
        ("threshold", "threshold needs 'value'"),
        ("gaussian:2,wrap", "gaussian: parameters are written name=value,name=value, each once, got '2,wrap'"),
        ("gaussian:sigma=1,sigma=2", "each once, got 'sigma=1,sigma=2'"),
        ("gaussian:sigma=", "parameters are written name=value"),
        ("gaussian:sigma=1)(2", "parameters are written name=value"),
        ("gaussian:**{'sigma':1}", "parameters are written name=value"),
        ("gaussian:sigma=\0", "parameters are written name=value"),
        ("gaussian:sigma=" + "(" * 5000, "parameters are written name=value"),
        ("gaussian:sigma=__import__('os').getcwd()", "gaussian: sigma must be a number, a word, None, True, False"),
        ("gaussian:sigma=2**9", "gaussian: sigma must be a number"),
        ("gaussian:sigma=" + "9" * 400, "gaussian: sigma must have numbers of at most 40 characters"),
    ],
)
def test_a_step_that_makes_no_sense_is_wrong_usage(folder, step, words):
    assert_fails(gpuimg_command("run", "grey.png", "-o", "out.png", "-f", step), 2, words)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("minimum:size=0", "minimum: size"),
        ("minimum:mode=sideways", "minimum: mode"),
        ("gaussian:sigma=-1", "gaussian: sigma"),
        ("gaussian:sigma=nan", "gaussian: sigma"),
        ("median:size=4", "median: size"),
        ("sobel:axis=up", "sobel: axis"),
        ("rgb2gray", "rgb2gray: "),
        ("erosion:footprint=[[0,2]]", "erosion: footprint"),
    ],
)
def test_a_value_that_a_filter_refuses_is_one_line(folder, step, words):
    assert_fails(gpuimg_command("run", "grey.png", "-o", "out.png", "-f", step), 1, words)
    assert names(folder) == ["deep.png", "grey.png"]


def test_files_that_cannot_be_read(folder):
    (folder / "text.png").write_text("no picture")
    (folder / "cut.png").write_bytes((folder / "deep.png").read_bytes()[:3000])
    for name, words in (
        ("none.png", "none.png: no such file or directory"),
        ("text.png", "text.png: not a TIFF, PNG, JPEG, NPY, WebP, AVIF, JPEG 2000, BMP, GIF, PNM, PFM or FITS file"),
        ("cut.png", "cut.png: damaged PNG file"),
    ):
        assert_fails(gpuimg_command("run", name, "-o", "out.png", "-f", "minimum"), 1, words)
    folder_to_file = gpuimg_command("run", ".", "-o", "out.png", "-f", "minimum")
    assert_fails(folder_to_file, 2, "several files need a folder for the results")
    assert names(folder) == ["cut.png", "deep.png", "grey.png", "text.png"]


def test_files_that_cannot_be_written(folder):
    assert_fails(gpuimg_command("run", "grey.png", "-o", "none/out.png", "-f", "minimum"), 1, "no such folder")
    assert_fails(gpuimg_command("run", "grey.png", "-o", "out.tga", "-f", "minimum"), 2, "must end in one of .tif")
    assert_fails(gpuimg_command("run", "grey.png", "-o", "out.gif", "-f", "minimum"), 2, "GIF files are read, not")
    assert_fails(gpuimg_command("run", "deep.png", "-o", "out.jpg", "-f", "minimum"), 1, "holds uint8, not uint16")
    assert names(folder) == ["deep.png", "grey.png"]


def test_max_pixels(folder):
    args = ("run", "grey.png", "-o", "out.png", "-f", "minimum", "--max-pixels")
    assert_fails(gpuimg_command(*args, 1999), 1, "50 x 40 pixels are over the limit of 1999", "--max-pixels 2000")
    assert gpuimg_command(*args, 2000).exit_code == 0
    assert_fails(gpuimg_command(*args, 0), 2, "--max-pixels")


def test_out_of_memory_is_one_line(folder, monkeypatch):
    def exhausted(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(files, "open_pages", exhausted)
    assert_fails(gpuimg_command("run", "grey.png", "-o", "out.png", "-f", "minimum"), 1, "not enough memory")


# info, filters, calibrate


@pytest.mark.parametrize("name", gpuimg.FILTERS)
def test_filters_explains_parameters_that_filters_share(name):
    known = inspect.signature(gpuimg.FILTERS[name].function).parameters
    listed, _, shared = gpuimg_command("filters", name).output.partition("Shared parameters\n")
    lines = [line.partition(" : ") for line in listed.splitlines() if "see below" in line]
    referred = [parameter for names, _, _ in lines for parameter in names.split(", ")]
    explained = [line.partition(" : ")[0] for line in shared.splitlines() if " : " in line and line[0].isalpha()]
    assert {"axes", "backend"} <= set(explained) <= set(known)
    assert "gpuimg.filters" not in listed
    assert explained == referred


def test_filters_lists_all():
    result = gpuimg_command("filters")
    listed = [line.split()[0] for line in result.output.splitlines()[1:]]
    assert sorted(listed) == sorted(gpuimg.FILTERS)


def test_filters_shows_one():
    result = gpuimg_command("filters", "gaussian")
    assert "Smooth with a Gaussian filter." in result.output
    assert "gpuimg run SRC -o DST -f gaussian:sigma=1" in result.output
    assert_fails(gpuimg_command("filters", "gausian"), 2, "did you mean gaussian?")


def test_filters_suggests_close_names_only():
    assert_fails(gpuimg_command("filters", "nosuch"), 2, "there is no filter 'nosuch'; `gpuimg filters` lists them")
    assert_fails(gpuimg_command("filters", "sobl"), 2, "did you mean sobel? `gpuimg filters` lists them")


def test_every_filter_shows_an_example_that_can_be_read():
    for name in gpuimg.FILTERS:
        (step,) = shlex.split(gpuimg_command("filters", name).output.splitlines()[-1].rpartition(" -f ")[2])
        if "..." not in step:
            assert run.read_step(step)[0] == name


def test_info():
    result = gpuimg_command("info")
    assert result.exit_code == 0, result.exception
    output = result.output
    for word in ("single", "multicore", "processes", "cuda", "numba", "cache folder", gpuimg.__version__):
        assert word in output


@pytest.mark.parametrize("reason", ["no device", None])
def test_calibrate(monkeypatch, reason):
    begun = []

    def quick(*, progress):
        progress("calls")
        begun.append("calls")
        return Figures(single_call=2e-6, copy_bandwidth=5e9, speeds={"k": 1.0})

    monkeypatch.setattr(gpuimg, "calibrate", quick)
    monkeypatch.setattr(backend_named("cuda"), "unusable", lambda: reason)
    lines = [line.split(maxsplit=3) for line in gpuimg_command("calibrate").output.splitlines()]
    assert begun == ["calls"]
    assert ["single", "call", "2", "us"] in lines
    assert ["copy", "bandwidth", "5", "GB/s"] in lines
    assert ["speeds", "1", "kernels", "and dtypes"] in lines
    assert (["gpu", "call", "60", "us"] in lines) == (reason is None)
    assert lines[-1][0] == "Stored"


def test_calibrate_reset(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUIMG_CACHE_DIR", str(tmp_path))
    path = machine.store(Figures())
    try:
        assert gpuimg_command("calibrate", "--reset").output == f"Removed from {path}\n"
        assert machine.stored() == {}
        assert gpuimg_command("calibrate", "--reset").output == f"Nothing of this machine was stored in {path}\n"
        assert "not measured: `gpuimg calibrate`" in gpuimg_command("info").output
    finally:
        machine.figures.cache_clear()


# Completion


@pytest.fixture
def on_path(tmp_path, monkeypatch):
    """The command `gpuimg` of this checkout."""
    script = tmp_path / "bin" / "gpuimg"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m gpuimg "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(each or str(Path.cwd()) for each in sys.path))


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
COMPLETE = """
compopt() { echo "$@"; }
eval "$(gpuimg completion bash)"
complete -p gpuimg > /dev/null || exit 1
COMP_LINE="$1"
COMP_POINT=${#COMP_LINE}
_gpuimg_completion gpuimg
printf '%s\\n' "${COMPREPLY[@]}"
"""


@needs_bash
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("gpuimg cal", ["calibrate"]),
        ("gpuimg filters gaus", ["gaussian", "gaussian_laplace"]),
        ("gpuimg filters threshold", [name for name in gpuimg.FILTERS if name.startswith("threshold")]),
        ("gpuimg filters nosuch", [""]),
        ("gpuimg warmup gaussian sob", ["sobel"]),
        ("gpuimg run a.png -f gaus", ["gaussian", "gaussian_laplace"]),
        ("gpuimg run a.png -f resc", ["rescale_intensity", "rescale"]),
        ("gpuimg run a.png -f gaussian:", ["-o nospace"] * 5 + ["sigma=", "truncate=", "nan=", "mode=", "cval="]),
        ("gpuimg run a.png -f sobel -f gaussian:sig", ["-o nospace", "sigma="]),
        ("gpuimg run a.png -f gaussian:sigma=2,mo", ["-o nospace", "2,mode="]),
        ("gpuimg run a.png --filter nosuch:s", [""]),
        ("gpuimg run a.png -f gaussian --back", ["--backend"]),
        ("gpuimg run a.png --backend mul", ["multicore"]),
        ("gpuimg run b", ["-o default", ""]),
        ("gpuimg completion f", ["fish"]),
    ],
)
def test_bash_completes(on_path, line, expected):
    done = subprocess.run(["bash", "-c", COMPLETE, "-", line], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    assert done.stdout.removesuffix("\n").split("\n") == expected


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_scripts(shell):
    script = gpuimg_command("completion", shell)
    assert script.exit_code == 0
    assert f"_GPUIMG_COMPLETE={shell}_complete" in script.output
    assert_fails(gpuimg_command("completion", "csh"), 2, "'csh' is not one of 'bash', 'zsh', 'fish'")


# The process


def started(*args, **options):
    command = [sys.executable, "-m", "gpuimg", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


def test_as_a_process(folder):
    result = started("run", "grey.png", "-o", "out.png", "-f", "threshold:value=100")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    result = started("run", "none.png", "-o", "out.png", "-f", "threshold:value=100")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "Error: none.png: no such file or directory\n"


def test_damage_that_tifffile_reports_at_length_is_one_line(folder):
    gpuimg.save_image("a.tif", np.zeros((8, 8), np.uint8))
    whole = bytearray((folder / "a.tif").read_bytes())
    whole[60:140] = bytes(80)
    (folder / "a.tif").write_bytes(whole)
    result = started("run", "a.tif", "-o", "out.png", "-f", "threshold:value=100")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: a.tif: damaged TIFF file")
    assert result.stderr.count("\n") == 1


def test_a_full_disk_is_one_line(folder):
    import resource

    def small_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    command = ("run", "deep.png", "-o", "out.tif", "-f", "threshold:value=100")
    assert started(*command).returncode == 0  # its kernel is compiled and stored now
    (folder / "out.tif").unlink()
    before = names(folder)
    result = started(*command, preexec_fn=small_disk)
    assert (result.returncode, result.stderr) == (1, "Error: out.tif: file too large\n")
    assert names(folder) == before


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_progress_shows_on_a_terminal_only(folder):
    terminal, end = os.openpty()
    command = [sys.executable, "-m", "gpuimg", "run", "grey.png", "-o", "out.png", "-f", "threshold:value=100"]
    parts = []

    def read():  # all the time: a terminal holds little
        with suppress(OSError):
            while part := os.read(terminal, 65536):
                parts.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    result = subprocess.run(command, stderr=end, stdout=subprocess.PIPE, timeout=120, check=True)
    os.close(end)
    reader.join(20)
    os.close(terminal)
    shown = b"".join(parts).decode()
    assert result.stdout == b""
    assert "out.png" in shown


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 1), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_an_interrupted_demo_is_gone_at_once(folder, number, code):
    command = [sys.executable, "-m", "gpuimg", "demo", "--megapixels", "2", "--out", "pictures"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        time.sleep(2)
        process.send_signal(number)
        begin = time.monotonic()
        _, stderr = process.communicate(timeout=30)
    assert time.monotonic() - begin < 2
    assert process.returncode == code
    assert "Traceback" not in stderr
    assert list((folder / "pictures").glob("*")) == []


def succeeds(*args):
    result = gpuimg_command(*args)
    assert result.exit_code == 0, result.output
    return result


def test_every_page_of_a_tiff_is_filtered(folder):
    pages = noise((3, 20, 30), np.uint16)
    gpuimg.save_image("stack.tif", pages, axes="NYX")
    succeeds("run", "stack.tif", "-o", "out.tif", "-f", "median:size=5", "-f", "threshold:value=99")
    expected = np.stack([gpuimg.median(page, 5) > 99 for page in pages])
    np.testing.assert_array_equal(gpuimg.open_image("out.tif") > 0, expected)
    printed = succeeds("run", "stack.tif", "-f", "threshold_otsu").output
    assert json.loads(printed) == [int(gpuimg.threshold_otsu(page)) for page in pages]
    colour = noise((2, 20, 30, 3), np.uint8)
    gpuimg.save_image("colour.tif", colour, axes="NYXC")
    succeeds("run", "colour.tif", "-o", "grey.tif", "-f", "rgb2gray")
    np.testing.assert_array_equal(gpuimg.open_image("grey.tif"), np.stack([gpuimg.rgb2gray(page) for page in colour]))


def test_a_stack_is_refused_as_a_png_before_anything_is_computed(folder, monkeypatch):
    gpuimg.save_image("stack.tif", noise((3, 20, 30), np.uint8), axes="NYX")
    monkeypatch.setattr(run, "_apply", None)
    result = gpuimg_command("run", "stack.tif", "-o", "out.png", "-f", "invert")
    assert_fails(result, 1, "a PNG file holds one image, not a stack; a .tif file holds one as pages")


def test_decoded_bytes_are_limited(folder):
    gpuimg.save_image("large.tif", np.zeros((100, 100, 4), np.uint8))
    result = gpuimg_command("run", "large.tif", "-o", "out.tif", "-f", "invert", "--max-bytes", "39999")
    assert_fails(result, 1, "--max-bytes 40000")
    succeeds("run", "large.tif", "-o", "out.tif", "-f", "invert", "--max-bytes", "40000")
