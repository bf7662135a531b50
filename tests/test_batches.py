"""One filter over many files, from Python and on the command line."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import gpuimg
from gpuimg.cli import cli

IMAGES = [np.random.default_rng(number).integers(0, 256, (40, 30 + number), np.uint8) for number in range(5)]


@pytest.fixture
def folder(tmp_path):
    """A folder of images, one of them of several pages, one damaged, and a file that is none."""
    scans = tmp_path / "scans"
    scans.mkdir()
    for number, image in enumerate(IMAGES):
        gpuimg.save_image(scans / f"{number}.png", image)
    gpuimg.save_image(scans / "pages.tif", np.stack([IMAGES[0], 255 - IMAGES[0]]), axes="NYX")
    (scans / "broken.png").write_bytes((scans / "0.png").read_bytes()[:100])
    (scans / "notes.txt").write_text("none")
    (scans / "deeper").mkdir()
    gpuimg.save_image(scans / "deeper" / "unseen.png", IMAGES[0])
    return scans


NAMES = ["0.png", "1.png", "2.png", "3.png", "4.png", "broken.png", "pages.tif"]


@pytest.mark.parametrize("jobs", [None, 1, 3])
def test_each_file_is_filtered_and_one_that_is_broken_reported(folder, tmp_path, jobs):
    seen = []
    done = gpuimg.map_files([folder], "gaussian", tmp_path / "out", sigma=2, jobs=jobs, progress=seen.append)
    assert seen == done
    assert [each.source.name for each in done] == NAMES
    assert [each.target for each in done] == [tmp_path / "out" / name for name in NAMES]
    assert [each.source.name for each in done if each.error] == ["broken.png"]
    assert "broken.png" in done[5].error or "truncated" in done[5].error
    for number, image in enumerate(IMAGES):
        np.testing.assert_array_equal(
            gpuimg.open_image(tmp_path / "out" / f"{number}.png"), gpuimg.gaussian(image, sigma=2)
        )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        name for name in NAMES if name != "broken.png"
    ]


def test_all_pages_are_filtered(folder, tmp_path):
    from gpuimg.files import open_pages

    chain = gpuimg.chain("invert", ("minimum", {"size": 3}))
    [done] = gpuimg.map_files([folder / "pages.tif"], chain, tmp_path / "out")
    assert done.error == ""
    pages, is_stack, *_ = open_pages(done.target)
    assert is_stack
    np.testing.assert_array_equal(pages[1], gpuimg.minimum(IMAGES[0], 3))
    [refused] = gpuimg.map_files([folder / "pages.tif"], lambda image: image, tmp_path / "other")
    assert "several pages" in refused.error


def test_what_is_there_is_replaced_only_if_asked(folder, tmp_path):
    files = [folder / "0.png", folder / "1.png"]
    (tmp_path / "1.png").write_text("mine")
    done = gpuimg.map_files(files, "invert", tmp_path)
    assert [bool(each.error) for each in done] == [False, True]
    assert done[1].error.endswith("1.png already exists")
    assert [each.exists for each in done] == [False, True]
    assert (tmp_path / "1.png").read_text() == "mine"
    done = gpuimg.map_files(files, "invert", tmp_path, overwrite=True)
    assert [each.error for each in done] == ["", ""]
    np.testing.assert_array_equal(gpuimg.open_image(tmp_path / "1.png"), 255 - IMAGES[1])
    [itself] = gpuimg.map_files([tmp_path / "1.png"], "invert", tmp_path, overwrite=True)
    assert itself.error == "the result would replace its own source"
    assert not itself.exists


def test_results_of_another_format(folder, tmp_path):
    gpuimg.save_image(tmp_path / "1.bmp", IMAGES[1])
    done = gpuimg.map_files([folder, tmp_path / "1.bmp"], "invert", tmp_path / "out", suffix=".tif")
    assert [each.target.name for each in done] == [name.replace(".png", ".tif") for name in [*NAMES, "1.tif"]]
    assert [each.source.name for each in done if each.error] == ["broken.png", "1.bmp"]
    assert done[-1].error == f"{folder / '1.png'} is also saved as 1.tif"
    for number, image in enumerate(IMAGES):
        assert done[number].target.read_bytes()[:4] == b"II*\0"
        np.testing.assert_array_equal(gpuimg.open_image(done[number].target), 255 - image)


def test_files_that_cannot_be_written_are_converted(folder, tmp_path):
    Image.fromarray(IMAGES[0]).save(folder / "0th.gif")
    taken = [each.source.name for each in gpuimg.map_files([folder], "invert", tmp_path / "out")]
    assert "0th.gif" not in taken
    done = gpuimg.map_files([folder], "invert", tmp_path / "converted", suffix=".png")
    assert {each.target.name: each.error for each in done}["0th.png"] == ""
    np.testing.assert_array_equal(gpuimg.open_image(tmp_path / "converted" / "0th.png")[..., 0], 255 - IMAGES[0])


@pytest.mark.parametrize("suffix", ["png", ".gif", ".txt", "", ".PNG"])
def test_suffixes_that_no_format_has(folder, tmp_path, suffix):
    with pytest.raises(ValueError, match=r"suffix must be one of \.tif, .*, got "):
        gpuimg.map_files([folder], "invert", tmp_path / "out", suffix=suffix)
    assert not (tmp_path / "out").exists()


def test_a_format_on_the_command_line(folder, tmp_path):
    several = (folder / "0.png", folder / "1.png", "-f", "invert")
    assert run(*several, "-o", tmp_path / "out", "--format", "tif").exit_code == 0
    np.testing.assert_array_equal(gpuimg.open_image(tmp_path / "out" / "1.tif"), 255 - IMAGES[1])
    wrong = run(*several, "-o", tmp_path / "out", "--format", "gif")
    assert wrong.exit_code == 2
    assert "must be one of tif, tiff, png, " in wrong.stderr
    named = run(folder / "0.png", "-o", tmp_path / "out.tif", "-f", "invert", "--format", "png")
    assert named.exit_code == 2
    assert "a file's format is that of its name" in named.stderr


def test_of_two_files_of_one_name_the_first_is_taken(folder, tmp_path):
    files = [folder / "0.png", folder / "deeper" / "unseen.png", tmp_path / "again" / "0.png"]
    (tmp_path / "again").mkdir()
    gpuimg.save_image(files[2], IMAGES[3])
    done = gpuimg.map_files(files, gpuimg.invert, tmp_path / "out")
    assert [each.error for each in done] == ["", "", f"{files[0]} is also saved as {files[0].name}"]
    np.testing.assert_array_equal(gpuimg.open_image(done[0].target), 255 - IMAGES[0])


def test_what_cannot_be_saved_is_reported(folder, tmp_path):
    [number] = gpuimg.map_files([folder / "0.png"], "threshold_otsu", tmp_path / "out")
    assert number.error
    [floats] = gpuimg.map_files([folder / "0.png"], "sobel", tmp_path / "out")
    assert "float32" in floats.error
    [wrong] = gpuimg.map_files([folder / "0.png"], "gaussian", tmp_path / "out", sigma=-1)
    assert "sigma must be at least 0" in wrong.error
    with pytest.raises(ValueError, match="there is no filter 'blur'"):
        gpuimg.map_files([folder], "blur", tmp_path / "out")
    with pytest.raises(TypeError, match="gaussian has no parameter 'radius'"):
        gpuimg.map_files([folder], "gaussian", tmp_path / "out", radius=2)


# ---------------------------------------------------------------- on the command line


def run(*arguments):
    return CliRunner().invoke(cli, ["run", *map(str, arguments)])


def test_many_files_and_folders(folder, tmp_path):
    out = tmp_path / "out"
    done = run(folder, folder / "deeper" / "unseen.png", "-o", out, "-f", "invert", "--jobs", 2)
    assert done.exit_code == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert "broken.png: " in lines[0]
    assert lines[1] == f"7 of 8 files were written to {out}"
    np.testing.assert_array_equal(gpuimg.open_image(out / "unseen.png"), 255 - IMAGES[0])
    good = run(folder / "0.png", folder / "1.png", "-o", tmp_path / "good", "-f", "invert", "-f", "minimum:size=3")
    assert good.exit_code == 0
    assert good.stderr == f"2 of 2 files were written to {tmp_path / 'good'}\n"
    again = run(folder / "0.png", folder / "2.png", "-o", tmp_path / "good", "-f", "invert")
    assert again.exit_code == 1
    assert again.stderr.splitlines() == [
        f"{folder / '0.png'}: {tmp_path / 'good' / '0.png'} already exists",
        f"1 of 2 files were written to {tmp_path / 'good'}; 1 already exist: use --overwrite to replace them",
    ]
    assert run(folder / "0.png", "-o", tmp_path / "good", "-f", "invert", "--overwrite").exit_code == 0


def test_a_single_file_is_not_replaced(folder, tmp_path):
    target = tmp_path / "out.png"
    assert run(folder / "0.png", "-o", target, "-f", "invert").exit_code == 0
    refused = run(folder / "1.png", "-o", target, "-f", "invert")
    assert refused.exit_code == 1
    assert "use --overwrite to replace it" in refused.stderr
    np.testing.assert_array_equal(gpuimg.open_image(target), 255 - IMAGES[0])
    assert run(folder / "1.png", "-o", target, "-f", "invert", "--overwrite").exit_code == 0


def test_wrong_usage_of_many(folder, tmp_path):
    several = (folder / "0.png", folder / "1.png")
    assert "name one with -o" in run(*several, "-f", "invert").stderr
    assert "name one with -o" in run(*several, "-o", folder / "2.png", "-f", "invert").stderr
    assert "--explain is for one file" in run(*several, "-o", tmp_path / "out", "-f", "invert", "--explain").stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "there is no image file" in run(empty, "-o", tmp_path / "out", "-f", "invert").stderr
    assert run("-o", tmp_path / "out", "-f", "invert").exit_code == 2


def test_standard_input_and_output(folder, tmp_path):
    source = (folder / "0.png").read_bytes()
    done = CliRunner().invoke(cli, ["run", "-", "-o", "-", "-f", "invert"], input=source)
    assert done.exit_code == 0
    (tmp_path / "found.png").write_bytes(done.stdout_bytes)
    np.testing.assert_array_equal(gpuimg.open_image(tmp_path / "found.png"), 255 - IMAGES[0])
    floats = CliRunner().invoke(cli, ["run", "-", "-o", "-", "-f", "sobel", "--format", "tif"], input=source)
    (tmp_path / "found.tif").write_bytes(floats.stdout_bytes)
    np.testing.assert_array_equal(gpuimg.open_image(tmp_path / "found.tif"), gpuimg.sobel(IMAGES[0]))
    target = tmp_path / "from_input.png"
    assert CliRunner().invoke(cli, ["run", "-", "-o", str(target), "-f", "invert"], input=source).exit_code == 0
    np.testing.assert_array_equal(gpuimg.open_image(target), 255 - IMAGES[0])
    number = CliRunner().invoke(cli, ["run", "-", "-f", "threshold_otsu"], input=source)
    assert int(number.stdout) == gpuimg.threshold_otsu(IMAGES[0])


def test_errors_of_standard_input_and_output(folder):
    wrong = CliRunner().invoke(cli, ["run", "-", "-o", "-", "-f", "invert"], input=b"no picture")
    assert wrong.exit_code == 1
    known = "TIFF, PNG, JPEG, NPY, WebP, AVIF, JPEG 2000, BMP, GIF, PNM, PFM or FITS"
    assert wrong.stderr == f"Error: standard input: not a {known} file\n"
    source = (folder / "0.png").read_bytes()
    floats = CliRunner().invoke(cli, ["run", "-", "-o", "-", "-f", "sobel"], input=source)
    assert floats.exit_code == 1
    assert "gpuimg-" not in floats.stderr
    assert floats.stdout_bytes == b""
