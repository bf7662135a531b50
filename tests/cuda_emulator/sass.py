"""Machine code of a kernel as a graph of basic blocks, and the ways through it."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from tests.cuda_emulator import nvrtc

_INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:@(!?)(U?P\w+)\s+)?([A-Z][\w.]*)\s*(.*?)\s*;")
_LABEL = re.compile(r"^(\.L\w+):")
_TARGET = re.compile(r"`\((\.L\w+|[^)]+)\)")
_ADDRESS = re.compile(r"\[R\w+(?:\.64|\.U32)?(?:\+\S+?)?\]")
WIDTHS = {"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16}


class Instruction(NamedTuple):
    """One instruction; the condition is "" or a predicate, with "!" before it where it must be false."""

    condition: str
    opcode: str
    operands: str

    def bytes(self, kind: str) -> int:
        """What a thread moves with it, if it is of this kind ("LDG", "STG")."""
        parts = self.opcode.split(".")
        return next((WIDTHS[part] for part in parts if part in WIDTHS), 4) if parts[0] == kind else 0

    @property
    def target(self) -> str:
        found = _TARGET.search(self.operands)
        return found[1] if found else ""


class Way(NamedTuple):
    """What a thread loads and stores on a way through blocks, in bytes, and how many instructions that takes."""

    loaded: int
    stored: int
    instructions: int


def _shortest(ways: Iterable[Way]) -> list[Way]:
    """Without those that store as much as another one, load no more, and have no fewer instructions."""
    kept: list[Way] = []
    for way in sorted(ways, key=lambda way: (way.stored, way.instructions, -way.loaded)):
        if not kept or kept[-1].stored != way.stored or way.loaded > kept[-1].loaded:
            kept.append(way)
    return kept


def disassembled(cubin: bytes) -> dict[str, list[str]]:
    """The lines of machine code by mangled kernel name."""
    nvdisasm = nvrtc.wheel_file("*/bin/nvdisasm*")
    assert nvdisasm is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        text = subprocess.run([nvdisasm, "-c", path], check=True, capture_output=True, text=True).stdout
    parts = re.split(r"^\.text\.(\S+):$", text, flags=re.MULTILINE)
    return {name: code.splitlines() for name, code in zip(parts[1::2], parts[2::2], strict=True)}


class Code:
    """The basic blocks of a kernel, numbered in the order of their addresses, and where each may go."""

    def __init__(self, lines: list[str]) -> None:
        self.blocks: list[list[Instruction]] = [[]]
        self.labels: dict[str, int] = {}
        for line in lines:
            label = _LABEL.match(line)
            found = _INSTRUCTION.search(line)
            if label:
                self._start()
                self.labels[label[1]] = len(self.blocks) - 1
            elif found:
                instruction = Instruction((found[2] or "") + (found[3] or ""), found[4], found[5])
                self.blocks[-1].append(instruction)
                if _ends_block(instruction):
                    self._start()
        self.following = [self._following(number) for number in range(len(self.blocks))]

    def _start(self) -> None:
        if self.blocks[-1]:
            self.blocks.append([])

    def _following(self, number: int) -> tuple[int, ...]:
        block = self.blocks[number]
        last = block[-1] if block else None
        after = (number + 1,) if number + 1 < len(self.blocks) else ()
        if last is None:
            return after
        kind = last.opcode.split(".")[0]
        if kind in ("EXIT", "RET", "KILL"):
            return after if last.condition else ()
        if kind == "BSYNC":
            return self._joined(number, last.operands)
        if kind not in ("BRA", "BRX", "JMP"):
            return after
        target = self.labels.get(last.target)
        # A second predicate or a uniform one among the operands is a condition too.
        conditional = last.condition or not last.operands.startswith("`")
        return tuple(dict.fromkeys((*(after if conditional else ()), *(() if target is None else (target,)))))

    def _joined(self, number: int, barrier: str) -> tuple[int, ...]:
        """Where threads go on that have waited for each other: where the BSSY before, of this barrier, says."""
        for block in reversed(self.blocks[: number + 1]):
            for instruction in reversed(block):
                if instruction.opcode.startswith("BSSY") and instruction.operands.split(",")[0] == barrier:
                    return (self.labels[instruction.target],)
        return (number + 1,)

    @cached_property
    def reachable(self) -> frozenset[int]:
        return frozenset(self._order)

    @cached_property
    def _order(self) -> tuple[int, ...]:
        """Blocks that can be reached from the first, each after all those before it, but for loops."""
        done: list[int] = []
        seen = {0}
        open_blocks = [(0, iter(self.following[0]))]
        while open_blocks:
            for after in open_blocks[-1][1]:
                if after not in seen:
                    seen.add(after)
                    open_blocks.append((after, iter(self.following[after])))
                    break
            else:
                done.append(open_blocks.pop()[0])
        return tuple(reversed(done))

    @cached_property
    def _dominators(self) -> dict[int, set[int]]:
        """For each block those that every way from the first one passes, with itself."""
        before: dict[int, list[int]] = {block: [] for block in self._order}
        for block in self._order:
            for after in self.following[block]:
                before[after].append(block)
        found = {block: set(self._order) for block in self._order}
        found[0] = {0}
        changed = True
        while changed:
            changed = False
            for block in self._order[1:]:
                passed = set.intersection(*(found[one] for one in before[block])) | {block}
                if passed != found[block]:
                    found[block], changed = passed, True
        return found

    @cached_property
    def back_edges(self) -> frozenset[tuple[int, int]]:
        """Edges to a block that dominates their beginning."""
        return frozenset(
            (block, after)
            for block in self._order
            for after in self.following[block]
            if after in self._dominators[block]
        )

    @cached_property
    def loops(self) -> dict[int, frozenset[int]]:
        """Natural loops by their heads: the blocks that reach a back edge to the head without passing it."""
        before: dict[int, set[int]] = {}
        for block in self._order:
            for after in self.following[block]:
                before.setdefault(after, set()).add(block)
        found: dict[int, set[int]] = {}
        for end, head in self.back_edges:
            body = found.setdefault(head, {head})
            waiting = [end]
            while waiting:
                block = waiting.pop()
                if block not in body:
                    body.add(block)
                    waiting += before.get(block, ())
        return {head: frozenset(body) for head, body in sorted(found.items())}

    def moved(self, number: int, kind: str) -> int:
        """What a block moves; of two accesses to one address under opposite conditions only one is made."""
        seen: set[tuple[str, str]] = set()
        total = 0
        for instruction in self.blocks[number]:
            size = instruction.bytes(kind)
            address = _ADDRESS.search(instruction.operands)
            opposite = instruction.condition[1:] if instruction.condition[:1] == "!" else f"!{instruction.condition}"
            place = address[0] if address else instruction.operands
            if size and (not instruction.condition or (place, opposite) not in seen):
                total += size
            seen.add((place, instruction.condition))
        return total

    def inner(self, head: int) -> frozenset[int]:
        """The blocks of a loop that are in none inside it; for -1 those of the kernel that are in no loop."""
        body = frozenset(self._order) if head < 0 else self.loops[head]
        inside = [other for at, other in self.loops.items() if at != head and other <= body]
        return body - frozenset().union(*inside)

    def loads_inside(self, head: int) -> bool:
        """Whether loops inside a loop load from global memory."""
        return any(self.moved(number, "LDG") for number in self.loops[head] - self.inner(head))

    def ways(self, head: int, loads: tuple[str, ...] = ("LDG",)) -> list[Way]:
        """Turns of a loop that enter no loop inside; for -1 ways from the first block to an exit that enter no loop.

        Of those that load and store the same the shortest one, and none that loads less in as many instructions.
        """
        allowed = self.inner(head)
        found: dict[int, list[Way]] = {}
        for block in reversed(self._order):
            if block not in allowed:
                continue
            following = self.following[block]
            ends = not following or self._exits(block) if head < 0 else (block, head) in self.back_edges
            rest = [Way(0, 0, 0)] if ends else []
            for after in following:
                if (block, after) not in self.back_edges:
                    rest += found.get(after, ())
            loaded, stored = sum(self.moved(block, kind) for kind in loads), self.moved(block, "STG")
            size = len(self.blocks[block])
            found[block] = _shortest(Way(w.loaded + loaded, w.stored + stored, w.instructions + size) for w in rest)
        return found.get(max(head, 0), [])

    def waits(self) -> bool:
        """Whether threads wait for others of their block anywhere."""
        return any(instruction.opcode.startswith("BAR") for instruction in self)

    def _exits(self, number: int) -> bool:
        """Whether threads may end here under a condition."""
        block = self.blocks[number]
        return bool(block) and block[-1].opcode == "EXIT"

    def __iter__(self) -> Iterator[Instruction]:
        for number in sorted(self.reachable):
            yield from self.blocks[number]


def _ends_block(instruction: Instruction) -> bool:
    return instruction.opcode.split(".")[0] in ("BRA", "BRX", "JMP", "EXIT", "RET", "KILL", "BSYNC")
