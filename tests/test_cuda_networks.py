"""The networks of the CUDA medians and other ranks: right for all windows of zeros and ones, and so for all others."""

import shutil
import subprocess

import pytest

from gpuimg import kernels
from tests.cuda_emulator.build import HEADER, compiler

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the emulator needs g++")

# 64 windows at a time: a bit is a window's value, minimum and maximum are "and" and "or". A network that is right for
# zeros and ones is right for all numbers (D. Knuth, "The Art of Computer Programming", volume 3, section 5.3.4).
PROGRAM = """
#include "{host}"
struct Bits {{ uint64_t b; }};
inline Bits lower(Bits a, Bits b) {{ return {{a.b & b.b}}; }}
inline Bits upper(Bits a, Bits b) {{ return {{a.b | b.b}}; }}
inline Bits chosen(bool first, Bits a, Bits b) {{ return first ? a : b; }}
inline void set_least(Bits& v) {{ v.b = 0; }}
#include "{networks}"

static const uint64_t FIRST[6] = {{0xaaaaaaaaaaaaaaaaull, 0xccccccccccccccccull, 0xf0f0f0f0f0f0f0f0ull,
                                  0xff00ff00ff00ff00ull, 0xffff0000ffff0000ull, 0xffffffff00000000ull}};

// The value of a rank: one where there are more ones than values above it.
static uint64_t expected(const uint64_t* window, int area, int rank) {{
  uint64_t result = 0, sums[5] = {{}};
  for (int k = 0; k < area; ++k)
    for (uint64_t carry = window[k], i = 0; i < 5; ++i) {{
      const uint64_t both = sums[i] & carry;
      sums[i] ^= carry;
      carry = both;
    }}
  for (int bit = 0; bit < 64; ++bit) {{
    int ones = 0;
    for (int i = 0; i < 5; ++i) ones |= (sums[i] >> bit & 1) << i;
    result |= uint64_t(ones >= area - rank) << bit;
  }}
  return result;
}}

// `rank` is -1 for the median; of all windows each `stride`-th is tried.
template <int SIZE, int P>
static long wrong(int rank, uint64_t stride) {{
  long count = 0;
  for (int row = 0; row < 2; ++row)
    for (int col = 0; col < P; ++col)
      for (uint64_t rest = 0; rest < 1ull << (SIZE * SIZE - 6); rest += stride) {{
        Bits v[SIZE + 1][P + SIZE - 1], out[2][P];
        for (auto& line : v)
          for (auto& value : line) value.b = rest * 0x9e3779b97f4a7c15ull;  // other windows' values do not matter
        uint64_t window[SIZE * SIZE];
        for (int k = 0; k < SIZE * SIZE; ++k) {{
          window[k] = k < 6 ? FIRST[k] : rest >> (k - 6) & 1 ? ~0ull : 0;
          v[row + k / SIZE][col + k % SIZE].b = window[k];
        }}
        if (rank < 0)
          tile_medians<P>(v, out);
        else
          tile_ranks<P>(v, out, rank);
        count += out[row][col].b != expected(window, SIZE * SIZE, rank < 0 ? SIZE * SIZE / 2 : rank);
      }}
  return count;
}}

int main() {{
  long ranks[3] = {{}};
  for (int rank = 0; rank < 4; ++rank) ranks[0] += wrong<3, 2>(rank, 1), ranks[1] += wrong<3, 4>(rank, 1);
  for (int rank = 0; rank < 12; ++rank) ranks[2] += wrong<5, 2>(rank, 13);
  printf("%ld %ld %ld ", wrong<3, 2>(-1, 1), wrong<3, 4>(-1, 1), wrong<5, 2>(-1, 1));
  printf("%ld %ld %ld\\n", ranks[0], ranks[1], ranks[2]);
}}
"""


def test_ranks_of_all_windows_of_zeros_and_ones(tmp_path):
    source, program = tmp_path / "networks.cpp", tmp_path / "networks"
    source.write_text(PROGRAM.format(host=HEADER, networks=kernels.find("networks.cuh")))
    subprocess.run([compiler(), "-std=c++17", "-O2", "-w", source, "-o", program], check=True)
    found = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    assert found.split() == ["0"] * 6
