// launch: tile 32x8, pixels 4x4
// instances: median_planes<L, 15>; median_planes<L, 31>
#include "borders.cuh"
#include "keys.cuh"
#include "numbers.cuh"

// Rank filter, such as the median, for windows of up to 31x31 pixels, by radix selection from the most significant bit
// on: each bit excludes the candidates with the other bit. A block's pixels are in shared memory as bit planes, 32
// adjacent pixels of a row per word: a thread gets a row of its window by one shift, and counts one or two rows in one
// instruction. Bits that are equal in the whole tile are skipped, and so are the remaining ones once every window of a
// warp has a single candidate.

constexpr int WARPS = 8, MOST_LINES = 64;

// Windows of up to ROWS rows and columns, held by a thread as words of one or two rows.
template <int ROWS>
struct Windows {
  static constexpr int JOINED = ROWS < 16 ? 2 : 1;  // rows in a word
  static constexpr int DOWN = ROWS < 16 ? 4 : 2;    // windows of a thread, in adjacent rows
  static constexpr int WORDS = (ROWS + JOINED - 1) / JOINED;
  static constexpr int LINES = (WORDS * JOINED + 2 * DOWN - 2) / DOWN * DOWN;  // loaded DOWN at a time
  static constexpr int SPAN = (WORDS - 1) * JOINED + DOWN;
};

// A tile's planes: bit `b` of a line's pixels 32 * w to 32 * w + 31 is the word b * plane + w * lines + line.
struct Planes {
  unsigned* words;
  int plane, lines;
  __device__ __forceinline__ unsigned* at(int bit, int word, int line) const {
    return words + bit * plane + word * lines + line;
  }
};

// The bits that are one, and that are zero, in any of a tile's values; whether any is NaN.
struct Seen {
  unsigned ones[2], zeros[2];
  int holes;
};

// Transpose a 32 x 32 bit matrix: lane b gets bit b of every lane's word, with lane l's as bit l. (H. S. Warren,
// "Hacker's Delight", 2nd edition, 2012, section 7-3.)
__device__ __forceinline__ unsigned transposed(unsigned v) {
  const int lane = threadIdx.x % 32;
  unsigned low = 0x0000ffffu;
#pragma unroll
  for (int by = 16; by > 0; by >>= 1, low ^= low << by) {
    const unsigned other = __shfl_xor_sync(~0u, v, by);
    v = lane & by ? (v & ~low) | (other >> by & low) : (v & low) | (other & low) << by;
  }
  return v;
}

// Include a word of the planes of bits from 32 * half on, with BITS per value and 32 / BITS lines, in the seen bits.
template <int BITS>
__device__ __forceinline__ void note(Seen* seen, int half, unsigned ones, unsigned zeros) {
  unsigned one = __ballot_sync(~0u, ones != 0), zero = __ballot_sync(~0u, zeros != 0);
#pragma unroll
  for (int shift = 16; shift >= BITS; shift >>= 1) {
    one |= one >> shift;
    zero |= zero >> shift;
  }
  const unsigned all = BITS < 32 ? (1u << BITS % 32) - 1 : ~0u;
  if (threadIdx.x % 32 == 0) {
    atomicOr(&seen->ones[half], one & all);
    atomicOr(&seen->zeros[half], zero & all);
  }
}

// Fill a warp's share of the planes, four lines at a time. The pixels of `channel` are those from `left` on;
// begins[line] is where a line's row begins, or -1 for the constant. The plane after those of the bits marks NaN.
template <typename T>
__device__ __forceinline__ void load_planes(const T* src, const long long* begins, long long pixels, long long left,
                                            long long step, long long channel, long long mode, double cval, int words,
                                            const Planes& planes, Seen* seen) {
  constexpr int BITS = 8 * sizeof(T), HALVES = BITS > 32 ? 2 : 1, PARTS = BITS < 32 ? 32 / BITS : 1;
  const int lane = threadIdx.x % 32;
  unsigned ones[HALVES] = {}, zeros[HALVES] = {};
  const auto turn = [&](unsigned v, int half) {
    const unsigned bits = transposed(v);
    ones[half] |= bits;
    zeros[half] |= ~bits;
    return bits;
  };
#pragma unroll 1
  for (int i = threadIdx.x / 32; i < planes.lines / 4 * words; i += WARPS) {
    const int word = i % words, line = i / words * 4;
    const long long pixel = fold(left + word * 32 + lane, pixels, mode);
    T v[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const long long begin = begins[line + k];
      v[k] = begin < 0 || pixel < 0 ? T(cval) : __ldg(src + begin + pixel * step + channel);
    }
    if constexpr (BITS < 32) {
#pragma unroll
      for (int k = 0; k < 4; k += PARTS) {
        unsigned joined = 0;
#pragma unroll
        for (int part = 0; part < PARTS; ++part) joined |= key_of(v[k + part]) << BITS * part;
        *planes.at(lane % BITS, word, line + k + lane / BITS) = turn(joined, 0);
      }
    } else {
#pragma unroll
      for (int half = 0; half < HALVES; ++half) {
        unsigned bits[4];
#pragma unroll
        for (int k = 0; k < 4; ++k) bits[k] = turn(unsigned(key_of(v[k]) >> (BITS - 32) * half), half);
        *reinterpret_cast<uint4*>(planes.at(lane + 32 * half, word, line)) =
            make_uint4(bits[0], bits[1], bits[2], bits[3]);
      }
    }
    if constexpr (!Number<T>::whole) {
      unsigned nan[4];
#pragma unroll
      for (int k = 0; k < 4; ++k) nan[k] = __ballot_sync(~0u, is_nan(v[k]));
      if (lane == 0) {
        *reinterpret_cast<uint4*>(planes.at(BITS, word, line)) = make_uint4(nan[0], nan[1], nan[2], nan[3]);
        if (nan[0] | nan[1] | nan[2] | nan[3]) atomicOr(&seen->holes, 1);
      }
    }
  }
#pragma unroll
  for (int half = 0; half < HALVES; ++half) note<BITS>(seen, half, ones[half], zeros[half]);
}

