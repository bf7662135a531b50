// launch: tile 32x8, pixels 4x1
// instances: plateaus<I, unsigned char, long long>; plateaus<F, unsigned char, double>
// instances: near_plateaus<I, unsigned char, long long, 0>; near_plateaus<float, unsigned char, double, 0>
// instances: near_plateaus<I, unsigned char, long long, 1>; near_plateaus<float, unsigned char, double, 1>
#include "columns.cuh"
#include "numbers.cuh"
#include "tiles.cuh"

// Candidates for local maxima exceed `lowest`, and no neighbour exceeds them: 2, or 1 next to an equal pixel that is
// not a candidate and, with `inner`, at the image's edge.

// Calls stop(place) for the neighbours of a pixel until a call returns true; returns whether one did.
template <typename Stop>
__device__ __forceinline__ bool any_neighbour(long long rows, long long cols, long long row, long long x, long long step,
                                              bool corners, Stop stop) {
#pragma unroll 1
  for (int down = -1; down <= 1; ++down) {
#pragma unroll 1
    for (int along = -1; along <= 1; ++along) {
      if ((down == 0 && along == 0) || (!corners && down != 0 && along != 0)) continue;
      const long long y = row + down, col = x + along * step;
      if (y >= 0 && y < rows && col >= 0 && col < cols && stop(y, col)) return true;
    }
  }
  return false;
}

// One element per thread.
template <typename T, typename U, typename V>
__global__ void __launch_bounds__(256) plateaus(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                                                long long dst_cols, long long top, long long bottom, long long step,
                                                long long mode, double cval, V lowest, long long reach,
                                                long long inner) {
  const T minimum = T(lowest);
  const bool corners = reach != 0;
  const auto is_candidate = [=](long long row, long long x) {
    const T value = src[row * cols + x];
    return value > minimum && !any_neighbour(rows, cols, row, x, step, corners, [=](long long y, long long col) {
      return src[y * cols + col] > value;
    });
  };
  each_column(cols, top, bottom, [=](long long row, long long x) {
    U level = 0;
    if (is_candidate(row, x)) {
      const T value = src[row * cols + x];
      const bool edge = row == 0 || row == rows - 1 || x < step || x >= cols - step;
      const bool linked = (edge && inner != 0) || any_neighbour(rows, cols, row, x, step, corners, [=](long long y, long long col) {
        return src[y * cols + col] == value && !is_candidate(y, col);
      });
      level = linked ? U(1) : U(2);
    }
    dst[row * cols + x] = level;
  });
}

constexpr int ACROSS = 120, DOWN = 16;  // results of a warp; the first and the last lane have none
constexpr unsigned int WARP = 0xffffffffu;

// The type of comparisons; a number is greater than NaN.
template <typename T>
struct Compared {
  typedef int Type;
};
template <>
struct Compared<float> {
  typedef float Type;
};
template <>
struct Compared<double> {
  typedef double Type;
};
__device__ __forceinline__ int greater_of(int a, int b) { return a > b ? a : b; }
__device__ __forceinline__ float greater_of(float a, float b) { return fmaxf(a, b); }
__device__ __forceinline__ double greater_of(double a, double b) { return fmax(a, b); }

// The maximum of each of a lane's four values and its left and right neighbours.
template <typename V>
__device__ __forceinline__ void greatest_along(const V (&v)[4], V (&out)[4]) {
  const V before = __shfl_up_sync(WARP, v[3], 1), after = __shfl_down_sync(WARP, v[0], 1);
  const V first = greater_of(v[0], v[1]), last = greater_of(v[2], v[3]);
  out[0] = greater_of(before, first);
  out[1] = greater_of(first, v[2]);
  out[2] = greater_of(v[1], last);
  out[3] = greater_of(last, after);
}

// Load four values of a row from `x` on; `minimum` beyond its ends.
template <typename V, bool ALIGNED, typename T>
__device__ __forceinline__ void load_values(const T* line, long long x, long long cols, bool inside, V minimum,
                                            V (&v)[4]) {
  if (inside) {
    const Four<T> four = load_four<ALIGNED>(line + x);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if constexpr (sizeof(T) >= 4)
        v[i] = four.v[i];
      else
        v[i] = T(four.words[i * sizeof(T) / 4] >> 8 * (i * sizeof(T) % 4));
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) v[i] = x + i >= 0 && x + i < cols ? V(__ldg(line + x + i)) : minimum;
}

