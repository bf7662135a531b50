"""The service's page in a browser: pictures, chains, results, errors, keys and accessibility."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import example
from PIL import Image
from service import file_of, running

import gpuimg
from gpuimg.jobs.texts import read_step, write_step
from gpuimg.service.app import Service

try:
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import expect, sync_playwright
except ImportError as error:
    missing = f"{error.name} is not installed"
else:
    missing = "" if shutil.which("chromium") else "chromium is not installed"

if missing:
    if os.environ.get("CI"):
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing, allow_module_level=True)

LONG = 60_000  # milliseconds: a filter's first use compiles it

rows, cols = np.mgrid[:48, :64]
GREY = ((rows * 3 + cols * 2) % 256).astype(np.uint8)
COLOURS = np.stack([GREY, np.flipud(GREY), 255 - GREY], axis=2)


expect.set_options(timeout=LONG)


@pytest.fixture(scope="module")
def client():
    with running(Service) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        # The sandbox needs rights that a container may not have; nothing but the service's page is opened.
        found = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield found
        found.close()


class Opened:
    """The page of a service, in a browser, and what the browser's console said."""

    def __init__(self, browser, client, **settings):
        self.address = f"http://127.0.0.1:{client.port}/"
        self.page = browser.new_context(**settings).new_page()
        self.page.set_default_timeout(LONG)
        self.said = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))

    def go(self, fragment=""):
        self.page.goto(self.address + fragment)
        return self

    def upload(self, content, name="photo.png"):
        self.page.set_input_files("#file", {"name": name, "mimeType": "application/octet-stream", "buffer": content})
        self.find("#empty").wait_for(state="hidden")

    def find(self, selector):
        return self.page.locator(selector)

    def labelled(self, text, step=1):
        return self.find(f".step:nth-child({step})").get_by_label(text, exact=True)

    def add(self, name):
        self.find("#choice").select_option(name)
        self.find("#add").click()

    def done(self):
        """Wait until the newest chain's result is shown."""
        expect(self.find("#status")).to_have_text(re.compile(r"^Done in"))
        expect(self.find("#stage")).to_have_attribute("aria-busy", "false")

    def shows(self, *texts):
        """Wait until the result of a chain is shown."""
        expect(self.find("#canvas")).to_have_attribute(
            "aria-label", re.compile(re.escape(f"after {', '.join(texts)}") + "$")
        )
        self.done()

    def result(self, form):
        self.find("#format").select_option(form)
        with self.page.expect_download() as download:
            self.find("#download").click()
        return Path(download.value.path()).read_bytes()

    def colour_at(self, across, down):
        """The colour on the screen, at shares of the stage's width and height."""
        shot = Image.open(BytesIO(self.find("#stage").screenshot())).convert("RGB")
        return shot.getpixel((int(shot.width * across), int(shot.height * down)))

    def code(self, tab):
        self.find(f"#tab-{tab}").click()
        return self.find("#code").text_content()


@contextmanager
def open_page(browser, client, refusals=False, **settings):
    """The page at 1280 pixels; whatever the console says fails the test, but for refusals where they are expected."""
    opened = Opened(browser, client, viewport={"width": 1280, "height": 800}, **settings)
    try:
        yield opened
    finally:
        opened.page.context.close()
    # The browser itself reports answers from 400 on.
    assert [text for text in opened.said if not (refusals and "Failed to load resource" in text)] == []


@pytest.fixture
def opened(browser, client):
    with open_page(browser, client) as found:
        yield found


# Results ------------------------------------------------------------------------------------------------------------


def test_an_uploaded_picture_gets_the_filters_exact_result(opened):
    opened.go().upload(file_of(COLOURS))
    opened.add("median")
    opened.add("adjust_gamma")
    opened.labelled("gamma, exact value", 2).fill("2")
    opened.shows("median", "adjust_gamma:gamma=2")
    expected = gpuimg.adjust_gamma(gpuimg.median(COLOURS), gamma=2)
    np.testing.assert_array_equal(Image.open(BytesIO(opened.result("PNG"))), expected, strict=False)
    np.testing.assert_array_equal(np.load(BytesIO(opened.result("NPY"))), expected)
    np.testing.assert_array_equal(tifffile.imread(BytesIO(opened.result("TIFF"))), expected)
    assert Image.open(BytesIO(opened.result("JPEG"))).format == "JPEG"
    for step in (1, 2):
        expect(opened.find(f".step:nth-child({step}) .took")).to_have_text(re.compile(r"^[\d.]+ m?s \w+$"))


