// launch: tile 128x2, pixels 1x16
// instances: edge_maxima<F, unsigned char>
#include "lengths.cuh"
#include "numbers.cuh"
#include "windows.cuh"
#include "suppression.cuh"

// Sobel's differences, and the magnitude of the gradient that they make.
template <typename A>
struct Slope {
  A rise, run, magnitude;
};

// Gradients of the smoothed image at three neighbouring pixels; it goes on beyond its edge as in mode "reflect".
template <typename A>
__device__ __forceinline__ void slopes(const A (&v)[3][5], Slope<A> (&found)[3]) {
  const auto sum = [](A before, A at, A after) { return (before + after) + (at + at); };
#pragma unroll
  for (int j = 0; j < 3; ++j) {
    Slope<A>& at = found[j];
    at.rise = sum(v[2][j], v[2][j + 1], v[2][j + 2]) - sum(v[0][j], v[0][j + 1], v[0][j + 2]);
    at.run = sum(v[0][j + 2], v[1][j + 2], v[2][j + 2]) - sum(v[0][j], v[1][j], v[2][j]);
    at.magnitude = scaled_length(at.run, at.rise, A(1));
  }
}

// Gradient and non-maximum suppression of the smoothed image. A thread moves down a column: of each row it computes its
// own gradient and those on both sides, once, and keeps them for three rows.
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
    slopes(v, kept[2]);
    if (i < 0) continue;
    const long long here = strip.row + i;
    U level = 0;
    if (!outermost(rows, cols, here, strip.x, step)) {
      // All is there: choices between values, not between addresses.
      const auto magnitude = [&](int down, int along) {
        const A before = down < 0 ? kept[0][0].magnitude : down == 0 ? kept[1][0].magnitude : kept[2][0].magnitude;
        const A at = down < 0 ? kept[0][1].magnitude : kept[2][1].magnitude;
        const A after = down < 0 ? kept[0][2].magnitude : down == 0 ? kept[1][2].magnitude : kept[2][2].magnitude;
        return along < 0 ? before : along == 0 ? at : after;
      };
      level = maximum_level(kept[1][1].magnitude, kept[1][1].rise, kept[1][1].run, weak, strong, magnitude);
    }
    dst[here * cols + strip.x] = level;
  }
}
