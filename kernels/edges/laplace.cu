// launch: tile 128x2, pixels 1x16
// instances: laplace<T, A>
#include "neighbours.cuh"

// The sum of the second differences down the columns and along the rows.
template <typename T, typename U>
__global__ void __launch_bounds__(256, 2)
    laplace(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols, long long top,
            long long bottom, long long step, long long mode, double cval) {
  typedef Sums<T, U> Sum;
  typedef typename Sum::Type N;
  each_window<N, 16>(src, rows, cols, top, bottom, step, mode, cval, [=](long long at, const N(&window)[3][3]) {
    const N vertical = window[0][1] + window[2][1], across = window[1][0] + window[1][2];
    dst[at] = Sum::result((vertical + across) - window[1][1] * N(4));
  });
}
