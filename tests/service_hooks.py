"""Hooks for schemathesis: some of what it sends is a real image and a real chain."""

import random

import numpy as np
import schemathesis

from tests.service import file_of

GREY = np.random.default_rng(0).integers(0, 256, (9, 11), np.uint8)
BODIES = {
    "image/png": file_of(GREY),
    "image/jpeg": file_of(GREY, "JPEG"),
    "image/tiff": file_of(GREY, "TIFF"),
    "application/x-npy": file_of(GREY, "NPY"),
}
STEPS = [
    "invert",
    "gaussian:sigma=1",
    "sobel",
    "threshold_otsu",
    "median:size=0",
    "nothing",
    "resize:output_shape=(3,4)",
]


@schemathesis.hook
def map_body(context, body):
    return random.choice([*BODIES.values(), body]) if context.operation.path == "/v1/apply" else body


@schemathesis.hook
def map_query(context, query):
    if context.operation.path == "/v1/apply" and query is not None and random.random() < 0.7:
        return {**query, "f": random.choices(STEPS, k=random.randint(0, 3))}
    return query
