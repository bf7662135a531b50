// launch: tile 32x8, pixels 8x4
// instances: fixed_rows<unsigned char>; fixed_cols<unsigned char>; rows_of<T, A>; cols_of<A, T>
// instances: fixed_tiles<unsigned char>; tiles_of<unsigned short, float, unsigned short>; tiles_of<short, float, short>
// instances: tiles_of<F, A, F>; tiles_of<unsigned short, float, float>
#include "numbers.cuh"
#include "spread.cuh"

// Separable resampling: weighted sums of rows, then of columns; tables give the samples of each output row and column
// and their weights. uint8 uses weights in 16384ths, with `bits` fractional bits between the two passes. If the samples
// of a tile's columns are close together, sums of rows are held in shared memory, else in a scratch image.

// If one argument is NaN, the other one.
__device__ __forceinline__ float lower(float a, float b) { return fminf(a, b); }
__device__ __forceinline__ float upper(float a, float b) { return fmaxf(a, b); }
__device__ __forceinline__ double lower(double a, double b) { return b < a ? b : a; }
__device__ __forceinline__ double upper(double a, double b) { return b > a ? b : a; }

// A weighted mean; means of floats are clipped to the range of their samples, which rounding may leave, widened by
// `overshoot` times its length on both sides.
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
    low = lower(low, sample);
    high = upper(high, sample);
  }
  __device__ __forceinline__ A value(A overshoot) const {
    const A beyond = overshoot * high - overshoot * low;
    const A minimum = low - beyond, maximum = high + beyond;
    return total < minimum ? minimum : total > maximum ? maximum : total;
  }
};

template <typename A>
struct Mean<A, true> {
  A total;

  __device__ __forceinline__ void start(A first) { total = first; }
  __device__ __forceinline__ void add(A weight, A sample) { total = total + weight * sample; }
  __device__ __forceinline__ A value(A) const { return total; }
};

// The sums of rows in a thread's columns: start, then each weighted sample, in the order of the taps; stores put(sum).
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

// The sums of columns in a thread's rows.
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

constexpr int TILE_COLUMNS = 256, TILE_ROWS = 16, LINES = 4;
template <typename A>
constexpr int TILES = SameType<A, int>::value ? 5 : sizeof(A) == 4 ? 4 : 2;  // of a multiprocessor, as registers allow

// Sums of rows for the lines that a thread computes at once, interleaved: they are written and read together.
template <typename A>
struct __align__(16) Column {
  A v[LINES];
};

// Both passes of a tile, a few lines at a time; held[k] is for the k-th element after the first one that it samples.
template <typename A, typename W, typename T, typename U, typename PutRow, typename Put>
__device__ __forceinline__ void sum_tile(const T* src, long long cols, U* dst, long long dst_cols, long long top,
                                         long long bottom, long long step, const long long* index0, long long taps0,
                                         const W* weights0, A start0, const long long* index1, long long taps1,
                                         const W* weights1, A start1, A overshoot, PutRow put_row, Put put) {
  DYNAMIC_SHARED(Column<A>, held);
  __shared__ int first, last;  // pixels
  const long long x = (long long)blockIdx.x * TILE_COLUMNS + threadIdx.x;
  const bool inside = x < dst_cols;
  const long long pixel = pixel_of(inside ? x : dst_cols - 1, step);
  const long long* const from1 = index1 + pixel * taps1;
  const W* const weight1 = weights1 + pixel * taps1;
  if (threadIdx.x == 0) {
    first = 0x7fffffff;
    last = 0;
  }
  __syncthreads();
  int minimum = 0x7fffffff, maximum = 0;
#pragma unroll 1
  for (int tap = 0; tap < int(taps1); ++tap) {
    const int at = int(__ldg(from1 + tap));
    minimum = min(minimum, at);
    maximum = max(maximum, at);
  }
  atomicMin(&first, minimum);
  atomicMax(&last, maximum);
  __syncthreads();
  const int count = (last - first + 1) * int(step), channel = int(x - pixel * step) - first * int(step);
  const T* const begin = src + first * step;
  const long long upper_row = top + (long long)blockIdx.y * TILE_ROWS, end = min(bottom, upper_row + TILE_ROWS);
#pragma unroll 1
  for (long long row = upper_row; row < end; row += LINES) {
    const int lines = int(min((long long)LINES, end - row));
#pragma unroll 1
    for (int k = threadIdx.x; k < count; k += TILE_COLUMNS) {
      Column<A> column;
#pragma unroll
      for (int r = 0; r < LINES; ++r) {
        const long long place = (row + min(r, lines - 1)) * taps0;
        Mean<A, Number<T>::whole> sum;
        sum.start(start0);
#pragma unroll 2
        for (int tap = 0; tap < int(taps0); ++tap)
          sum.add(A(__ldg(weights0 + place + tap)), A(__ldg(begin + __ldg(index0 + place + tap) * cols + k)));
        column.v[r] = put_row(sum.value(overshoot));
      }
      held[k] = column;
    }
    __syncthreads();
    if (inside) {
      Mean<A, Number<U>::whole> sums[LINES];
#pragma unroll
      for (int r = 0; r < LINES; ++r) sums[r].start(start1);
#pragma unroll 2
      for (int tap = 0; tap < int(taps1); ++tap) {
        const A heavy = A(__ldg(weight1 + tap));
        const Column<A> column = held[int(__ldg(from1 + tap)) * int(step) + channel];
#pragma unroll
        for (int r = 0; r < LINES; ++r) sums[r].add(heavy, column.v[r]);
      }
      U* const out = dst + row * dst_cols + x;
#pragma unroll
      for (int r = 0; r < LINES; ++r)
        if (r < lines) out[r * dst_cols] = put(sums[r].value(overshoot));
    }
    __syncthreads();
  }
}

// Floating-point sums start at -0: plus the first addend, this is the addend, including the sign of a zero.
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

template <typename T, typename A, typename U>
__global__ void __launch_bounds__(256, TILES<A>)
    tiles_of(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
             long long top, long long bottom, long long step, const long long* index0, long long indices0,
             long long taps0, const double* weights0, long long weighted0, long long weights_each0,
             const long long* index1, long long indices1, long long taps1, const double* weights1, long long weighted1,
             long long weights_each1, double overshoot) {
  sum_tile<A>(src, cols, dst, dst_cols, top, bottom, step, index0, taps0, weights0, -A(0), index1, taps1, weights1,
              -A(0), A(overshoot), [](A total) { return total; }, [](A total) { return rounded<U>(total); });
}

template <typename T>
__global__ void __launch_bounds__(256, TILES<int>)
    fixed_tiles(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                long long top, long long bottom, long long step, const long long* index0, long long indices0,
                long long taps0, const int* weights0, long long weighted0, long long weights_each0,
                const long long* index1, long long indices1, long long taps1, const int* weights1, long long weighted1,
                long long weights_each1, long long bits) {
  sum_tile<int>(
      src, cols, dst, dst_cols, top, bottom, step, index0, taps0, weights0, 1 << (13 - bits), index1, taps1, weights1,
      1 << (13 + bits), 0, [bits](int total) { return total >> (14 - bits); },
      [bits](int total) { return saturated<T>(total >> (14 + bits)); });
}
