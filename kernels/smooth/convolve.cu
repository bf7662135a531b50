// launch: tile 32x8, pixels 4x1
// instances: convolve<unsigned char, int>; convolve<unsigned char, float>; convolve<unsigned char, double>
// instances: convolve<unsigned short, float>; convolve<unsigned short, double>; convolve<short, float>
// instances: convolve<short, double>; convolve<float, float>; convolve<double, double>
// instances: near_convolve<unsigned char, int>; near_convolve<unsigned char, float>
// instances: near_convolve<unsigned char, double>; near_convolve<unsigned short, float>
// instances: near_convolve<unsigned short, double>; near_convolve<short, float>; near_convolve<short, double>
// instances: near_convolve<float, float>; near_convolve<double, double>
// instances: convolve<unsigned short, float, true>; convolve<short, float, true>
// instances: near_convolve<unsigned short, float, true>; near_convolve<short, float, true>
// instances: few_convolve<unsigned char, int, 3>; few_convolve<unsigned short, float, 3>
// instances: few_convolve<short, float, 3>; few_convolve<float, float, 3>; few_convolve<unsigned char, int, 5>
// instances: few_convolve<unsigned short, float, 5>; few_convolve<short, float, 5>; few_convolve<float, float, 5>
#include "borders.cuh"
#include "columns.cuh"
#include "few_convolve.cuh"
#include "numbers.cuh"

// Weighted sums of windows, in the type of the weights, row by row as on the CPU; zero weights are no taps. Sums with
// integer weights are shifted down at the end. ROWS: each row of a window is summed separately first.

constexpr int THREADS = 256, ACROSS = 4, DOWN = 4;  // results of a thread: 32 elements apart, in adjacent rows
constexpr int WIDTH = 32 * ACROSS, HEIGHT = THREADS / 32 * DOWN;  // of a block's
template <typename A>
constexpr int BLOCKS = sizeof(A) == 4 ? 4 : 2;  // of a multiprocessor, as registers allow

// Convert a sum to a pixel: integers are rounded half to even and saturated.
template <typename T, typename A>
__device__ __forceinline__ T finished(A total, int shift) {
  if constexpr (SameType<A, int>::value) {
    const int any = shift > 0, odd = total >> shift & any;
    return saturated<T>((total + ((1 << shift >> 1) - any) + odd) >> shift);
  } else {
    return rounded<T>(total);
  }
}

// Load `loaded` rows of `filled` elements, beginning at (row, left), into shared memory. Inside the image many loads
// are in flight at once.
template <typename T, typename A>
__device__ __forceinline__ void load_tile(const T* src, long long rows, long long cols, long long row, long long left,
                                          int loaded, int filled, long long step, long long mode, double cval,
                                          A* tile) {
  constexpr int WARPS = THREADS / 32, BATCH = 8;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (row >= 0 && row + loaded <= rows && left >= 0 && left + filled <= cols) {
#pragma unroll 1
    for (int x = lane; x < filled; x += 32) {
#pragma unroll 1
      for (int i = warp; i < loaded; i += BATCH * WARPS) {
        const T* const from = src + (row + i) * cols + left + x;
        T values[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; ++k)
          values[k] = i + k * WARPS < loaded ? __ldg(from + k * WARPS * cols) : T(0);
#pragma unroll
        for (int k = 0; k < BATCH; ++k)
          if (i + k * WARPS < loaded) tile[(i + k * WARPS) * filled + x] = A(values[k]);
      }
    }
    return;
  }
#pragma unroll 1
  for (int i = warp; i < loaded; i += WARPS) {
    const long long r = fold(row + i, rows, mode);
#pragma unroll 1
    for (int x = lane; x < filled; x += 32) {
      const long long c = fold_element(left + x, cols, step, mode);
      tile[i * filled + x] = A(r < 0 || c < 0 ? T(cval) : __ldg(src + r * cols + c));
    }
  }
}

// Add the sums of a row to the totals, and reset them.
template <typename A>
__device__ __forceinline__ void add_sums(A (&totals)[DOWN][ACROSS], A (&sums)[DOWN][ACROSS]) {
#pragma unroll
  for (int j = 0; j < DOWN; ++j)
#pragma unroll
    for (int k = 0; k < ACROSS; ++k) {
      sums[j][k] += totals[j][k];
      totals[j][k] = A(0);
    }
}

