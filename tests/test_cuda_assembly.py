"""What only a device compiles, inline assembly above all, on the emulator: the same pixels as without it.

Of the kernels of each header with assembly, one or two; their other tests run in `test_cuda_kernels`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpuimg import kernels
from gpuimg.backend.device import source
from tests.cuda_emulator import assembly, build

ROOT = Path(__file__).parent.parent
TESTS = ["test_invert or test_flip", "test_minimum", "test_gaussian and float", "test_convolve and uint8"]


def run(*command):
    """Run Python with the emulator in the build that has the assembly; returns the exit code and what it wrote."""
    variables = {
        **os.environ,
        "GPUIMG_EMULATOR": "assembly",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=500
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(build.compiler() is None, reason="the emulator needs g++")
@pytest.mark.parametrize("tests", TESTS)
def test_kernels(tests):
    code, text = run(
        "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "tests/test_cuda_kernels.py", "-k", tests
    )
    assert code == 0, text
    assert " passed" in text


@pytest.mark.skipif(build.compiler() is None, reason="the emulator needs g++")
@pytest.mark.parametrize("name", ["sobel", "gradient"])
def test_filters(name):
    code, text = run("-m", "tests.cuda_emulator.check", "assembly", name)
    assert code == 0, text
    assert "results are the same" in text


@pytest.mark.parametrize("stem", kernels.names("cuda"))
def test_all_assembly_is_known(stem):
    given = source(stem)
    made = assembly.translated(given)
    assert list(assembly._statements(made)) == []
    assert made.endswith(given[-200:])


def block(text):
    (span,) = assembly._statements(text)
    return assembly._block(text[slice(*span)])


def test_an_instruction_that_is_not_known_is_an_error():
    with pytest.raises(ValueError, match=r"the emulator does not know the instruction prmt\.b32"):
        block('asm("prmt.b32 %0, %1, %2, 0x3210;" : "=r"(to) : "r"(a), "r"(b));')


def test_operands_stand_where_their_numbers_say():
    made = block('asm("min.NaN.f32 %0, %2, %1;" : "=f"(to) : "f"(f(a, b)), "f"(c[1]));')
    assert "(to) = emulated_ptx::min_nan((c[1]), (f(a, b)));" in made


def test_a_predicate_guards_its_instruction():
    made = block(
        'asm volatile("{\\n.reg .pred p;\\nsetp.ne.s32 p, %0, 0;\\n@p st.shared.v2.f64 [%1+16], {%2, %3};\\n}"'
        ' :: "r"(wanted), "r"(at), "d"(x), "d"(y) : "memory");'
    )
    assert "predicate_p = (wanted) != 0;" in made
    assert made.index("if (predicate_p)") < made.index("check") < made.index("16 + 0 *") < made.index("(y)")
