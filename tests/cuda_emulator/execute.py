"""Runs a kernel's machine code (sm_90) for one block, to count the instructions that its warps issue.

All threads of the block go on together, those at the lowest address first, until they wait for each other. Integers and
memory are exact, so that every branch goes as on the GPU and whole results can be compared with the CPU's; rounding of
floats follows NumPy.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from tests.cuda_emulator.sass import Code, Instruction

U32, U64, I32, I64, F32, F64 = np.uint32, np.uint64, np.int32, np.int64, np.float32, np.float64
PARAMETERS = 0x210  # where a kernel's parameters begin in its constants
SHARED_BEGIN = 0x400
WARP = 32
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    name.upper(): getattr(operator, name) for name in ("lt", "le", "gt", "ge", "eq", "ne")
}
_DESCRIPTOR = re.compile(r"desc\[\w+\]")
_WIDTHS = {"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16}
_NO_WORK = ("NOP", "BSSY", "WARPSYNC", "BAR", "BMOV", "YIELD", "DEPBAR", "ERRBAR", "MEMBAR", "CCTL")


class Launch(NamedTuple):
    """One launch: what the kernel is called, its grid and block, and its parameters as 8 bytes each."""

    stem: str
    name: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    slots: np.ndarray


class NotExecutable(RuntimeError):
    """An instruction that this module does not know."""


class Memory:
    """The arrays that a kernel may read and write, at their addresses."""

    def __init__(self, arrays: Iterable[np.ndarray]) -> None:
        self._pieces = [(a.ctypes.data, a.reshape(-1).view(np.uint8)) for a in arrays if a.nbytes]
        self._written = {begin: np.zeros(piece.size, bool) for begin, piece in self._pieces}

    def written(self, array: np.ndarray) -> np.ndarray:
        """Which of an array's elements have been stored."""
        return self._written[array.ctypes.data].reshape(*array.shape, array.itemsize).all(-1)

    def _of(self, addresses: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
        low, high = int(addresses.min()), int(addresses.max())
        for begin, piece in self._pieces:
            if begin <= low and high < begin + piece.size:
                return begin, piece, (addresses - U64(begin)).astype(I64)
        raise IndexError(f"addresses {low:#x} to {high:#x} belong to no array")

    def load(self, addresses: np.ndarray, size: int) -> np.ndarray:
        _, piece, places = self._of(addresses)
        return piece[places[:, None] + np.arange(size)]

    def store(self, addresses: np.ndarray, values: np.ndarray) -> None:
        begin, piece, places = self._of(addresses)
        bytes_of = places[:, None] + np.arange(values.shape[1])
        piece[bytes_of] = values
        self._written[begin][bytes_of] = True


class Block:
    """The threads of a block of a launch, before their first instruction."""

    def __init__(self, code: Code, launch: Launch, index: tuple[int, int], memory: Memory) -> None:
        across, down = (*launch.block, 1)[:2]
        self.threads = across * down
        self.memory = memory
        self.shared = np.zeros(SHARED_BEGIN + (228 << 10), np.uint8)
        self.registers = np.zeros((256, self.threads), U32)
        self.uniform = np.zeros((64, self.threads), U32)
        self.predicates = {name: np.zeros(self.threads, bool) for name in _predicate_names()}
        self.constants = np.zeros(PARAMETERS + 8 * len(launch.slots), np.uint8)
        sizes = np.array([*(*launch.block, 1, 1)[:3], *(*launch.grid, 1, 1)[:3]], U32)
        self.constants[: sizes.nbytes] = sizes.view(np.uint8)
        self.constants[PARAMETERS:] = launch.slots.view(np.uint8)
        thread = np.arange(self.threads, dtype=U32)
        self.special = {
            "SR_TID.X": thread % U32(across),
            "SR_TID.Y": thread // U32(across),
            "SR_CTAID.X": np.full(self.threads, index[0], U32),
            "SR_CTAID.Y": np.full(self.threads, index[1], U32),
            "SR_LANEID": thread % U32(WARP),
        }
        self._begin(code)

    def _begin(self, code: Code) -> None:
        self.program = [one for block in code.blocks for one in block]
        starts = np.cumsum([0, *(len(block) for block in code.blocks)])
        self.labels = {label: int(starts[number]) for label, number in code.labels.items()}
        self.decoded: dict[int, tuple[list[str], list[str]]] = {}
        self.at = np.zeros(self.threads, I64)
        self.waiting = np.zeros(self.threads, bool)
        self.ended = np.zeros(self.threads, bool)
        self.joins: dict[str, np.ndarray] = {}
        self.issued = 0
        self.issued_by: dict[str, int] = {}

    def run(self) -> int:
        """The instructions that all warps issue until the block has ended."""
        with np.errstate(all="ignore"):
            while not self.ended.all():
                ready = ~(self.ended | self.waiting)
                if not ready.any():
                    self.waiting[:] = False
                    continue
                place = int(self.at[ready].min())
                self._step(place, ready & (self.at == place))
        return self.issued

    def _step(self, place: int, active: np.ndarray) -> None:
        one = self.program[place]
        if place not in self.decoded:
            texts = _DESCRIPTOR.sub("", one.operands).split(",")
            self.decoded[place] = (one.opcode.split("."), [text.strip() for text in texts if text.strip()])
        parts, operands = self.decoded[place]
        warps = len(np.unique(np.flatnonzero(active) // WARP))
        self.issued += warps
        self.issued_by[parts[0]] = self.issued_by.get(parts[0], 0) + warps
        chosen = active & self.predicate(one.condition) if one.condition else active
        self.at[active] = place + 1
        if not self._went(one, parts, operands, chosen):
            self._work(one, parts, operands, chosen)

    # ------------------------------------------------------------ control

    def _went(self, one: Instruction, parts: list[str], operands: list[str], chosen: np.ndarray) -> bool:
        kind = parts[0]
        if kind == "BRA":
            if "DIV" not in parts:
                for text in operands[:-1]:
                    chosen = chosen & self.predicate(text)
                self.at[chosen] = self.labels[one.target]
        elif kind == "EXIT":
            self.ended |= chosen
        elif kind == "BAR":
            self.waiting |= chosen
        elif kind == "BSSY":
            self.joins.setdefault(operands[0], np.zeros(self.threads, I64))[chosen] = self.labels[one.target]
        elif kind == "BSYNC":
            self.at[chosen] = self.joins[operands[0]][chosen]
        elif kind not in _NO_WORK:
            return False
        elif "COLLECTIVE" in parts:
            raise NotExecutable(one.opcode)
        return True

    # ------------------------------------------------------------ operands

    def predicate(self, text: str) -> np.ndarray:
        if text[0] == "!":
            return ~self.predicate(text[1:])
        if text in ("PT", "UPT"):
            return np.ones(self.threads, bool)
        return self.predicates[text]

    def set_predicate(self, text: str, value: np.ndarray, chosen: np.ndarray) -> None:
        if text not in ("PT", "UPT"):
            np.copyto(self.predicates[text], value, where=chosen)

    def _file(self, text: str) -> tuple[np.ndarray, int] | None:
        found = re.fullmatch(r"(U?)R(\d+|Z)", text)
        if not found:
            return None
        return (self.uniform if found[1] else self.registers), -1 if found[2] == "Z" else int(found[2])

    def raw(self, text: str, more: int = 0) -> np.ndarray:
        """A register, constant or number without its sign; `more` words behind it."""
        place = self._file(text)
        if place:
            file, number = place
            return np.zeros(self.threads, U32) if number < 0 else file[number + more]
        found = re.fullmatch(r"c\[0x0\]\[(.*)\]", text)
        if found:
            at = (
                sum(
                    np.full(self.threads, int(part, 16)) if part.startswith("0x") else self.raw(part).astype(I64)
                    for part in found[1].split("+")
                )
                + 4 * more
            )
            return self.constants[at[:, None] + np.arange(4)].copy().view(U32)[:, 0]
        if re.fullmatch(r"0x[0-9a-f]+", text):
            return np.full(self.threads, int(text, 16) >> 32 * more & 0xFFFFFFFF, U32)
        raise NotExecutable(text)

    def integer(self, text: str) -> np.ndarray:
        """An operand as 32 bits."""
        text = text.replace(".reuse", "")
        if text[0] == "-":
            return (~self.integer(text[1:])) + U32(1)
        if text[0] == "~":
            return ~self.integer(text[1:])
        half = re.fullmatch(r"(.*)\.([HB])(\d)(?:_H\d)?", text)
        if half:
            return self.raw(half[1]) >> U32(int(half[3]) * (16 if half[2] == "H" else 8))
        return self.raw(text)

    def wide(self, text: str) -> np.ndarray:
        """An operand of two registers."""
        text = text.replace(".reuse", "").replace(".64", "")
        if text[0] == "-":
            return ~self.wide(text[1:]) + U64(1)
        return self.raw(text).astype(U64) | self.raw(text, 1).astype(U64) << U64(32)

    def real(self, text: str, kind: type = F32) -> np.ndarray:
        text = text.replace(".reuse", "")
        if text[0] == "-":
            return -self.real(text[1:], kind)
        if text[0] == "|":
            return np.abs(self.real(text.strip("|"), kind))
        if re.match(r"U?R|c\[", text):
            return self.raw(text).view(F32) if kind is F32 else self.wide(text).view(F64)
        if text.startswith("0x"):
            return self.raw(text).view(F32)
        numbers = {"+INF": np.inf, "INF": np.inf, "+QNAN": np.nan, "QNAN": np.nan}
        return np.full(self.threads, numbers.get(text) or float(text), kind)

    def set(self, text: str, value: np.ndarray, chosen: np.ndarray, more: int = 0) -> None:
        place = self._file(text)
        assert place, text
        file, number = place
        if number >= 0:
            np.copyto(file[number + more], value.view(U32) if value.itemsize == 4 else value.astype(U32), where=chosen)

    def set_wide(self, text: str, value: np.ndarray, chosen: np.ndarray) -> None:
        bits = value.view(U64)
        self.set(text, (bits & U64(0xFFFFFFFF)).astype(U32), chosen)
        self.set(text, (bits >> U64(32)).astype(U32), chosen, 1)

    def address(self, text: str) -> np.ndarray:
        total = np.zeros(self.threads, U64)
        parts = text.strip("[]").replace("+-", "+~").split("+")
        pair = any(".64" in part or ".U32" in part for part in parts)
        for part in parts:
            name, _, form = part.partition(".")
            if name.startswith("~0x"):
                total -= U64(int(name[1:], 16))
            elif name.startswith(("0x", "-0x")):
                total += U64(int(name, 16) & (1 << 64) - 1)
            else:
                is_wide = form == "64" or (pair and name.startswith("U"))
                value = self.wide(name) if is_wide else self.raw(name).astype(U64)
                total += value * U64(int(form[1:]) if form.startswith("X") else 1)
        return total if pair else total & U64(0xFFFFFFFF)

    # ------------------------------------------------------------ work

    def _work(self, one: Instruction, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        kind = parts[0]
        if kind in ("LDG", "LDS", "STG", "STS", "LD", "ST"):
            self._moves(parts, operands, chosen)
            return
        uniform = kind.startswith("U") and kind != "U"
        method = getattr(self, f"do_{(kind[1:] if uniform else kind).lower()}", None)
        if method is None:
            raise NotExecutable(f"{one.opcode} {one.operands}")
        method(parts, operands, chosen)

    def _moves(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        if not chosen.any():
            return
        size = next((_WIDTHS[part] for part in parts if part in _WIDTHS), 4)
        words, loads = -(-size // 4), parts[0].startswith("LD")
        addresses = self.address(operands[loads])[chosen]
        values = np.zeros((len(addresses), 4 * words), np.uint8)
        places = (addresses.astype(I64))[:, None] + np.arange(size)
        register = operands[not loads]
        if loads:
            values[:, :size] = self.shared[places] if parts[0] == "LDS" else self.memory.load(addresses, size)
            if "S8" in parts or "S16" in parts:
                values[:, size:] = np.where(values[:, size - 1] > 127, 255, 0)[:, None]
            for i in range(words):
                whole = np.zeros(self.threads, U32)
                whole[chosen] = values[:, 4 * i : 4 * i + 4].copy().view(U32)[:, 0]
                self.set(register, whole, chosen, i)
            return
        for i in range(words):
            values[:, 4 * i : 4 * i + 4] = (
                self.raw(register.replace(".reuse", ""), i)[chosen].copy().view(np.uint8).reshape(-1, 4)
            )
        if parts[0] == "STS":
            self.shared[places] = values[:, :size]
        else:
            self.memory.store(addresses, values[:, :size])

    def _targets(self, operands: list[str]) -> tuple[list[str], str, list[str]]:
        """Predicates before or behind the register that a result goes to, the register, what is left."""
        register, rest, predicates = operands[0], operands[1:], []
        while rest and re.fullmatch(r"U?P(\d|T)", rest[0]):
            predicates.append(rest.pop(0))
        return predicates, register, rest

    def _carry(self, parts: list[str], rest: list[str]) -> np.ndarray:
        carries = [self.predicate(text) for text in rest if re.fullmatch(r"!?U?P(\d|T)", text)] if "X" in parts else []
        return sum((carry.astype(U64) for carry in carries), np.zeros(self.threads, U64))

    def _sum(self, targets: tuple[list[str], str, list[str]], total: np.ndarray, chosen: np.ndarray) -> None:
        predicates, register, _ = targets
        self.set(register, (total & U64(0xFFFFFFFF)).astype(U32), chosen)
        for i, name in enumerate(predicates):
            self.set_predicate(name, total >> U64(32) > i, chosen)

    def _term(self, text: str) -> np.ndarray:
        """An addend whose sign adds to the carry as in the adder: the complement and one."""
        if text[0] == "-" and not text.startswith("-0x"):
            return (~self.integer(text[1:])).astype(U64) + U64(1)
        return self.integer(text).astype(U64)

    def do_iadd3(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        targets = self._targets(operands)
        total = sum((self._term(text) for text in targets[2][:3]), self._carry(parts, targets[2][3:]))
        self._sum(targets, total, chosen)

    def do_imad(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        targets = self._targets(operands)
        a, b, c = targets[2][:3]
        if "WIDE" in parts or "HI" in parts:
            form = U32 if "U32" in parts else I32
            product = (self.integer(a).view(form).astype(I64) * self.integer(b).view(form).astype(I64)).view(U64)
            if "U32" in parts:
                product = self.integer(a).astype(U64) * self.integer(b).astype(U64)
            total = product + self.wide(c)
            for name in targets[0]:
                self.set_predicate(name, total < product, chosen)
            if "HI" in parts:
                self.set(targets[1], (total >> U64(32)).astype(U32), chosen)
            else:
                self.set_wide(targets[1], total, chosen)
            return
        product = (self.integer(a) * self.integer(b)).astype(U64)
        self._sum(targets, product + self._term(c) + self._carry(parts, targets[2][3:]), chosen)

    def do_lea(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        targets = self._targets(operands)
        rest = targets[2]
        a = self.integer(rest[0]).astype(U64)
        if "HI" not in parts:
            shift = U64(int(rest[2], 16)) if len(rest) > 2 else U64(0)
            self._sum(targets, (a << shift & U64(0xFFFFFFFF)) + self._term(rest[1]), chosen)
            return
        if "SX32" in parts:
            high, at = (a.astype(U32).view(I32) >> I32(31)).view(U32).astype(U64), 2
        else:
            high, at = self.integer(rest[2]).astype(U64), 3
        shifted = (high << U64(32) | a) >> U64(32 - int(rest[at], 16))
        total = (shifted & U64(0xFFFFFFFF)) + self._term(rest[1]) + self._carry(parts, rest[at + 1 :])
        self._sum(targets, total, chosen)

    def _looked_up(self, table: int, a: np.ndarray, b: np.ndarray, c: np.ndarray, all_bits: Any) -> np.ndarray:
        total = a ^ a
        for i in range(8):
            if table >> i & 1:
                total = total | (a if i & 4 else a ^ all_bits) & (b if i & 2 else b ^ all_bits) & (
                    c if i & 1 else c ^ all_bits
                )
        return total

    def do_lop3(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        predicates = operands[:1] if re.fullmatch(r"U?P(\d|T)", operands[0]) else []
        register, a, b, c, table = operands[len(predicates) :][:5]
        value = self._looked_up(int(table, 16), self.integer(a), self.integer(b), self.integer(c), U32(0xFFFFFFFF))
        self.set(register, value, chosen)
        for name in predicates:
            self.set_predicate(name, value != 0, chosen)

    def do_plop3(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        a, b, c = (self.predicate(text) for text in operands[2:5])
        for name, table in zip(operands[:2], operands[5:7], strict=True):
            self.set_predicate(name, self._looked_up(int(table, 16), a, b, c, True), chosen)

    def do_shf(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        register, a, by, c = operands[:4]
        count = self.integer(by).astype(U64)
        low, high = self.integer(a).astype(U64), self.integer(c).astype(U64)
        count = count & U64(31) if "W" in parts else np.minimum(count, U64(63 if "64" in "".join(parts) else 32))
        both = high << U64(32) | low
        if "L" in parts:
            shifted = both << count
        elif "S32" in parts or "S64" in parts:
            shifted = (both.view(I64) >> count.view(I64)).view(U64)
        else:
            shifted = both >> count
        self.set(register, (shifted >> U64(32) if "HI" in parts else shifted & U64(0xFFFFFFFF)).astype(U32), chosen)

    def do_isetp(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        form = U32 if "U32" in parts else I32
        a, b = self.integer(operands[2]).view(form), self.integer(operands[3]).view(form)
        found = _COMPARE[parts[1]](a, b)
        if "EX" in parts:
            lower = self.predicate(operands[5])
            strict = {"GE": operator.gt, "LE": operator.lt, "EQ": operator.ne}.get(parts[1], _COMPARE[parts[1]])
            equal = a == b
            found = equal & lower if parts[1] == "EQ" else strict(a, b) | equal & lower
        self._compared(parts, operands, found, chosen)

    def _compared(self, parts: list[str], operands: list[str], found: np.ndarray, chosen: np.ndarray) -> None:
        other = self.predicate(operands[4])
        join = operator.and_ if "AND" in parts else operator.or_ if "OR" in parts else operator.xor
        first, second = join(found, other), join(~found, other)
        self.set_predicate(operands[0], first, chosen)
        self.set_predicate(operands[1], second, chosen)

    def _real_compared(self, parts: list[str], operands: list[str], chosen: np.ndarray, kind: type) -> None:
        a, b = self.real(operands[2], kind), self.real(operands[3], kind)
        unordered = np.isnan(a) | np.isnan(b)
        name = parts[1]
        if name in ("NUM", "NAN"):
            found = unordered if name == "NAN" else ~unordered
        elif name.endswith("U"):
            found = _COMPARE[name[:-1]](a, b) | unordered
        else:
            found = _COMPARE[name](a, b) & ~unordered
        self._compared(parts, operands, found, chosen)

    def do_fsetp(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        self._real_compared(parts, operands, chosen, F32)

    def do_fset(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        a, b = self.real(operands[1]), self.real(operands[2])
        found = _COMPARE[parts[2]](a, b) & self.predicate(operands[3])
        self.set(operands[0], found.astype(F32) if parts[1] == "BF" else np.where(found, ~U32(0), U32(0)), chosen)

    def do_dsetp(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        self._real_compared(parts, operands, chosen, F64)

    def do_sel(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        a, b = self.integer(operands[1]), self.integer(operands[2])
        self.set(operands[0], np.where(self.predicate(operands[3]), a, b), chosen)

    def do_fsel(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        a, b = self.real(operands[1]), self.real(operands[2])
        self.set(operands[0], np.where(self.predicate(operands[3]), a, b), chosen)

    def do_fmnmx(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        a, b = self.real(operands[1]), self.real(operands[2])
        least, most = (np.minimum, np.maximum) if "NAN" in parts else (np.fmin, np.fmax)
        self.set(operands[0], np.where(self.predicate(operands[3]), least(a, b), most(a, b)), chosen)

    def _extreme(self, parts: list[str], values: list[np.ndarray], text: str) -> np.ndarray:
        form: Any = I32
        for part in parts:
            form = {"U32": U32, "U16x2": np.uint16, "S16x2": np.int16}.get(part, form)
        least = np.repeat(self.predicate(text), 4 // np.dtype(form).itemsize)
        total = values[0].copy().view(form)
        for value in values[1:]:
            other = value.copy().view(form)
            total = np.where(least, np.minimum(total, other), np.maximum(total, other))
        if "RELU" in parts:
            total = np.maximum(total, form(0))
        return np.ascontiguousarray(total).view(U32)

    def do_vimnmx(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        values = [self.integer(text) for text in operands[1:-1]]
        self.set(operands[0], self._extreme(parts, values, operands[-1]), chosen)

    do_vimnmx3 = do_imnmx = do_vimnmx

    def do_viaddmnmx(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        a, b, c = (self.integer(text) for text in operands[1:4])
        self.set(operands[0], self._extreme(parts, [a + b, c], operands[4]), chosen)

    def do_prmt(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        if len(parts) > 1:
            raise NotExecutable(".".join(parts))
        a, by, c = (self.integer(text) for text in operands[1:4])
        total = np.zeros(self.threads, U32)
        both = c.astype(U64) << U64(32) | a.astype(U64)
        for i in range(4):
            choice = by >> U32(4 * i)
            byte = (both >> (U64(8) * (choice & U32(7)).astype(U64)) & U64(255)).astype(U32)
            byte = np.where(choice & U32(8), np.where(byte > 127, U32(255), U32(0)), byte)
            total |= byte << U32(8 * i)
        self.set(operands[0], total, chosen)

    def do_idp(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        if parts[1:] not in (["2A", "LO", "S16", "U8"], ["2A", "HI", "S16", "U8"]):
            raise NotExecutable(".".join(parts))
        weights, values, total = (self.integer(text) for text in operands[1:4])
        values = values >> U32(16 if "HI" in parts else 0)
        for i in range(2):
            weight = (weights >> U32(16 * i)).astype(np.uint16).view(np.int16).astype(I32).view(U32)
            total = total + weight * (values >> U32(8 * i) & U32(255))
        self.set(operands[0], total, chosen)

    def do_viadd(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        self.set(operands[0], self.integer(operands[1]) + self.integer(operands[2]), chosen)

    def do_mov(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        self.set(operands[0], self.integer(operands[1]), chosen)

    def do_iabs(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        self.set(operands[0], np.abs(self.integer(operands[1]).view(I32)), chosen)

    def do_ldc(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        for i in range(2 if "64" in parts else 1):
            self.set(operands[0], self.raw(operands[1], i), chosen, i)

    def do_s2r(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        self.set(operands[0], self.special.get(operands[1], np.zeros(self.threads, U32)), chosen)

    def do_s2ur(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        self.do_s2r(parts, operands, chosen)

    def do_cs2r(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        for i in range(1 if "32" in parts else 2):
            self.set(operands[0], np.zeros(self.threads, U32), chosen, i)

    def do_r2ur(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        self.set(operands[-2], self.integer(operands[-1]), chosen)

    def do_p2r(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        bits = sum((self.predicates[f"P{i}"].astype(U32) << U32(i) for i in range(7)), np.zeros(self.threads, U32))
        mask = self.integer(operands[3])
        self.set(operands[0], bits & mask | self.integer(operands[2]) & ~mask, chosen)

    def do_flo(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        value = self.integer(operands[1]).astype(F64)
        self.set(operands[0], np.where(value > 0, np.floor(np.log2(np.maximum(value, 1))), -1).astype(I32), chosen)

    def do_hfma2(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        if operands[1:3] != ["-RZ", "RZ"]:
            raise NotExecutable(f"HFMA2 {operands}")
        high, low = (np.array([float(text)], np.float16).view(np.uint16)[0] for text in operands[3:5])
        self.set(operands[0], np.full(self.threads, int(high) << 16 | int(low), U32), chosen)

    # ------------------------------------------------------------ floats

    def do_fadd(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        self.set(operands[0], self.real(operands[1]) + self.real(operands[2]), chosen)

    def do_fmul(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        self.set(operands[0], self.real(operands[1]) * self.real(operands[2]), chosen)

    def do_ffma(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        a, b, c = (self.real(text).astype(F64) for text in operands[1:4])
        exact = a * b + c
        value = exact.astype(F32)
        if "RM" in parts:
            value = np.where(value > exact, np.nextafter(value, F32(-np.inf)), value)
        self.set(operands[0], value, chosen)

    def do_dadd(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        self.set_wide(operands[0], self.real(operands[1], F64) + self.real(operands[2], F64), chosen)

    def do_dmul(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        self.set_wide(operands[0], self.real(operands[1], F64) * self.real(operands[2], F64), chosen)

    def do_dfma(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        a, b, c = (self.real(text, F64) for text in operands[1:4])
        self.set_wide(operands[0], a * b + c, chosen)

    def do_mufu(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        if parts[1] == "RCP64H":
            number = re.fullmatch(r"-?[0-9.]+", operands[1])
            high = (
                self.real(operands[1], F64) if number else (self.integer(operands[1]).astype(U64) << U64(32)).view(F64)
            )
            self.set(operands[0], ((1 / high).view(U64) >> U64(32)).astype(U32), chosen)
            return
        a = self.real(operands[1])
        table: dict[str, Callable[[Any], Any]] = {
            "RCP": lambda a: 1 / a,
            "RSQ": lambda a: 1 / np.sqrt(a),
            "SQRT": np.sqrt,
        }
        self.set(operands[0], table[parts[1]](a).astype(F32), chosen)

    def do_fchk(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        self.set_predicate(operands[0], np.zeros(self.threads, bool), chosen)

    def do_i2f(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        form = next(
            (getattr(np, {"U": "uint", "S": "int"}[p[0]] + p[1:]) for p in parts if re.fullmatch(r"[US]\d+", p)), I32
        )
        value = self.integer(operands[1]).astype(form) if form not in (I32,) else self.integer(operands[1]).view(I32)
        if "F64" in parts:
            self.set_wide(operands[0], value.astype(F64), chosen)
        else:
            self.set(operands[0], value.astype(F32), chosen)

    do_i2fp = do_i2f

    def do_f2i(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        value = self.real(operands[1], F64 if "F64" in parts else F32)
        whole = np.trunc(value) if "TRUNC" in parts else np.floor(value) if "FLOOR" in parts else np.rint(value)
        self.set(operands[0], np.nan_to_num(whole).astype(I64).astype(U32), chosen)

    def do_f2f(self, parts: list[str], operands: list[str], chosen: np.ndarray) -> None:
        if parts[1:3] == ["F32", "F64"]:
            self.set(operands[0], self.real(operands[1], F64).astype(F32), chosen)
        else:
            self.set_wide(operands[0], self.real(operands[1]).astype(F64), chosen)


def _predicate_names() -> list[str]:
    return [f"{kind}P{i}" for kind in ("", "U") for i in range(7)]