// A block keeps its tile in shared memory, for `part` rows of the weights at a time; these follow the tile, with DOWN -
// 1 rows of zeros on either side.
template <typename T, typename A, bool ROWS = false>
__global__ void __launch_bounds__(256, BLOCKS<A>)
    near_convolve(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                  long long top, long long bottom, long long step, long long mode, double cval, const A* weights,
                  long long height, long long width, long long shift, long long part) {
  DYNAMIC_SHARED(A, tile);
  const int high = int(height), wide = int(width), most = int(part), apart = int(step);
  const int filled = WIDTH + (wide - 1) * apart;
  A* const taps = tile + (HEIGHT + most - 1) * filled;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const long long first = top + (long long)blockIdx.y * HEIGHT, left = (long long)blockIdx.x * WIDTH;
  const int done = bottom - first < HEIGHT ? int(bottom - first) : HEIGHT;  // rows of results; no others may be read
  A totals[DOWN][ACROSS] = {}, sums[DOWN][ACROSS] = {};
#pragma unroll 1
  for (int begin = 0; begin < high; begin += most) {
    const int count = min(most, high - begin), loaded = done + count - 1;
    __syncthreads();
    load_tile(src, rows, cols, first - (high - 1) / 2 + begin, left - (wide - 1) / 2 * step, loaded, filled, step, mode,
              cval, tile);
#pragma unroll 1
    for (int i = threadIdx.x; i < (count + 2 * (DOWN - 1)) * wide; i += THREADS) {
      const int row = i / wide - (DOWN - 1);
      taps[i] = row < 0 || row >= count ? A(0) : __ldg(weights + begin * wide + i - (DOWN - 1) * wide);
    }
    __syncthreads();
    const A* from = tile + warp * DOWN * filled + lane;
    if (high == 1) {
#pragma unroll 2
      for (int col = 0; col < wide; ++col) {
        const A weight = taps[(DOWN - 1) * wide + col];
        if (weight == A(0)) continue;
#pragma unroll
        for (int j = 0; j < DOWN; ++j)
#pragma unroll
          for (int k = 0; k < ACROSS; ++k) totals[j][k] += weight * from[j * filled + 32 * k + col * apart];
      }
      if (ROWS) add_sums(totals, sums);
      continue;
    }
#pragma unroll 1
    for (int row = 0; row < count + DOWN - 1; ++row, from += filled) {
      // The weights of a thread's lowest result; those of the one above it are one row further on.
      const A* const tap = taps + row * wide;
#pragma unroll 1
      for (int col = 0; col < wide; ++col) {
        A values[ACROSS];
#pragma unroll
        for (int k = 0; k < ACROSS; ++k) values[k] = from[32 * k + col * apart];
#pragma unroll
        for (int j = 0; j < DOWN; ++j) {
          const A weight = tap[(DOWN - 1 - j) * wide + col];
          if (weight != A(0)) {
#pragma unroll
            for (int k = 0; k < ACROSS; ++k) totals[j][k] += weight * values[k];
          }
        }
      }
      if (ROWS) add_sums(totals, sums);
    }
  }
#pragma unroll
  for (int j = 0; j < DOWN; ++j) {
    const long long row = first + warp * DOWN + j;
    if (row >= bottom) break;
#pragma unroll
    for (int k = 0; k < ACROSS; ++k) {
      const long long x = left + lane + 32 * k;
      if (x < cols) dst[row * cols + x] = finished<T>(ROWS ? sums[j][k] : totals[j][k], int(shift));
    }
  }
}

// Windows of N by N pixels of one channel.
template <typename T, typename A, int N>
__global__ void __launch_bounds__(256, 2)
    few_convolve(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                 long long top, long long bottom, long long mode, double cval, const A* weights, long long height,
                 long long width, long long shift) {
  const int down = int(shift);
  few_sums<N>(src, rows, cols, dst, top, bottom, mode, cval, weights,
              [=](A total) { return finished<T>(total, down); });
}

// Windows too wide for shared memory.
template <typename T, typename A, bool ROWS = false>
__global__ void convolve(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                         long long top, long long bottom, long long step, long long mode, double cval,
                         const A* weights, long long height, long long width, long long shift) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    A sum = A(0);
    A total = A(0);
#pragma unroll 1
    for (long long i = 0; i < height; ++i) {
#pragma unroll 1
      for (long long j = 0; j < width; ++j) {
        const A weight = __ldg(weights + i * width + j);
        if (weight == A(0)) continue;
        const long long from = row + i - (height - 1) / 2, column = x + (j - (width - 1) / 2) * step;
        total += weight * A(at(src, rows, cols, from, column, step, mode, cval));
      }
      if (ROWS) {
        sum += total;
        total = A(0);
      }
    }
    dst[row * cols + x] = finished<T>(ROWS ? sum : total, int(shift));
  });
}