def test_the_picture_is_shown_before_and_after(opened):
    opened.go("#f=invert").upload(file_of(np.full((40, 60), 60, np.uint8)))
    opened.shows("invert")
    assert opened.colour_at(0.3, 0.5) == (60, 60, 60)
    assert opened.colour_at(0.7, 0.5) == (195, 195, 195)
    expect(opened.find(".histogram svg").nth(0)).to_have_attribute("aria-label", re.compile("most near 60$"))
    expect(opened.find(".histogram svg").nth(1)).to_have_attribute("aria-label", re.compile("most near 195$"))


def test_a_float_result_is_shown_from_minimum_to_maximum(opened):
    image = np.zeros((40, 60), np.uint8)
    image[:, 45:] = 200
    opened.go("#f=astype:dtype=float32&f=gaussian:sigma=0.5").upload(file_of(image))
    opened.shows("astype:dtype=float32", "gaussian:sigma=0.5")
    expect(opened.find("#about")).to_contain_text("float32, shown from minimum 0 (black) to maximum 200 (white)")
    assert opened.colour_at(0.6, 0.5) == (0, 0, 0)
    assert opened.colour_at(0.9, 0.5) == (255, 255, 255)
    assert opened.find("#format").input_value() == "TIFF", "PNG holds no float32"
    expected = gpuimg.gaussian(gpuimg.astype(image, np.float32), sigma=0.5)
    np.testing.assert_array_equal(tifffile.imread(BytesIO(opened.result("TIFF"))), expected)


def test_a_result_that_is_no_picture_is_text(opened):
    opened.go("#f=threshold_otsu").upload(file_of(GREY))
    expect(opened.find("#values-text")).to_have_text(str(gpuimg.threshold_otsu(GREY)))
    expect(opened.find("#divider")).to_be_hidden()
    assert opened.code("python").endswith("result = gpuimg.threshold_otsu(image)\nprint(result)")
    opened.labelled("Remove threshold_otsu").click()
    expect(opened.find("#values")).to_be_hidden()


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(opened, event):
    opened.go("#f=invert")
    opened.page.evaluate(
        """([kind, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "given.png", { type: "image/png" }));
            const event = kind === "drop"
                ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
                : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
            document.getElementById("stage").dispatchEvent(event);
        }""",
        [event, list(file_of(GREY))],
    )
    opened.shows("invert")
    expect(opened.find("#about")).to_contain_text("given.png: 64")


@pytest.mark.parametrize("form", ["TIFF", "NPY"])
def test_what_browsers_cannot_read_is_read_by_the_service(opened, form):
    image = GREY.astype(np.float32) - 100
    opened.go().upload(file_of(image, form), f"deep.{form.lower()}")
    expect(opened.find("#about")).to_contain_text(
        f"float32, shown from minimum \N{MINUS SIGN}{-image.min():.0f} (black)"
    )
    opened.add("invert")
    opened.shows("invert")
    np.testing.assert_array_equal(np.load(BytesIO(opened.result("NPY"))), gpuimg.invert(image))


def test_a_stack_has_pages(opened, tmp_path):
    pages = np.stack([np.full((40, 60), level, np.uint8) for level in (0, 90, 180)])
    written = BytesIO()
    tifffile.imwrite(written, pages, photometric="minisblack")
    opened.go("#f=invert").upload(written.getvalue(), "pages.tif")
    opened.shows("invert")
    expect(opened.find("#pages-text")).to_have_text("Page 1 of 3")
    opened.find("#page-number").press("End")
    expect(opened.find("#pages-text")).to_have_text("Page 3 of 3")
    assert opened.colour_at(0.3, 0.5) == (180, 180, 180)
    assert opened.colour_at(0.7, 0.5) == (75, 75, 75)
    (tmp_path / "pages.tif").write_bytes(written.getvalue())
    run_code(opened.code("python"), tmp_path)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "pages-filtered.tif"), 255 - pages)


