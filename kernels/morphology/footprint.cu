// launch: tile 32x8, pixels 4x1
// instances: near_footprint<L, L>; footprint<L, L>
#include "columns.cuh"
#include "minima.cuh"

// The minimum (maximum with `flip`) under the ones of a footprint; NaN if any value is NaN.
template <typename T, typename U>
__global__ void footprint(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                          long long top, long long bottom, long long step, long long mode, double cval,
                          const unsigned char* footprint, long long height, long long width, long long flip) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    T best = T(0);
    bool any = false;
    for (long long i = 0; i < height; ++i) {
      const long long r = fold(row + i - height / 2, rows, mode);
      for (long long j = 0; j < width; ++j) {
        if (!footprint[i * width + j]) continue;
        const long long c = fold_element(x + (j - width / 2) * step, cols, step, mode);
        const T value = r < 0 || c < 0 ? T(cval) : src[r * cols + c];
        if (!any || is_nan(value) || (flip ? value > best : value < best)) best = value;  // nothing is less than NaN
        any = true;
      }
    }
    dst[row * cols + x] = best;
  });
}

constexpr int FOOTPRINT_ROWS = 32, TURNS = 4;  // maximum rows of a footprint; rows of results per warp

// The same in a strip. Each row of the footprint consists of runs of ones, and the minimum of a run is that of two
// overlapping stretches whose length is a power of two, as on the CPU: the strip's elements become minima of 2, 4, ...
// neighbours in turn, and at each length all stretches of this length are looked up.
template <typename T, typename U>
__global__ void __launch_bounds__(128, 6) near_footprint(const T* src, long long rows, long long cols, U* dst,
                                                         long long dst_rows, long long dst_cols, long long top,
                                                         long long bottom, long long step, long long mode, double cval,
                                                         const unsigned char* footprint, long long height,
                                                         long long width, long long flip, long long words) {
  typedef WordOf<T> W;
  constexpr int N = Words<T>::elements, CHUNKS = STRIP_WORDS / 32, RESULTS = TURNS * STRIP_WARPS;
  DYNAMIC_SHARED(W, strip);
  __shared__ int stretches[FOOTPRINT_ROWS * FOOTPRINT_ROWS], found;
  __shared__ unsigned ones[FOOTPRINT_ROWS];  // a bit for each element of a row
  const W turn = turning<T>(flip != 0);
  const long long before = width / 2 * step;
  const Strip place(src, cols, words, before);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, apart = int(step);
  const int begin = int(place.first - before - place.left), high = int(height), wide = int(width);
  const long long stride = (long long)gridDim.y * RESULTS;
#pragma unroll
  for (int i = 0; i < FOOTPRINT_ROWS / STRIP_WARPS; ++i) {
    const int row = warp + i * STRIP_WARPS;
    const bool one = row < high && lane < wide && footprint[row * wide + lane];
    const unsigned bits = __ballot_sync(~0u, one);
    if (lane == 0) ones[row] = bits;
  }
  for (long long first = top + (long long)blockIdx.y * RESULTS; first < bottom; first += stride) {
    const int count = int(min((long long)RESULTS, bottom - first)), loaded = count + high - 1;
    load_strip<T>(src, rows, cols, step, mode, cval, first - height / 2, place.left, loaded, turn, strip);
    Lanes<T> best[TURNS][CHUNKS];
#pragma unroll
    for (int t = 0; t < TURNS; ++t) {
#pragma unroll
      for (int c = 0; c < CHUNKS; ++c) best[t][c] = Lanes<T>::highest();
    }
    for (int size = 1; size <= wide; size *= 2) {
      if (threadIdx.x == 0) found = 0;
      __syncthreads();
      if (size > 1)
        for (int r = warp; r < loaded; r += STRIP_WARPS) double_run<T>(strip + r * STRIP_WORDS, size / 2 * apart);
      if (threadIdx.x < high) {
        unsigned bits = ones[threadIdx.x];
        for (int col = 0; bits != 0;) {
          const int zeros = __ffs(int(bits)) - 1;
          bits >>= zeros;
          const int length = bits == ~0u ? 32 : __ffs(int(~bits)) - 1;
          col += zeros;
          if (length >= size && length < 2 * size) {
            stretches[atomicAdd(&found, 1)] = threadIdx.x << 16 | col;
            if (length > size) stretches[atomicAdd(&found, 1)] = threadIdx.x << 16 | (col + length - size);
          }
          bits = length < 32 ? bits >> length : 0;
          col += length;
        }
      }
      __syncthreads();
      for (int i = 0; i < found; ++i) {
        const int row = stretches[i] >> 16, distance = (stretches[i] & 65535) * apart;
#pragma unroll
        for (int t = 0; t < TURNS; ++t) {
          const int r = warp + t * STRIP_WARPS;
          if (r >= count) break;
          const W* const line = strip + (r + row) * STRIP_WORDS + lane;
          const int offset = begin - misaligned(dst + (first + r) * cols + place.first) + distance;
#pragma unroll
          for (int c = 0; c < CHUNKS; ++c)
            if (lane + 32 * c < words) best[t][c].lower(Lanes<T>(strip_word<T>(line + 32 * c, offset)));
        }
      }
      __syncthreads();
    }
#pragma unroll
    for (int t = 0; t < TURNS; ++t) {
      const int r = warp + t * STRIP_WARPS;
      if (r >= count) break;
      U* const out = dst + (first + r) * cols;
      const long long x = place.first - misaligned(out + place.first);
#pragma unroll
      for (int c = 0; c < CHUNKS; ++c)
        if (lane + 32 * c < words) store_strip<U>(out, cols, x + (lane + 32 * c) * N, best[t][c].word() ^ turn);
    }
    __syncthreads();
  }
}