// A warp moves down its rows. A candidate equals the maximum of its window; next to an equal pixel that is not a
// candidate, it equals the maximum of the non-candidates.
template <typename T, typename U, typename A, int CORNERS, bool ALIGNED>
__device__ __forceinline__ void move_down(const T* src, long long rows, long long cols, U* dst, long long row,
                                          long long bottom, long long end, long long x, A minimum, bool inner) {
  constexpr int BESIDE = sizeof(T) < 4 ? 4 / sizeof(T) - 1 : 0;
  const bool inside = x >= BESIDE && x + 4 + BESIDE <= cols;
  const bool stores = threadIdx.x > 0 && threadIdx.x < 31 && x < cols;
  const long long last = min(row + DOWN, bottom), below = min(end + 2, rows);
  A up[4], here[4], column[4], along[4], others[4], adjacent[4], middle[4];
  bool candidate[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    up[i] = here[i] = column[i] = along[i] = others[i] = adjacent[i] = middle[i] = minimum;
    candidate[i] = false;
  }
  A previous[4] = {minimum, minimum, minimum, minimum}, following[4] = {minimum, minimum, minimum, minimum};
  if (row >= 2) load_values<A, ALIGNED>(src + (row - 2) * cols, x, cols, inside, minimum, following);
#pragma unroll 2
  for (long long r = row - 2; r < last + 2; ++r) {
    A next[4], wide[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      next[i] = following[i];
      following[i] = minimum;
    }
    if (r >= -1 && r + 1 < below)  // in flight while this row is processed
      load_values<A, ALIGNED>(src + (r + 1) * cols, x, cols, inside, minimum, following);
    greatest_along(next, wide);
    A none[4], side[4];
    bool is_candidate[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {  // results of the previous row
      const A most = greater_of(greater_of(up[i], along[i]), CORNERS ? wide[i] : next[i]);
      is_candidate[i] = here[i] > minimum && here[i] >= most;
      none[i] = is_candidate[i] ? minimum : here[i];
    }
    greatest_along(none, side);
    if (r >= row + 2) {
      const long long y = r - 2;
      const bool edge = inner && (y == 0 || y == rows - 1);
      U levels[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const A most = greater_of(greater_of(others[i], adjacent[i]), CORNERS ? side[i] : none[i]);
        const bool linked = most == previous[i] || edge || (inner && (x + i == 0 || x + i == cols - 1));
        levels[i] = candidate[i] ? linked ? U(1) : U(2) : U(0);
      }
      if (stores) {
        U* const out = dst + y * cols + x;
        if (ALIGNED && x + 4 <= cols) {
          *reinterpret_cast<unsigned int*>(out) = levels[0] | levels[1] << 8 | levels[2] << 16 | unsigned(levels[3]) << 24;
        } else {
#pragma unroll
          for (int i = 0; i < 4; ++i)
            if (x + i < cols) out[i] = levels[i];
        }
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      up[i] = CORNERS ? along[i] : here[i];
      previous[i] = here[i];
      here[i] = next[i];
      along[i] = wide[i];
      others[i] = CORNERS ? adjacent[i] : middle[i];
      adjacent[i] = side[i];
      middle[i] = none[i];
      candidate[i] = is_candidate[i];
    }
  }
}

// Blocks of a multiprocessor for which the registers suffice.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
constexpr int BLOCKS = 2;
#else
constexpr int BLOCKS = 3;
#endif

// Images of one channel; no rows from `end` + 2 on are read.
template <typename T, typename U, typename V, int CORNERS>
__global__ void __launch_bounds__(256, BLOCKS)
    near_plateaus(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                  long long top, long long bottom, long long end, long long step, long long mode, double cval, V lowest,
                  long long reach, long long inner) {
  typedef typename Compared<T>::Type A;
  const long long row = top + ((long long)blockIdx.y * blockDim.y + threadIdx.y) * DOWN;
  if (row >= bottom) return;
  const long long x = (long long)blockIdx.x * ACROSS + 4 * ((int)threadIdx.x - 1);
  const A minimum = A(T(lowest));
  constexpr int WORD = sizeof(T) < 4 ? 4 * sizeof(T) : 16;
  if (cols % 4 == 0 && (address_of(src) & (WORD - 1)) == 0 && (address_of(dst) & 3) == 0)
    move_down<T, U, A, CORNERS, true>(src, rows, cols, dst, row, bottom, end, x, minimum, inner != 0);
  else
    move_down<T, U, A, CORNERS, false>(src, rows, cols, dst, row, bottom, end, x, minimum, inner != 0);
}
