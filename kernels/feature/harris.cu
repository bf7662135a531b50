// launch: tile 128x2, pixels 1x8
// instances: products<T, A>; respond<F, F>
#include "neighbours.cuh"

// Harris' response to corners, in three steps: the products of Sobel's differences, their smoothing (see gaussian.cu), and
// the determinant minus k times the squared trace.

template <typename T, typename U>
__global__ void __launch_bounds__(256, 2)
    products(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols, long long top,
             long long bottom, U* mixed, long long mixed_rows, long long mixed_cols, U* across, long long across_rows,
             long long across_cols, long long step, long long mode, double cval) {
  typedef typename Sums<T, U>::Type N;
  each_window<N, 8>(src, rows, cols, top, bottom, step, mode, cval, [=](long long at, const N(&window)[3][3]) {
    const Slope<T, U> slope(window, N(2), N(1));
    dst[at] = slope.down * slope.down;
    mixed[at] = slope.down * slope.along;
    across[at] = slope.along * slope.along;
  });
}

template <typename A, typename U>
__global__ void respond(const A* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom, const A* mixed, long long mixed_rows, long long mixed_cols,
                        const A* across, long long across_rows, long long across_cols, double k) {
  const Strip<8> strip(top, bottom);
  if (strip.x >= cols) return;
  for (int i = 0; i < strip.count; ++i) {
    const long long at = (strip.row + i) * cols + strip.x;
    const A first = src[at], second = across[at], both = mixed[at], trace = first + second;
    dst[at] = (first * second - both * both) - weighed(trace * trace, A(k));
  }
}
