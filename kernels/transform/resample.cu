// launch: tile 32x8, pixels 8x4
// instances: fixed_rows<unsigned char>; fixed_cols<unsigned char>; rows_of<T, A>; cols_of<A, T>
#include "numbers.cuh"
#include "spread.cuh"

// Weighted sums of some rows into a scratch image, then of some columns: tables name the samples of each output row and
// column and their weights. uint8 by weights in 16384ths, with `bits` of a fraction between the two.

// A weighted mean; of floats it is kept in the range of its samples, which rounding may leave, widened by `overshoot`
// times its length on both sides.
template <typename A, bool WHOLE>
struct Mean {
  A total, low, high;

  __device__ __forceinline__ void start(A first) {
    total = first;
    low = LARGEST<A>;
    high = -low;
  }
  __device__ __forceinline__ void add(A weight, A sample) {
    total = total + weight * sample;
    low = sample < low ? sample : low;
    high = sample > high ? sample : high;
  }
  __device__ __forceinline__ A value(A overshoot) const {
    const A beyond = overshoot * high - overshoot * low;
    const A least = low - beyond, most = high + beyond;
    return total < least ? least : total > most ? most : total;
  }
};

template <typename A>
struct Mean<A, true> {
  A total;

  __device__ __forceinline__ void start(A first) { total = first; }
  __device__ __forceinline__ void add(A weight, A sample) { total = total + weight * sample; }
  __device__ __forceinline__ A value(A) const { return total; }
};

// The sums of rows in the columns of a thread: start, then each weighted sample, in the order of the taps; put(sum) is
// stored.
template <typename A, typename W, typename T, typename U, typename Put>
__device__ __forceinline__ void sum_rows(const T* src, long long cols, U* dst, long long top, long long bottom,
                                         const long long* index, long long taps, const W* weights, A start, A overshoot,
                                         Put put) {
  const long long x = first_column(), row = first_row(top);
  for (int r = 0; r < ROWS && row + r < bottom; ++r) {
    const long long* const from = index + (row + r) * taps;
    const W* const weight = weights + (row + r) * taps;
    Mean<A, Number<T>::whole> sums[COLUMNS];
#pragma unroll
    for (int k = 0; k < COLUMNS; ++k) sums[k].start(start);
#pragma unroll 2
    for (int tap = 0; tap < int(taps); ++tap) {
      const A heavy = A(__ldg(weight + tap));
      const T* const line = src + __ldg(from + tap) * cols + x;
      T samples[COLUMNS];
#pragma unroll
      for (int k = 0; k < COLUMNS; ++k) samples[k] = x + 32 * k < cols ? __ldg(line + 32 * k) : T(0);
#pragma unroll
      for (int k = 0; k < COLUMNS; ++k) sums[k].add(heavy, A(samples[k]));
    }
    U* const out = dst + (row + r) * cols + x;
#pragma unroll
    for (int k = 0; k < COLUMNS; ++k)
      if (x + 32 * k < cols) out[32 * k] = put(sums[k].value(overshoot));
  }
}

// The sums of columns in the rows of a thread.
template <typename W, typename A, typename T, typename Put>
__device__ __forceinline__ void sum_cols(const A* src, long long cols, T* dst, long long dst_cols, long long top,
                                         long long bottom, long long step, const long long* index, long long taps,
                                         const W* weights, A start, A overshoot, Put put) {
  const long long row = first_row(top);
  const int count = int(bottom - row < ROWS ? bottom - row : ROWS);
  if (count <= 0) return;
  const A* lines[ROWS];
#pragma unroll
  for (int r = 0; r < ROWS; ++r) lines[r] = src + (row + (r < count ? r : 0)) * cols;
  long long x = first_column();
#pragma unroll 1
  for (int k = 0; k < COLUMNS; ++k, x += 32) {
    if (x >= dst_cols) return;
    const long long pixel = pixel_of(x, step), channel = x - pixel * step;
    const long long* const from = index + pixel * taps;
    const W* const weight = weights + pixel * taps;
    Mean<A, Number<T>::whole> sums[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; ++r) sums[r].start(start);
#pragma unroll 2
    for (int tap = 0; tap < int(taps); ++tap) {
      const A heavy = A(__ldg(weight + tap));
      const long long at = __ldg(from + tap) * step + channel;
#pragma unroll
      for (int r = 0; r < ROWS; ++r) sums[r].add(heavy, __ldg(lines[r] + at));
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r)
      if (r < count) dst[(row + r) * dst_cols + x] = put(sums[r].value(overshoot));
  }
}

// Sums of reals begin with -0, to which the first addend is added unchanged, the sign of a zero included.
template <typename T, typename A>
__global__ void __launch_bounds__(256)
    rows_of(const T* src, long long rows, long long cols, A* dst, long long dst_rows, long long dst_cols, long long top,
            long long bottom, const long long* index, long long indices, long long taps, const double* weights,
            long long weighted, long long weights_each, double overshoot) {
  sum_rows(src, cols, dst, top, bottom, index, taps, weights, -A(0), A(overshoot), [](A total) { return total; });
}

template <typename A, typename T>
__global__ void __launch_bounds__(256)
    cols_of(const A* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols, long long top,
            long long bottom, long long step, const long long* index, long long indices, long long taps,
            const double* weights, long long weighted, long long weights_each, double overshoot) {
  sum_cols(src, cols, dst, dst_cols, top, bottom, step, index, taps, weights, -A(0), A(overshoot),
           [](A total) { return rounded<T>(total); });
}

template <typename T>
__global__ void __launch_bounds__(256)
    fixed_rows(const T* src, long long rows, long long cols, int* dst, long long dst_rows, long long dst_cols,
               long long top, long long bottom, const long long* index, long long indices, long long taps,
               const int* weights, long long weighted, long long weights_each, long long bits) {
  sum_rows(src, cols, dst, top, bottom, index, taps, weights, 1 << (13 - bits), 0,
           [bits](int total) { return total >> (14 - bits); });
}

template <typename T>
__global__ void __launch_bounds__(256)
    fixed_cols(const int* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
               long long top, long long bottom, long long step, const long long* index, long long indices,
               long long taps, const int* weights, long long weighted, long long weights_each, long long bits) {
  sum_cols(src, cols, dst, dst_cols, top, bottom, step, index, taps, weights, 1 << (13 + bits), 0,
           [bits](int total) { return saturated<T>(total >> (14 + bits)); });
}