def test_the_sample_picture_and_a_picture_of_another_shape(opened):
    opened.go("#f=rot90")
    opened.find("#empty-sample").click()
    opened.shows("rot90")
    expect(opened.find("#about")).to_have_text(re.compile("1200 . 800, uint8. After: 800 . 1200"))


# The chain ----------------------------------------------------------------------------------------------------------


def test_steps_are_added_moved_switched_off_and_removed(opened):
    opened.go().upload(file_of(GREY))
    for name in ("invert", "median", "gaussian"):
        opened.add(name)
    opened.shows("invert", "median", "gaussian")
    opened.labelled("Move up gaussian", 3).click()
    opened.shows("invert", "gaussian", "median")
    assert opened.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Move up gaussian"
    opened.labelled("Run invert").uncheck()
    opened.shows("gaussian", "median")
    opened.labelled("Remove median", 3).click()
    opened.shows("gaussian")
    expect(opened.page).to_have_url(re.compile("#off=invert&f=gaussian$"))


def test_an_address_restores_the_chain(opened):
    chain = "#f=gaussian:sigma=(2,0.5),mode=constant,cval=9&off=invert&f=rescale_intensity:out_range=(0,100)"
    opened.go(chain).upload(file_of(GREY))
    texts = "gaussian:sigma=(2,0.5),mode=constant,cval=9", "rescale_intensity:out_range=(0,100)"
    opened.shows(*texts)
    assert opened.labelled("sigma, exact value").input_value() == "2, 0.5"
    assert opened.labelled("cval").input_value() == "9"
    assert not opened.labelled("Run invert", 2).is_checked()
    assert opened.labelled("out_range: own values", 3).input_value() == "0, 100"
    opened.labelled("mode").select_option("wrap")
    expect(opened.labelled("cval")).to_be_hidden()
    opened.shows("gaussian:sigma=(2,0.5),mode=wrap,cval=9", texts[1])
    opened.page.reload()
    expect(opened.find(".step")).to_have_count(3)
    assert opened.labelled("mode").input_value() == "wrap"
    opened.page.evaluate("location.hash = '#f=median:size=5'")
    expect(opened.find(".step")).to_have_count(1)
    assert opened.labelled("size, exact value").input_value() == "5"


def test_all_filters_can_be_added_and_have_a_control_for_each_parameter(opened, client):
    opened.go()
    filters = [each for each in client.get("/v1/filters").json["filters"] if each["usable"]]
    expect(opened.find("#choice option")).to_have_count(len(filters))
    for number, each in enumerate(filters, 1):
        opened.add(each["name"])
        step = opened.find(f".step:nth-child({number})")
        assert step.locator(".param > label").all_text_contents() == sorted(
            each["parameters"]["properties"], key=lambda name: name in ("mode", "cval", "truncate", "anti_aliasing")
        )
        for text in each["parameters"]["required"]:
            assert step.get_by_label(text, exact=True).input_value() != ""


FIRST = {
    "astype": lambda image: gpuimg.astype(image, "float32"),
    "difference_of_gaussians": lambda image: gpuimg.difference_of_gaussians(image, 1),
    "flip": lambda image: gpuimg.flip(image, 1),
    "rescale": lambda image: gpuimg.rescale(image, 0.5),
    "resize": lambda image: gpuimg.resize(image, (24, 32)),
    "lut": lambda image: image // 64 * 85,
    "threshold": lambda image: gpuimg.threshold(image, 128),
    "apply_hysteresis_threshold": lambda image: gpuimg.apply_hysteresis_threshold(image, 102, 153),
}


@pytest.mark.parametrize("name", FIRST)
def test_parameters_without_a_default_begin_with_a_sensible_value(opened, name):
    opened.go().upload(file_of(GREY))
    opened.add(name)
    opened.done()
    np.testing.assert_array_equal(np.load(BytesIO(opened.result("NPY"))), FIRST[name](GREY))


