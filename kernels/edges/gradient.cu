// launch: tile 128x2, pixels 1x8
// instances: gradient<T, A>
#include "angles.cuh"
#include "neighbours.cuh"

// The gradient in polar form: magnitude and angle of the differences of smoothed neighbours.
template <typename T, typename U>
__global__ void __launch_bounds__(256, 2)
    gradient(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
             long long top, long long bottom, U* direction, long long direction_rows, long long direction_cols, long long step,
             long long mode, double cval, long long centre, long long outer, double factor) {
  typedef typename Sums<T, U>::Type N;
  const N inner = N(centre), sides = N(outer);
  const U scale = U(factor);
  each_window<N, 8>(src, rows, cols, top, bottom, step, mode, cval, [=](long long at, const N(&window)[3][3]) {
    const Slope<T, U> slope(window, inner, sides);
    dst[at] = slope.length(scale);
    direction[at] = arctan2(slope.down, slope.along);
  });
}
