"""JPEG files."""

from __future__ import annotations

import math
from typing import Any, BinaryIO

from gpuimg.files.limits import Limit, Refused, check_page
from gpuimg.files.meta import Meta, Pixels, upright
from gpuimg.files.pages import Pages
from gpuimg.files.pillow import orientation_of, pillow_meta, pixel_bytes, pixels_of

MOST_SCANS = 100
START_OF_SCAN = b"\xff\xda"


def read_jpeg(file: BinaryIO, limit: Limit, chosen: int | None) -> Pages:
    from PIL.JpegImagePlugin import JpegImageFile

    check_page(chosen or 0, 1)
    check_scans(file.read())
    file.seek(0)
    image = JpegImageFile(file)  # not PIL.Image.open, which has a limit of its own
    limit.check(*image.size)
    decoded = limit.check_bytes(math.prod(image.size) * pixel_bytes(image))
    return Pages([lambda: upright(pixels_of(image), orientation_of(image))], decoded, pillow_meta(image))


def check_scans(data: bytes) -> None:
    """Refuse a JPEG stream of many scans: a scan of a few bytes makes the decoder visit every pixel."""
    if data.count(START_OF_SCAN) > MOST_SCANS:
        raise Refused(f"has more than {MOST_SCANS} scans")


def write_jpeg(file: BinaryIO, pages: Pixels, meta: Meta) -> None:
    from io import BytesIO

    from PIL import Image

    (image,) = pages
    # Pillow hides the system's reason when it fails to write, so it writes to memory.
    packed = BytesIO()
    given: dict[str, Any] = {"icc_profile": meta.profile} if meta.profile else {}
    if meta.resolution:
        across, down = [min(max(round(per_inch), 1), 65535) for per_inch in meta.resolution]
        given["dpi"] = across, down
    Image.fromarray(image.squeeze(2) if image.shape[2:] == (1,) else image).save(
        packed, "JPEG", quality=95, subsampling=0, **given
    )
    file.write(packed.getbuffer())
