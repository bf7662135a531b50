// launch: flat, pixels 12
// instances: lab2rgb<F, F>
#include "colors.cuh"

template <typename A>
__device__ __forceinline__ A share_of(A response) {
  const A cube = response * response * response;
  return response > A(0.2068966) ? cube : (response - A(16.0 / 116.0)) / A(7.787);
}

// The sRGB value of a linear one, clipped to [0, 1].
template <typename A>
__device__ __forceinline__ A gamma_of(A light) {
  const A bright = A(1.055) * cube_root(light * root(root(light))) - A(0.055);
  const A value = light > A(0.0031308) ? bright : light * A(12.92);
  return value < A(0) ? A(0) : value > A(1) ? A(1) : value;
}

// CIE L*, a* and b* as sRGB; the matrix converts X, Y and Z, relative to white, to linear red, green and blue.
template <typename A, typename U>
__global__ void lab2rgb(const A* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom, const double* matrix, long long matrix_rows,
                        long long matrix_cols) {
  const Weights<A> weights(matrix);
  each_color(src, dst, cols, top, bottom, [=](A lightness, A green_red, A blue_yellow, A* out) {
    const A middle = (lightness + A(16)) / A(116), last = middle - blue_yellow / A(200);
    const A x = share_of(green_red / A(500) + middle), y = share_of(middle), z = share_of(last < A(0) ? A(0) : last);
#pragma unroll
    for (int k = 0; k < 3; ++k) out[k] = gamma_of(weights.sum(k, x, y, z));
  });
}
