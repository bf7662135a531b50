"""A smoke test of an installed wheel: needs nothing but gpuimg itself, and must run outside the checkout."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import gpuimg
from gpuimg import kernels
from gpuimg.registry import arguments

HERE = Path(__file__).parent


def main():
    assert HERE not in Path(gpuimg.__file__).parents, f"the checkout is tested, not the wheel: {gpuimg.__file__}"
    assert kernels.names("cpu"), "the wheel holds no CPU kernels"
    assert kernels.names("cuda"), "the wheel holds no CUDA kernels"
    image = np.random.default_rng(0).integers(0, 256, (300, 401), np.uint8)
    color = np.random.default_rng(1).integers(0, 256, (300, 401, 3), np.uint8)
    count = 0
    for name, found in gpuimg.FILTERS.items():
        for example in found.examples:
            source = color if found.color else image
            if "u" not in found.kinds:
                source = source / np.float32(255)
            given = arguments(example, source)
            first = found.function(source, backend="single", **given)
            for backend in ("multicore", "processes"):
                again = found.function(source, backend=backend, **given)
                np.testing.assert_equal(again, first, err_msg=f"{name} {example} on {backend}")
                count += 1
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.png"), Path(folder, "out.png")
        gpuimg.save_image(source, image)
        command = [sys.executable, "-m", "gpuimg", "run", str(source), "-o", str(target), "-f", "median:size=3"]
        subprocess.run(command, check=True)
        np.testing.assert_array_equal(gpuimg.open_image(target), gpuimg.median(image, 3))
        count += 1
    print(f"{count} passed, 0 failed")


if __name__ == "__main__":
    main()