// Calls visit(word, window, k, bits) for all words of one bit of a thread's windows; words of equal k are the same. The
// words from `words` on, which belong to no window, may be skipped.
template <int ROWS, typename Visit>
__device__ __forceinline__ void each_word(const unsigned* from, int lines, int words, Visit visit) {
  typedef Windows<ROWS> W;
  const int lane = threadIdx.x % 32;
  unsigned row[W::LINES];
#pragma unroll
  for (int first = 0; first < W::LINES; first += W::DOWN) {
    if (first >= words * W::JOINED + W::DOWN - 1) continue;
    union {
      uint4 four;
      uint2 two;
      unsigned each[4];
    } low, high;
    if (W::DOWN == 4) {
      low.four = *reinterpret_cast<const uint4*>(from + first);
      high.four = *reinterpret_cast<const uint4*>(from + lines + first);
    } else {
      low.two = *reinterpret_cast<const uint2*>(from + first);
      high.two = *reinterpret_cast<const uint2*>(from + lines + first);
    }
#pragma unroll
    for (int i = 0; i < W::DOWN; ++i) row[first + i] = __funnelshift_r(low.each[i], high.each[i], lane);
#pragma unroll
    for (int i = 1 - W::JOINED; i <= W::DOWN - W::JOINED; ++i) {
      const int k = first + i;
      if (k < 0 || k >= W::SPAN) continue;
      const unsigned bits = W::JOINED == 2 ? __byte_perm(row[k], row[k + 1], 0x5410) : row[k];
#pragma unroll
      for (int window = 0; window < W::DOWN; ++window) {
        const int before = k - window;
        if (before >= 0 && before % W::JOINED == 0 && before / W::JOINED < W::WORDS)
          visit(before / W::JOINED, window, k, bits);
      }
    }
  }
}

// The first NaN of a window, row by row, as row * 32 + column; -1 if there is none. `from` is the NaNs' plane.
__device__ __forceinline__ int first_nan(const unsigned* from, int lines, int n0, unsigned columns) {
#pragma unroll 1
  for (int i = 0; i < n0; ++i) {
    const unsigned row = __funnelshift_r(from[i], from[i + lines], threadIdx.x % 32) & columns;
    if (row) return i * 32 + __ffs(row) - 1;
  }
  return -1;
}

