// launch: tile 128x2, pixels 1x16
// instances: edge_maxima<F, unsigned char>; near_edge_maxima<F, unsigned char>
#include "lengths.cuh"
#include "numbers.cuh"
#include "windows.cuh"
#include "suppression.cuh"

// Sobel's differences and the gradient magnitude.
template <typename A>
struct Slope {
  A rise, run, magnitude;
};

// Gradients of the smoothed image at N adjacent pixels; it is extended beyond its edge as in mode "reflect".
template <int N, typename A>
__device__ __forceinline__ void slopes(const A (&v)[3][N + 2], Slope<A> (&found)[N]) {
  const auto sum = [](A before, A at, A after) { return (before + after) + (at + at); };
#pragma unroll
  for (int j = 0; j < N; ++j) {
    Slope<A>& at = found[j];
    at.rise = sum(v[2][j], v[2][j + 1], v[2][j + 2]) - sum(v[0][j], v[0][j + 1], v[0][j + 2]);
    at.run = sum(v[0][j + 2], v[1][j + 2], v[2][j + 2]) - sum(v[0][j], v[1][j], v[2][j]);
    at.magnitude = scaled_length(at.run, at.rise, A(1));
  }
}

// The level of the central one of 3x3 magnitudes. All are in registers: selects between values, not addresses.
template <typename A>
__device__ __forceinline__ unsigned char level_of(const A (&kept)[3][3], A rise, A run, A weak, A strong) {
  const auto magnitude = [&](int down, int along) {
    const A before = down < 0 ? kept[0][0] : down == 0 ? kept[1][0] : kept[2][0];
    const A at = down < 0 ? kept[0][1] : kept[2][1];
    const A after = down < 0 ? kept[0][2] : down == 0 ? kept[1][2] : kept[2][2];
    return along < 0 ? before : along == 0 ? at : after;
  };
  return maximum_level(kept[1][1], rise, run, weak, strong, magnitude);
}

// Gradient and non-maximum suppression of the smoothed image. A thread moves down a column: in each row it computes its
// own gradient and those of both neighbours, once, and keeps them for three rows.
template <typename A, typename U>
__global__ void __launch_bounds__(256, 2)
    edge_maxima(const A* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                long long top, long long bottom, long long step, double low, double high) {
  const Strip<16> strip(top, bottom);
  if (strip.x >= cols || strip.count <= 0) return;
  long long column[5];
#pragma unroll
  for (int j = 0; j < 5; ++j) {
    const long long x = strip.x + (j - 2) * step, channel = strip.x % step;
    column[j] = x < 0 ? channel : x >= cols ? cols - step + channel : x;
  }
  A v[3][5];
  Slope<A> kept[3][3];
  const long long last = bottom + 1 < rows ? bottom + 1 : rows - 1;
  const A weak = A(low), strong = A(high);
#pragma unroll 2
  for (int i = -4; i < strip.count; ++i) {
    const long long row = strip.row + i + 2, r = row < 0 ? 0 : row > last ? last : row;
    const A* const line = src + r * cols;
#pragma unroll
    for (int j = 0; j < 5; ++j) {
      v[0][j] = v[1][j];
      v[1][j] = v[2][j];
      v[2][j] = __ldg(line + column[j]);
    }
    if (i < -2) continue;
#pragma unroll
    for (int j = 0; j < 3; ++j) {
      kept[0][j] = kept[1][j];
      kept[1][j] = kept[2][j];
    }
    slopes<3>(v, kept[2]);
    if (i < 0) continue;
    const long long here = strip.row + i;
    U level = 0;
    if (!outermost(rows, cols, here, strip.x, step)) {
      const A magnitudes[3][3] = {{kept[0][0].magnitude, kept[0][1].magnitude, kept[0][2].magnitude},
                                  {kept[1][0].magnitude, kept[1][1].magnitude, kept[1][2].magnitude},
                                  {kept[2][0].magnitude, kept[2][1].magnitude, kept[2][2].magnitude}};
      level = level_of(magnitudes, kept[1][1].rise, kept[1][1].run, weak, strong);
    }
    dst[here * cols + strip.x] = level;
  }
}

constexpr int HEIGHT = 32;  // rows of a warp's results
// Blocks of a multiprocessor for which the registers suffice.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
template <typename A>
constexpr int BLOCKS_OF = sizeof(A) == 8 ? 2 : 3;
#else
template <typename A>
constexpr int BLOCKS_OF = sizeof(A) == 8 ? 2 : 4;
#endif
constexpr unsigned int WARP = 0xffffffffu;

// The same for pixels of few elements: each lane computes its own gradient and gets its neighbours' magnitudes from
// other lanes. The first and the last `step` lanes have no results.
template <typename A, typename U>
__global__ void __launch_bounds__(256, BLOCKS_OF<A>)
    near_edge_maxima(const A* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                     long long top, long long bottom, long long step, double low, double high) {
  const int lane = threadIdx.x, apart = int(step);
  const long long x = (long long)blockIdx.x * (32 - 2 * apart) + lane - apart;
  const long long first = top + ((long long)blockIdx.y * blockDim.y + threadIdx.y) * HEIGHT;
  if (first >= bottom) return;
  const long long own = x < 0 ? 0 : x >= cols ? cols - 1 : x;
  const int before = own < step ? 0 : -apart, after = own >= cols - step ? 0 : apart;
  const bool stores = lane >= apart && lane < 32 - apart && x < cols;
  const bool inner = x >= step && x < cols - step;
  const int last = int(min(bottom + 1, rows - 1) - first), count = int(min((long long)HEIGHT, bottom - first));
  const int begin = int(max(-2ll, -first));
  const A weak = A(low), strong = A(high);
  const A* line = src + max(first - 2, 0ll) * cols + own;
  const auto load = [&](int row, A(&into)[3]) {  // clamped to the first and last row
    into[0] = __ldg(line + before);
    into[1] = __ldg(line);
    into[2] = __ldg(line + after);
    if (row >= begin && row < last) line += cols;
  };
  A v[3][3], kept[3][3] = {}, following[3], rise = A(0), run = A(0);
  load(-2, v[1]);
  load(-1, v[2]);
  load(0, following);
  U* out = dst + first * cols + x;
  const bool at_top = first == 0, at_bottom = first + count == rows;
#pragma unroll 3
  for (int row = -1; row <= count; ++row) {  // of the warp's
#pragma unroll
    for (int j = 0; j < 3; ++j) {
      v[0][j] = v[1][j];
      v[1][j] = v[2][j];
      v[2][j] = following[j];
      kept[0][j] = kept[1][j];
      kept[1][j] = kept[2][j];
    }
    load(row + 2, following);  // in flight while this row is processed
    Slope<A> slope[1];
    slopes<1>(v, slope);
    kept[2][0] = __shfl_sync(WARP, slope[0].magnitude, lane - apart);
    kept[2][1] = slope[0].magnitude;
    kept[2][2] = __shfl_sync(WARP, slope[0].magnitude, lane + apart);
    if (row >= 1) {  // results of the previous row
      const bool outside = !inner || (at_top && row == 1) || (at_bottom && row == count);
      if (stores) *out = outside ? U(0) : level_of(kept, rise, run, weak, strong);
      out += cols;
    }
    rise = slope[0].rise;
    run = slope[0].run;
  }
}
