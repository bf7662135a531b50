// launch: tile 128x2, pixels 1x16
// instances: derivative<T, A>
#include "neighbours.cuh"

// Differences of smoothed neighbours: along axis 0 or 1, or (axis 2) the magnitude of both.
template <typename T, typename U>
__global__ void __launch_bounds__(256, 2)
    derivative(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
               long long top, long long bottom, long long step, long long mode, double cval, long long axis,
               long long centre, long long outer, double factor) {
  typedef typename Sums<T, U>::Type N;
  const N inner = N(centre), sides = N(outer);
  const U scale = U(factor);
  each_window<N, 16>(src, rows, cols, top, bottom, step, mode, cval, [=](long long at, const N(&window)[3][3]) {
    const Slope<T, U> slope(window, inner, sides);
    dst[at] = axis == 0 ? slope.down * scale : axis == 1 ? slope.along * scale : slope.length(scale);
  });
}
