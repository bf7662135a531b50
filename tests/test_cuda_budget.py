"""The machine code of CUDA kernels keeps to its budget in cuda_budget.toml: instructions, registers, what fits."""

import re

import numpy as np
import pytest

from gpuimg import kernels
from gpuimg.backend.device import instances
from tests.cuda_emulator import budget, interior, nvrtc
from tests.cuda_emulator.execute import Block, Launch, Memory
from tests.cuda_emulator.sass import Code, Way, disassembled

STEMS = [stem for stem in kernels.names("cuda") if instances(stem)]


needs_compiler = pytest.mark.skipif(
    nvrtc.compiler() is None or nvrtc.wheel_file("*/bin/nvdisasm*") is None,
    reason="the wheels nvidia-cuda-nvrtc and nvidia-cuda-nvdisasm are not installed",
)


@needs_compiler
@pytest.mark.parametrize("stem", STEMS)
def test_kernels_keep_to_their_budget(stem):
    lines = budget.differences(stem, budget.measured(stem), budget.budget().get(stem, {}))
    note = ""
    if budget.compiler() != budget.written_with():
        note = f"the budget is of NVRTC {budget.written_with()}, this is {budget.compiler()}"
        print(note)
    assert not lines, "\n".join([*lines, note])


def test_the_budget_names_no_other_kernels():
    assert set(budget.budget()) == set(STEMS)


# A guard, a loop that loads and stores 16 bytes a turn or, beside an edge, four bytes four times, and one byte behind.
LOOP = """
.text.kernel:
        /*0000*/                   S2R R0, SR_TID.X ;
        /*0010*/               @P0 EXIT ;
.L_x_0:
        /*0020*/                   BSSY B0, `(.L_x_2) ;
        /*0030*/               @P1 BRA `(.L_x_1) ;
        /*0040*/                   LDG.E.128.CONSTANT R4, desc[UR4][R2.64] ;
        /*0050*/                   STG.E.128 desc[UR4][R8.64], R4 ;
        /*0060*/                   BRA `(.L_x_3) ;
.L_x_1:
        /*0070*/                   LDG.E R4, desc[UR4][R2.64] ;
        /*0080*/                   LDG.E R5, desc[UR4][R2.64+0x4] ;
        /*0090*/                   LDG.E R6, desc[UR4][R2.64+0x8] ;
        /*00a0*/              @!P2 LDG.E R7, desc[UR4][R2.64+0xc] ;
        /*00b0*/                   STG.E desc[UR4][R8.64], R4 ;
        /*00c0*/                   STG.E desc[UR4][R8.64+0x4], R5 ;
        /*00d0*/                   STG.E desc[UR4][R8.64+0x8], R6 ;
        /*00e0*/               @P2 STG.E desc[UR4][R8.64+0xc], R6 ;
        /*00f0*/              @!P2 STG.E desc[UR4][R8.64+0xc], R7 ;
.L_x_3:
        /*0100*/                   BSYNC B0 ;
.L_x_2:
        /*0110*/                   IADD3 R0, R0, 0x1, RZ ;
        /*0120*/              @!P3 BRA `(.L_x_0) ;
        /*0130*/                   STG.E.U8 desc[UR4][R8.64], R0 ;
        /*0140*/                   EXIT ;
.L_x_4:
        /*0150*/                   BRA `(.L_x_4);
        /*0160*/                   NOP ;
"""


def test_a_turn_of_a_loop_is_counted_on_each_way():
    code = Code(LOOP.splitlines())
    ((head, body),) = code.loops.items()
    assert code.blocks[head][0].opcode == "BSSY"
    assert len(body) == 5
    # Of the last four bytes one of two stores is made: the loads and stores of an edge are as wide, but more.
    assert code.ways(head) == [Way(16, 16, 8)]
    assert len(list(code)) == 21, "what is never reached does not count"


def test_ways_outside_loops_enter_none():
    assert Code(LOOP.splitlines()).ways(-1) == [Way(0, 0, 2)], "the store behind the loop comes after it"