def test_texts_of_steps_are_read_and_written_as_in_python(opened):
    examples = [
        "rot90:k=-1",
        "threshold:value=inf",
        "lut:table=[1,2,3]",
        "flip:axis=(0,)",
        "erosion:footprint=[[0,1],[1,1]]",
    ]
    for name, entry in gpuimg.FILTERS.items():
        if not entry.images:
            examples.append(write_step(name, example(name)[1]))
    opened.go()
    found = opened.page.evaluate(
        """async (texts) => {
            const chain = await import("/chain.js");
            return texts.map((text) => {
                const step = chain.readStep(text);
                const values = Object.entries(step.params).map(([key, value]) => [key, chain.pythonValue(value)]);
                const [again] = chain.readFragment("#" + chain.queryOf([["f", text]]));
                return [chain.writeStep(step), chain.writeStep(again), step.name, Object.fromEntries(values)];
            });
        }""",
        examples,
    )
    assert len(examples) > 40
    for text, (written, restored, name, values) in zip(examples, found, strict=True):
        assert written == restored == text
        evaluated = {key: eval(value, {"__builtins__": {"float": float}}) for key, value in values.items()}
        assert (name, evaluated) == read_step(text)


def run_shell(text, folder):
    environment = {**os.environ, "PYTHONPATH": str(Path(gpuimg.__file__).parents[1])}
    done = subprocess.run(["sh", "-c", text], cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_code(text, folder):
    (folder / "code.py").write_text(text, encoding="utf-8")
    run_shell(f"{sys.executable} code.py", folder)


def test_the_code_gives_the_same_pixels(opened, tmp_path, client):
    opened.go("#f=median:size=(3,5)&f=gaussian:sigma=1.5,mode=nearest").upload(file_of(COLOURS), "my photo's.png")
    opened.shows("median:size=(3,5)", "gaussian:sigma=1.5,mode=nearest")
    (tmp_path / "my photo's.png").write_bytes(file_of(COLOURS))
    saved = tmp_path / "my photo's-filtered.png"
    expected = gpuimg.gaussian(gpuimg.median(COLOURS, size=(3, 5)), sigma=1.5, mode="nearest")
    run_code(opened.code("python"), tmp_path)
    np.testing.assert_array_equal(Image.open(saved), expected)
    saved.unlink()

    run_shell(f'gpuimg() {{ {sys.executable} -m gpuimg "$@"; }}\n{opened.code("shell")}', tmp_path)
    np.testing.assert_array_equal(Image.open(saved), expected)

    told = "curl() { printf '%s\\n' \"$@\"; }\n" + opened.code("curl")
    given = run_shell(told, tmp_path).splitlines()
    assert given[:3] == ["-f", "--data-binary", "@my photo's.png"]
    assert given[3:7] == ["-H", "Accept: image/png", "-o", "my photo's-filtered.png"]
    reply = client("POST", given[7].removeprefix(opened.address.rstrip("/")), file_of(COLOURS), Accept="image/png")
    np.testing.assert_array_equal(reply.pixels, expected)


# Numbers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", ["?", "u1", "i1", "<u2", ">u2", "<i4", "<i8", "<u8", "<f2", "<f4", ">f4", "<f8", "<c8"]
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_files_are_read(opened, dtype, order):
    values = np.array([[0, 1, 3], [5, 60, 100]]) / (1 if np.dtype(dtype).kind in "?bui" else 8)
    array = np.asarray(values.astype(dtype), order=order)
    opened.go()
    found = opened.page.evaluate(
        """async (bytes) => {
            const { readNpy } = await import("/npy.js");
            const { dtype, shape, values } = readNpy(new Uint8Array(bytes).buffer);
            return { dtype, shape, values: [...values] };
        }""",
        list(file_of(array, "NPY")),
    )
    assert found == {"dtype": array.dtype.name, "shape": [2, 3], "values": np.abs(array).astype(float).ravel().tolist()}


# Errors and order ---------------------------------------------------------------------------------------------------


def test_an_error_stands_at_its_step(browser, client):
    with open_page(browser, client, refusals=True) as opened:
        opened.go("#f=median&f=median:size=4&f=invert").upload(file_of(GREY))
        expect(opened.find(".step:nth-child(2) .error")).to_have_text("size must be odd and positive, got 4.")
        expect(opened.find(".error:visible")).to_have_count(1)
        assert opened.labelled("size", 2).get_attribute("aria-invalid") == "true"
        opened.labelled("size, exact value", 2).fill("999")
        expect(opened.find(".step:nth-child(2) .error")).to_have_text(re.compile(r"^size must be .* 255, got 999\.$"))
        expect(opened.find("#status")).to_have_text("A step was refused; the reason stands at the step.")
        slider = opened.labelled("size", 2)
        assert slider.get_attribute("aria-invalid") == "true"
        assert slider.get_attribute("aria-describedby") == opened.find(".step:nth-child(2) .error").get_attribute("id")
        opened.labelled("size, exact value", 2).fill("(5")
        expect(opened.find(".step:nth-child(2) .error")).to_have_text(
            re.compile("^size must be a number or two numbers")
        )
        opened.labelled("size, exact value", 2).fill("5")
        opened.shows("median", "median:size=5", "invert")
        expect(opened.find(".error:visible")).to_have_count(0)


def test_a_file_that_is_no_picture_is_refused_in_a_sentence(browser, client):
    with open_page(browser, client, refusals=True) as opened:
        opened.go()
        opened.page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"})
        expect(opened.find("#notice-text")).to_have_text(re.compile(r"^[A-Z].*\.$"))
        opened.upload(file_of(GREY))
        expect(opened.find("#notice")).to_be_hidden()


def test_an_unreachable_service_is_said_and_tried_again(browser, client):
    with open_page(browser, client, refusals=True) as opened:
        opened.go().upload(file_of(GREY))
        opened.page.route("**/v1/apply*", lambda route: route.abort())
        opened.add("invert")
        expect(opened.find("#notice-text")).to_have_text("The service cannot be reached.")
        opened.page.unroute("**/v1/apply*")
        opened.find("#retry").click()
        opened.shows("invert")
        expect(opened.find("#notice")).to_be_hidden()


def test_an_older_answer_never_replaces_a_newer_one(opened):
    opened.go().upload(file_of(GREY))
    held, ended = [], []
    opened.page.on("requestfailed", lambda request: ended.append(request.url))
    opened.page.route("**/v1/apply?f=gaussian:sigma=9", lambda route: held.append(route))
    opened.add("gaussian")
    opened.shows("gaussian")
    with opened.page.expect_request("**/v1/apply?f=gaussian:sigma=9"):
        opened.labelled("sigma, exact value").fill("9")
    expect(opened.find("#status")).to_have_text("Working …")
    opened.labelled("sigma, exact value").fill("2")
    opened.shows("gaussian:sigma=2")
    (route,) = held
    route.fulfill(status=200, content_type="image/png", body=file_of(GREY * 0))
    opened.page.wait_for_timeout(300)
    opened.shows("gaussian:sigma=2")
    assert [address.rpartition("?")[2] for address in ended] == ["f=gaussian:sigma=9"], "the older request was ended"
    assert max(opened.colour_at(0.7, 0.5)) > 0


def test_a_moving_slider_asks_once(opened):
    opened.go("#f=gaussian").upload(file_of(GREY))
    opened.shows("gaussian")
    asked = []
    opened.page.on("request", lambda request: asked.append(request.url.rpartition("?")[2]))
    slider = opened.labelled("sigma")
    slider.evaluate(
        """(slider) => { for (const value of [2, 3, 4, 5, 6]) {
            slider.value = value;
            slider.dispatchEvent(new Event("input"));
        } }"""
    )
    opened.shows("gaussian:sigma=6")
    assert [each for each in asked if "gaussian" in each] == ["f=gaussian:sigma=6"]


def test_the_token_is_asked_for_and_kept(browser):
    with running(lambda: Service(token="open sesame")) as client, open_page(browser, client, refusals=True) as opened:
        opened.go("#f=invert")
        expect(opened.find("#token-text")).to_have_text("This service asks for a token.")
        opened.find("#token").fill("wrong")
        opened.find("#token").press("Enter")
        expect(opened.find("#token-text")).to_have_text("The service does not accept this token.")
        opened.find("#token").fill("open sesame")
        opened.find("#token").press("Enter")
        expect(opened.find("#token-dialog")).to_be_hidden()
        opened.upload(file_of(GREY))
        opened.shows("invert")
        code = opened.code("curl")
        assert '-H "Authorization: Bearer $GPUIMG_TOKEN"' in code
        assert "sesame" not in code + opened.page.url
        opened.page.reload()
        expect(opened.find(".step")).to_have_count(1)
        expect(opened.find("#token-dialog")).to_be_hidden()


# Keys ---------------------------------------------------------------------------------------------------------------


def test_the_divider_moves_by_keys_and_by_dragging(opened):
    opened.go("#f=invert").upload(file_of(np.full((40, 60), 60, np.uint8)))
    opened.shows("invert")
    divider = opened.find("#divider")
    for key, share in (("End", 100), ("ArrowLeft", 98), ("Home", 0), ("ArrowRight", 2), ("PageUp", 12)):
        divider.press(key)
        expect(divider).to_have_attribute("aria-valuenow", str(share))
    assert opened.colour_at(0.3, 0.5) == (195, 195, 195)
    handle, stage = divider.bounding_box(), opened.find("#stage").bounding_box()
    opened.page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + 100)
    opened.page.mouse.down()
    opened.page.mouse.move(stage["x"] + 0.8 * stage["width"], handle["y"] + 100)
    opened.page.mouse.up()
    expect(divider).to_have_attribute("aria-valuenow", "80")
    assert opened.colour_at(0.7, 0.5) == (60, 60, 60)