// Select the values of a rank in a thread's windows: found[k], or if places[k] is not -1, the value there, at row * 32
// + column of the window.
template <int ROWS, int BITS, typename Key>
__device__ __forceinline__ void find_ranks(const Planes& planes, const Seen* seen, int word, int line, int n0, int n1,
                                           int rank, Key (&found)[Windows<ROWS>::DOWN],
                                           int (&places)[Windows<ROWS>::DOWN]) {
  typedef Windows<ROWS> W;
  const int words = (n0 + W::JOINED - 1) / W::JOINED;
  const unsigned columns = (1u << n1) - 1;
  unsigned open[W::DOWN][W::WORDS];         // candidates
  unsigned lower[W::DOWN], upper[W::DOWN];  // the number of candidates before and after the rank
#pragma unroll
  for (int k = 0; k < W::DOWN; ++k) {
    found[k] = 0;
    places[k] = -1;
    lower[k] = rank;
    upper[k] = n0 * n1 - 1 - lower[k];
#pragma unroll
    for (int p = 0; p < W::WORDS; ++p) {
      open[k][p] = p * W::JOINED < n0 ? columns : 0;
      if (W::JOINED == 2 && p * 2 + 1 < n0) open[k][p] |= columns << 16;
    }
  }
  bool single = false;
#pragma unroll 1
  for (int half = BITS > 32; half >= 0 && !single; --half) {
    const unsigned ones = seen->ones[half], zeros = seen->zeros[half];
    unsigned left = ones & zeros, high[W::DOWN];
#pragma unroll
    for (int k = 0; k < W::DOWN; ++k) high[k] = ones & ~zeros;
#pragma unroll 1
    while (left && !single) {
      const int bit = 31 - __clz(left);
      left ^= 1u << bit;
      const unsigned* const from = planes.at(32 * half + bit, word, line);
      unsigned kept[W::SPAN];
      int below[W::DOWN] = {};
      each_word<ROWS>(from, planes.lines, words, [&](int p, int k, int place, unsigned bits) {
        kept[place] = bits;
        below[k] += __popc(open[k][p] & ~bits);
      });
      unsigned other[W::DOWN], left_over = 0;
#pragma unroll
      for (int k = 0; k < W::DOWN; ++k) {
        const int rest = int(lower[k]) - below[k];  // negative where its bit is zero
        other[k] = rest >> 31;
        high[k] |= ~other[k] & 1u << bit;
        // Only one of both shrinks; the number for the other one has its sign bit set, so that the minimum keeps it.
        lower[k] = min(lower[k], unsigned(rest));
        upper[k] = min(upper[k], ~unsigned(rest));
        left_over |= lower[k] | upper[k];
      }
      if (W::JOINED == 2) {
#pragma unroll
        for (int p = 0; p < W::WORDS; ++p) {
          if (p >= words) continue;
#pragma unroll
          for (int k = 0; k < W::DOWN; ++k) open[k][p] &= kept[p * W::JOINED + k] ^ other[k];
        }
      } else {
        __syncwarp();  // prevents reuse of earlier loads, for which registers do not suffice
        each_word<ROWS>(from, planes.lines, words,
                        [&](int p, int k, int, unsigned bits) { open[k][p] &= bits ^ other[k]; });
      }
      if (BITS > 8) single = __all_sync(~0u, left_over == 0);
    }
#pragma unroll
    for (int k = 0; k < W::DOWN; ++k) found[k] |= Key(high[k]) << (BITS - 32) * half;
  }
  if (!single) return;
#pragma unroll
  for (int k = 0; k < W::DOWN; ++k) {
    int last = 0;
    unsigned one = 0;  // the only nonzero word
#pragma unroll
    for (int p = 0; p < W::WORDS; ++p) {
      last = open[k][p] ? p : last;
      one |= open[k][p];
    }
    const int at = __ffs(one) - 1;
    places[k] = W::JOINED == 2 ? (last * 2 + at / 16) * 32 + at % 16 : last * 32 + at;
  }
}

// A block's tile has `width` words of 32 pixels of one channel and `height` rows; with the windows' margins, `lines`.
template <typename T, int ROWS>
__global__ __launch_bounds__(32 * WARPS, 2) void median_planes(const T* src, long long rows, long long cols, T* dst,
                                                               long long dst_rows, long long dst_cols, long long top,
                                                               long long bottom, long long step, long long mode,
                                                               double cval, long long n0, long long n1, long long rank,
                                                               long long width, long long height, long long lines,
                                                               long long plane) {
  typedef Windows<ROWS> W;
  typedef decltype(key_of(T(0))) Key;
  constexpr int BITS = 8 * sizeof(T);
  DYNAMIC_SHARED(unsigned, words);
  __shared__ long long begins[MOST_LINES];
  __shared__ Seen seen;
  const Planes planes = {words, int(plane), int(lines)};
  const int lane = threadIdx.x % 32, across = int(width);
  const long long pixels = cols / step;
  const unsigned channel = blockIdx.x % (unsigned)step;
  const long long first = (long long)(blockIdx.x / (unsigned)step) * (32 * across);
  const long long upper = top + (long long)blockIdx.y * height;
  if (threadIdx.x == 0) seen = Seen{};
  if (threadIdx.x < lines) {
    // Lines that no window needs repeat the last one.
    const long long needed = min(height, bottom - upper) + n0 - 1, line = threadIdx.x;
    const long long row = fold(upper - n0 / 2 + min(line, needed - 1), rows, mode);
    begins[threadIdx.x] = row < 0 ? -1 : row * cols;
  }
  __syncthreads();
  load_planes<T>(src, begins, pixels, first - n1 / 2, step, channel, mode, cval, across + 1, planes, &seen);
  __syncthreads();
#pragma unroll 1
  for (int task = threadIdx.x / 32; task < across * int(height) / W::DOWN; task += WARPS) {
    const int word = task % across, line = task / across * W::DOWN;
    const long long row = upper + line, begin = first + 32 * word;
    if (row >= bottom || begin >= pixels) continue;
    Key found[W::DOWN];
    int places[W::DOWN];
    find_ranks<ROWS, BITS>(planes, &seen, word, line, int(n0), int(n1), int(rank), found, places);
    if (begin + lane >= pixels) continue;
    const long long x = (begin + lane) * step + channel;
#pragma unroll
    for (int k = 0; k < W::DOWN; ++k) {
      if (row + k >= bottom) break;
      int place = places[k];
      if (!Number<T>::whole && seen.holes) {
        const int hole = first_nan(planes.at(BITS, word, line + k), planes.lines, int(n0), (1u << int(n1)) - 1);
        if (hole >= 0) place = hole;
      }
      T v = value_of(found[k], T(0));
      if (place >= 0)
        v = at(src, rows, cols, row + k + place / 32 - n0 / 2, x + (place % 32 - n1 / 2) * step, step, mode, cval);
      dst[(row + k) * cols + x] = v;
    }
  }
}
