"""Inline PTX as C++, so that the branches that only a device compiles run on the CPU, too.

A statement ``asm("min.NaN.f32 %0, %1, %2;" : "=f"(least) : "f"(a), "f"(b));`` becomes a block that does the same.
Instructions that are not among `INSTRUCTIONS` are an error: whoever uses a new one says here what it does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

ARCHITECTURE = 900  # that code asks for by __CUDA_ARCH__

# What the C++ calls. An approximate reciprocal root is wrong by up to two units in the last place; here, too.
SUPPORT = """
#include <cmath>
#include <cstdint>
#include <cstring>
namespace emulated_ptx {
static thread_local std::uint64_t shared_window = 0;
inline unsigned long long to_shared(const void* p) {
  shared_window = reinterpret_cast<std::uint64_t>(p) >> 32 << 32;
  return reinterpret_cast<std::uint64_t>(p);
}
inline void check(std::uint64_t address, unsigned size) {
  if (address % size) __builtin_trap();  // a device would stop, too
}
template <typename V>
void store(std::uint64_t address, V value) {
  std::memcpy(reinterpret_cast<void*>(address), &value, sizeof value);
}
template <typename V>
V load(std::uint64_t address) {
  check(address, sizeof(V));
  V value;
  std::memcpy(&value, reinterpret_cast<const void*>(address), sizeof value);
  return value;
}
inline float min_nan(float a, float b) { return a != a ? a : b != b ? b : a < b ? a : b; }
inline int dp2a(unsigned weights, unsigned bytes, int sum) {
  return sum + std::int16_t(weights) * int(bytes & 255) + std::int16_t(weights >> 16) * int(bytes >> 8 & 255);
}
inline float rsqrt_approx(float v) {
  float found = float(1 / std::sqrt(double(v)));
  std::uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  const float towards = bits & 1 ? 0.f : 1e38f;
  for (unsigned turn = bits * 2654435761u >> 30; turn > 1; --turn) found = std::nextafterf(found, towards);
  return found;
}
}  // namespace emulated_ptx
#define __cvta_generic_to_shared(p) emulated_ptx::to_shared(p)
"""

ADDRESS = re.compile(r"\[(\w+)(?:\+(\d+))?\]")


def _address(operand: str, space: str) -> str:
    found = ADDRESS.fullmatch(operand)
    assert found, operand
    high = "emulated_ptx::shared_window | " if space == "shared" else ""
    return f"({high}(std::uint64_t)({found[1]})) + {found[2] or 0}"


def _store(space: str, count: int, ctype: str) -> Callable[..., str]:
    def made(address: str, *values: str) -> str:
        if len(values) != count:
            raise ValueError(f"{count} values are stored, {len(values)} are given")
        begin = _address(address, space)
        stores = [
            f"emulated_ptx::store<{ctype}>({begin} + {number} * sizeof({ctype}), {value});"
            for number, value in enumerate(values)
        ]
        return " ".join([f"emulated_ptx::check({begin}, {count} * sizeof({ctype}));", *stores])

    return made


def _load(ctype: str) -> Callable[..., str]:
    return lambda to, address: f"{to} = emulated_ptx::load<{ctype}>({_address(address, 'global')});"


INSTRUCTIONS: dict[str, Callable[..., str]] = {
    "st.global.v4.b32": _store("global", 4, "std::uint32_t"),
    "st.global.v2.b32": _store("global", 2, "std::uint32_t"),
    "st.shared.v4.f32": _store("shared", 4, "float"),
    "st.shared.v2.f64": _store("shared", 2, "double"),
    "ld.global.nc.u8": _load("std::uint8_t"),
    "ld.global.nc.u16": _load("std::uint16_t"),
    "ld.global.nc.s16": _load("std::int16_t"),
    "min.NaN.f32": lambda to, a, b: f"{to} = emulated_ptx::min_nan({a}, {b});",
    "dp2a.lo.s32.u32": lambda to, a, b, c: f"{to} = emulated_ptx::dp2a({a}, {b}, {c});",
    "dp2a.hi.s32.u32": lambda to, a, b, c: f"{to} = emulated_ptx::dp2a({a}, {b} >> 16, {c});",
    "rsqrt.approx.ftz.f32": lambda to, v: f"{to} = emulated_ptx::rsqrt_approx({v});",
    "setp.ne.s32": lambda to, a, b: f"predicate_{to} = {a} != {b};",
}


def translated(source: str) -> str:
    """A kernel's source with its assembly as C++."""
    made, end = [SUPPORT], 0
    for start, stop in _statements(source):
        made += [source[end:start], _block(source[start:stop])]
        end = stop
    return "".join([*made, source[end:]])


def _statements(source: str) -> Iterator[tuple[int, int]]:
    """Where statements of assembly begin and end."""
    for found in re.finditer(r"\basm\b(\s+volatile\b)?\s*\(", source):
        line = source[source.rfind("\n", 0, found.start()) + 1 : found.start()]
        if "//" not in line:
            yield found.start(), source.index(";", _closing(source, found.end())) + 1


def _closing(text: str, at: int) -> int:
    """Where the bracket ends that was opened before ``at``."""
    depth = 1
    for found in re.compile(r'"(?:\\.|[^"\\])*"|[()]').finditer(text, at):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0:
            return found.start()
    raise ValueError("a bracket is not closed")


def _parts(text: str, separator: str) -> list[str]:
    """The parts of a text between separators that stand in no brackets and no string."""
    parts, depth = [""], 0
    for token in re.findall(r'"(?:\\.|[^"\\])*"|.', text, re.DOTALL):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    return parts


def _block(statement: str) -> str:
    """A statement of assembly as C++."""
    inside = statement[statement.index("(") + 1 : statement.rindex(")")]
    text, *lists = _parts(inside.replace("::", ": :"), ":")
    code = "".join(re.findall(r'"((?:\\.|[^"\\])*)"', text)).replace("\\n", "\n")
    operands = [_expression(each) for part in lists[:2] for each in _parts(part, ",") if each.strip()]
    lines = [_instruction(each.strip(), operands) for each in code.strip().strip("{}").split(";") if each.strip()]
    return f"{{ {' '.join(filter(None, lines))} }}"


def _expression(operand: str) -> str:
    found = re.match(r'\s*"[=+]?(\w)"\s*(\(.*\))\s*$', operand, re.DOTALL)
    if found is None:
        raise ValueError(f"an operand that is not known: {operand}")
    return found[2]


def _instruction(text: str, operands: list[str]) -> str:
    if text.startswith(".reg .pred "):
        return f"bool predicate_{text.removeprefix('.reg .pred ')} = false;"
    condition = ""
    if text.startswith("@"):
        predicate, text = text[1:].split(maxsplit=1)
        condition = f"if (predicate_{predicate}) "
    name, given = text.split(maxsplit=1)
    if name not in INSTRUCTIONS:
        raise ValueError(f"the emulator does not know the instruction {name}")
    places = [each.strip() for each in re.sub(r"[{}]", "", given).split(",")]
    # Numbers of operands become names first: what stands for one may hold commas and brackets.
    called = INSTRUCTIONS[name](*[re.sub(r"%(\d+)", r"operand_\1_", each) for each in places])
    made = re.sub(r"operand_(\d+)_", lambda found: operands[int(found[1])], called)
    return f"{condition}{{ {made} }}"
