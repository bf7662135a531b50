// Non-maximum suppression for one pixel, shared by the kernel that reads derivatives and the one that computes them.
#pragma once
#include "numbers.cuh"

template <typename A>
__device__ __forceinline__ A absolute(A v) {
  return v < A(0) ? -v : v;
}

// 1 for a maximum of at least `high` along the gradient (rise, run), 2 for one of at least `low`, else 0. Compares with
// the two points where the gradient's line crosses the ring of neighbours; magnitude(down, along) is a neighbour's.
template <typename A, typename Magnitude>
__device__ __forceinline__ unsigned char maximum_level(A strength, A rise, A run, A low, A high, Magnitude magnitude) {
  if (!(strength >= low && strength > A(0))) return 0;
  const int down = (rise <= A(0)) == (run <= A(0)) ? 1 : -1;
  rise = absolute(rise);
  run = absolute(run);
  const bool steep = rise > run;
  const A weight = (steep ? run : rise) / (steep ? rise : run), rest = A(1) - weight;
  const int side_down = steep ? down : 0, side_along = steep ? 0 : 1;
  const A ahead = weighed(magnitude(down, 1), weight) + weighed(magnitude(side_down, side_along), rest);
  if (!(ahead <= strength)) return 0;
  const A behind = weighed(magnitude(-down, -1), weight) + weighed(magnitude(-side_down, -side_along), rest);
  if (!(behind <= strength)) return 0;
  return strength < high ? 2 : 1;
}

// Whether an element belongs to one of the image's outermost pixels.
__device__ __forceinline__ bool outermost(long long rows, long long cols, long long row, long long x, long long step) {
  return row == 0 || row == rows - 1 || x < step || x >= cols - step;
}