# A thread stores its number in shared memory, waits, then adds those of three threads from its own on, in a loop, and
# stores the sum. The last warp of two leaves before the loop.
STAGES = """
.text.kernel:
        /*0000*/                   S2R R0, SR_TID.X ;
        /*0010*/                   ULDC.64 UR4, c[0x0][0x210] ;
        /*0020*/                   SHF.L.U32 R1, R0, 0x2, RZ ;
        /*0030*/                   STS [R1+0x400], R0 ;
        /*0040*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;
        /*0050*/                   ISETP.GT.AND P0, PT, R0, 0x1f, PT ;
        /*0060*/               @P0 EXIT ;
        /*0070*/                   MOV R2, RZ ;
        /*0080*/                   MOV R3, RZ ;
.L_x_0:
        /*0090*/                   LEA R4, R2, R1, 0x2 ;
        /*00a0*/                   LDS R4, [R4+0x400] ;
        /*00b0*/                   IADD3 R2, R2, 0x1, RZ ;
        /*00c0*/                   IADD3 R3, R3, R4, RZ ;
        /*00d0*/                   ISETP.GE.AND P0, PT, R2, 0x3, PT ;
        /*00e0*/              @!P0 BRA `(.L_x_0) ;
        /*00f0*/                   IADD3 R6, P1, R1, UR4, RZ ;
        /*0100*/                   IADD3.X R7, RZ, UR5, RZ, P1, !PT ;
        /*0110*/                   STG.E desc[UR6][R6.64], R3 ;
        /*0120*/                   EXIT ;
"""


def test_executed_instructions_are_those_that_warps_issue():
    sums = np.zeros(32, np.int32)
    launch = Launch("stages", "stages", (1, 1), (64, 1), np.array([sums.ctypes.data], np.uint64))
    block = Block(Code(STAGES.splitlines()), launch, (0, 0), Memory([sums]))
    # Seven until the second warp ends, then of the first one two, three turns of six, and four.
    assert block.run() == 2 * 7 + 2 + 3 * 6 + 4
    np.testing.assert_array_equal(sums, 3 * np.arange(32) + 3)


@needs_compiler
@pytest.mark.parametrize(
    ("stem", "name"), [("minimum", "near<unsigned char, unsigned char>"), ("gaussian", "near<float, 4>")]
)
def test_one_more_load_leaves_the_budget_of_a_kernel_that_waits(stem, name):
    result = nvrtc.compile_kernel(stem, budget.ARCHITECTURE)
    lines = disassembled(result.cubin)[result.mangled[name]]
    loads = re.compile(r"(LD[GS]\S* )R\d+")
    twice = [text for line in lines for text in ([loads.sub(r"\1RZ", line)] if loads.search(line) else []) + [line]]
    radius, case = next(iter(interior.cases(stem, name).items()))
    allowed = {f"radius_{radius}": budget.budget()[stem][name][f"radius_{radius}"]}
    found = {f"radius_{radius}": interior.instructions(Code(lines), name, case)}
    assert budget.differences(stem, {name: found}, {name: allowed}) == []
    found = {f"radius_{radius}": interior.instructions(Code(twice), name, case)}
    (line,) = budget.differences(stem, {name: found}, {name: allowed})
    assert line.startswith(f"{name}: {found[f'radius_{radius}']} radius_{radius}, in the budget")


@pytest.mark.parametrize(
    ("registers", "shared", "threads", "warps"),
    [(32, 0, 256, 64), (64, 0, 256, 32), (65, 0, 256, 24), (255, 0, 256, 8), (32, 48 << 10, 256, 32), (16, 0, 32, 32)],
)
def test_occupancy(registers, shared, threads, warps):
    assert budget.occupancy(registers, shared, threads) == warps


def test_what_leaves_its_budget_is_told():
    allowed = {"size": 100, "registers": 40, "threads": 256, "warps": 48, "instructions": 10.0}
    assert budget.differences("k", {"k<int>": {**allowed, "size": 103}}, {"k<int>": allowed}) == []
    found = {**allowed, "size": 104, "registers": 30, "warps": 40, "instructions": 8.0}
    assert budget.differences("k", {"k<int>": found}, {"k<int>": allowed}) == [
        "k<int>: 104 size, in the budget 100",
        f"k<int>: 30 registers, in the budget 40: lower the budget with {budget.COMMAND}",
        "k<int>: 40 warps fit, in the budget 48",
        f"k<int>: 8.0 instructions, in the budget 10.0: lower the budget with {budget.COMMAND}",
    ]
    del found["instructions"]
    lines = budget.differences("k", {"k<int>": found, "k<float>": allowed}, {"k<int>": allowed, "k<char>": allowed})
    assert "k<int>: instructions is now not counted, in the budget 10.0" in lines
    assert "k has no budget for k<float>" in lines
    assert "k has a budget for k<char>, which there is not" in lines
