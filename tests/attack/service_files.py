"""Damaged image files sent through the service's work: python -m tests.attack.service_files COUNT SEED

Each is a sound file with some bytes changed, cut off, put in twice or taken from another one. It must be answered or
refused by a `Problem`; the time of the slowest and the peak of memory are printed.
"""

import random
import resource
import sys
import time
from io import BytesIO

import numpy as np
import tifffile
from PIL import Image

from gpuimg.service.bodies import Body
from gpuimg.service.limits import Limits
from gpuimg.service.problems import Problem
from gpuimg.service.work import Request, Room, perform

LIMITS = Limits(decoded_bytes=100_000_000, pixels=20_000_000)


def sound_files():
    """Files of every format and several kinds."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (40, 60), np.uint8)
    colours = rng.integers(0, 256, (40, 60, 3), np.uint8)
    deep = grey.astype(np.uint16) * 257

    def pillow(image, form, **settings):
        written = BytesIO()
        image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        image.save(written, form, **settings)
        return written.getvalue()

    def tiff(image, **settings):
        written = BytesIO()
        tifffile.imwrite(written, image, **settings)
        return written.getvalue()

    def npy(image):
        written = BytesIO()
        np.save(written, image)
        return written.getvalue()

    profile = bytes(16) + b"RGB " + bytes(180)
    palette = Image.fromarray(colours).quantize(16)
    return {
        "PNG": [
            pillow(grey, "PNG"),
            pillow(colours, "PNG", icc_profile=profile, dpi=(300, 300)),
            pillow(deep, "PNG"),
            pillow(palette, "PNG", transparency=3),
            pillow(np.dstack([colours, grey]), "PNG"),
            pillow(Image.fromarray(grey > 100), "PNG"),
        ],
        "JPEG": [
            pillow(grey, "JPEG"),
            pillow(colours, "JPEG", icc_profile=profile, dpi=(300, 300)),
            pillow(colours, "JPEG", progressive=True),
            pillow(Image.fromarray(colours).convert("CMYK"), "JPEG"),
        ],
        "TIFF": [
            tiff(grey),
            tiff(colours, photometric="rgb", iccprofile=profile, resolution=(300, 300)),
            tiff(np.stack([deep] * 3), photometric="minisblack", compression="zlib"),
            tiff(deep, tile=(16, 16)),
            pillow(grey, "TIFF", compression="tiff_lzw"),
            pillow(grey, "TIFF", compression="packbits"),
            pillow(colours, "TIFF", compression="jpeg"),
            pillow(Image.fromarray(grey > 100), "TIFF", compression="group4"),
            pillow(palette, "TIFF"),
            tiff(grey.astype(np.float32), bigtiff=True, predictor=False),
        ],
        "NPY": [npy(grey), npy(np.asfortranarray(deep)), npy(grey > 100), npy(colours.astype(">f4"))],
    }


def damaged(files, random):
    """One of the files, damaged."""
    data = bytearray(random.choice(files))
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        # Headers decide more than pixels.
        end = min(len(data), random.choice((64, 400, len(data))))
        at = random.randrange(end)
        kind = random.randrange(6)
        if kind == 0:
            data[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            data[at] = random.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            data[at : at + 4] = random.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f")
            )
        elif kind == 3 and len(data) > 20:
            del data[at : at + random.randrange(1, 50)]
        elif kind == 4:
            other = random.choice(files)
            start = random.randrange(len(other))
            data[at:at] = other[start : start + random.randrange(1, 200)]
        elif len(data) > 20:
            del data[max(12, random.randrange(len(data))) :]
        if not data:
            data = bytearray(b"\0")
    return bytes(data)


def attack(count, seed):
    """Send ``count`` damaged files of each format; returns how many were answered, refused, the slowest's seconds."""
    chosen = random.Random(seed)
    answered = refused = 0
    slowest = 0.0
    for files in sound_files().values():
        for _ in range(count):
            body = damaged(files, chosen)
            start = time.perf_counter()
            try:
                perform(Request(Body(body), None, [None], "", LIMITS, Room(LIMITS.decoded_bytes)))
                answered += 1
            except Problem as problem:
                if problem.status not in (406, 413, 415, 422) or len(problem.detail) > 500:
                    raise
                refused += 1
            except BaseException:
                with open("damaged", "wb") as kept:  # noqa: PTH123
                    kept.write(body)
                raise
            slowest = max(slowest, time.perf_counter() - start)
    return answered, refused, slowest


if __name__ == "__main__":
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answered, refused, slowest = attack(int(sys.argv[1]), int(sys.argv[2]))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{answered} answered, {refused} refused; the slowest took {slowest:.2f} s, memory grew by {grown:.0f} MiB")