def test_zoom_by_keys_and_wheel(opened):
    opened.go().upload(file_of(GREY))
    level = opened.find("#zoom-level")

    def percent():
        return int(level.text_content().split()[0])

    expect(level).to_contain_text("%")
    fitted = percent()
    opened.find("#stage").press("+")
    expect(level).not_to_have_text(f"{fitted} %")
    assert percent() == pytest.approx(1.5 * fitted, abs=1)
    opened.find("#stage").press("0")
    expect(level).to_have_text(f"{fitted} %")
    opened.find("#stage").hover()
    opened.page.mouse.wheel(0, -400)
    expect(level).not_to_have_text(f"{fitted} %")
    assert percent() > fitted
    opened.find("#zoom-one").click()
    expect(level).to_have_text("100 %")


def test_everything_is_reached_by_the_tab_key(opened):
    opened.go("#f=gaussian").upload(file_of(GREY))
    opened.shows("gaussian")
    reached = set()
    for _ in range(60):
        opened.page.keyboard.press("Tab")
        reached.add(
            opened.page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.id")
        )
    wanted = {"open", "sample", "stage", "Zoom in", "zoom-fit", "choice", "add", "format", "download", "copy"}
    assert {*wanted, "Run gaussian", "Remove gaussian", "sigma, exact value", "tab-python", "code"} <= reached


