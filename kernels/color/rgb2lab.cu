// launch: flat, pixels 12
// instances: rgb2lab<T, A>
#include "colors.cuh"

// The linear value of an sRGB one.
template <typename A>
__device__ __forceinline__ A linear(A value) {
  if (!(value > A(0.04045))) return value * A(1 / 12.92);
  const A scaled = (value + A(0.055)) * A(1 / 1.055), found = inverse_root<5>(scaled), cube = found * found * found;
  return scaled * scaled * (scaled * cube);
}

template <typename A>
__device__ __forceinline__ A response(A light) {
  return light > A(0.008856) ? cube_root(light) : A(7.787) * light + A(16.0 / 116.0);
}

// sRGB as CIE L*, a* and b*; the matrix converts linear red, green and blue to X, Y and Z, relative to white.
template <typename T, typename A>
__global__ void rgb2lab(const T* src, long long rows, long long cols, A* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom, const double* matrix, long long matrix_rows,
                        long long matrix_cols) {
  const Weights<A> weights(matrix);
  __shared__ A table[sizeof(T) == 1 ? 256 : 1];  // fewer byte values than pixels in a block
  if constexpr (sizeof(T) == 1) {
    table[threadIdx.x] = linear(share<A>(T(threadIdx.x)));
    __syncthreads();
  }
  const A* const lights = table;
  each_color(src, dst, cols, top, bottom, [=](T first, T second, T third, A* out) {
    const auto light = [=](T value) {
      if constexpr (sizeof(T) == 1)
        return lights[value];
      else
        return linear(share<A>(value));
    };
    const A red = light(first), green = light(second), blue = light(third);
    const A x = response(weights.sum(0, red, green, blue));
    const A y = response(weights.sum(1, red, green, blue));
    const A z = response(weights.sum(2, red, green, blue));
    out[0] = A(116) * y - A(16);
    out[1] = A(500) * (x - y);
    out[2] = A(200) * (y - z);
  });
}
