// launch: flat, pixels 12
// instances: hsv2rgb<F, F>
#include "colors.cuh"

// The fraction of the saturation that is subtracted from a channel, whose turn is from 0 to 6.
template <typename A>
__device__ __forceinline__ A taken(A turn) {
  turn = turn - A(6) * floor(turn / A(6));
  const A near = turn < A(4) - turn ? turn : A(4) - turn, most = near < A(1) ? near : A(1);
  return most > A(0) ? most : A(0);
}

// Hue, saturation and value as red, green and blue.
template <typename A, typename U>
__global__ void hsv2rgb(const A* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom) {
  each_color(src, dst, cols, top, bottom, [=](A hue, A saturation, A value, A* out) {
    hue = hue * A(6);
    const A depth = value * saturation;
    out[0] = value - depth * taken(A(5) + hue);
    out[1] = value - depth * taken(A(3) + hue);
    out[2] = value - depth * taken(A(1) + hue);
  });
}