# Accessibility ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1440])
def test_axe_finds_nothing(browser, client, scheme, width):
    with open_page(browser, client, refusals=True, color_scheme=scheme) as opened:
        opened.page.set_viewport_size({"width": width, "height": 800})
        opened.go()
        expect(opened.find("#choice option").first).to_be_attached()
        check(opened)
        opened.page.evaluate("location.hash = '#f=gaussian:mode=constant&off=invert&f=median:size=4&f=histogram'")
        opened.upload(file_of(GREY))
        expect(opened.find(".step .error:visible")).to_have_count(1)
        check(opened)
        opened.labelled("size, exact value", 3).fill("5")
        expect(opened.find("#values")).to_be_visible()
        check(opened)
        opened.labelled("Remove histogram", 4).click()
        opened.shows("gaussian:mode=constant", "median:size=5")
        check(opened)
        widths = opened.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1], "nothing is wider than the screen"


def check(opened):
    found = Axe().run(opened.page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]})
    assert found.violations_count == 0, found.generate_report()
    assert len(found.response["passes"]) > 20


def test_the_page_fits_320_pixels(opened):
    opened.page.set_viewport_size({"width": 320, "height": 640})
    opened.go("#f=apply_hysteresis_threshold:low=1,high=2&f=morphological_gradient").upload(file_of(GREY))
    opened.done()
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 320


def test_the_page_needs_nothing_from_elsewhere(client):
    folder = Path(gpuimg.__file__).parent / "service" / "page"
    for path in folder.iterdir():
        text = path.read_text(encoding="utf-8")
        foreign = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[\w/.]*", text)
        assert set(foreign) <= {"http://www.w3.org/2000/svg"}, path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\(|style=|onclick=\"", text), path.name
        assert client.get(f"/{path.name}").body == path.read_bytes()
