// Samples of an image at coordinates; see sampling.py.
#pragma once
#include "borders.cuh"
#include "numbers.cuh"

constexpr double FARTHEST = double(1ll << 40);

__device__ __forceinline__ double limited(double coordinate) {
  const double near = coordinate > -FARTHEST ? coordinate : -FARTHEST;
  return near < FARTHEST ? near : FARTHEST;
}

// Where an output pixel is sampled; each of the coordinates is computed as on the CPU.
struct Place {
  double x, y;
};

__device__ __forceinline__ Place place_of(const double* matrix, long long row, long long col) {
  const double down = double(row), along = double(col);
  const double x_row = matrix[1] * down + matrix[2], y_row = matrix[4] * down + matrix[5];
  Place place = {matrix[0] * along + x_row, matrix[3] * along + y_row};
  if (matrix[6] == 0 && matrix[7] == 0 && matrix[8] == 1) return place;
  const double scale = matrix[6] * along + (matrix[7] * down + matrix[8]);
  place.x /= scale;
  place.y /= scale;
  return place;
}

// A weight that is not 0 takes part, also of NaN; pixels of whole numbers are never NaN.
template <typename T, typename A>
__device__ __forceinline__ A share_of(A value, A weight) {
  if constexpr (Number<T>::whole) return value * weight;
  return weighed(value, weight);
}

// Bilinear interpolation of a channel.
template <typename A, typename T>
__device__ __forceinline__ T interpolated(const T* src, long long rows, long long cols, Place place, long long channel,
                                          long long step, long long mode, double cval) {
  if (is_nan(place.x) || is_nan(place.y)) return T(cval);
  const double x = limited(place.x), y = limited(place.y), whole_x = floor(x), whole_y = floor(y);
  const A right = A(x - whole_x), left = A(1) - right, down = A(y - whole_y), up = A(1) - down;
  const long long col = (long long)whole_x, row = (long long)whole_y, pixels = cols / step;
  const long long c0 = fold(col, pixels, mode), c1 = fold(col + 1, pixels, mode);
  const long long r0 = fold(row, rows, mode), r1 = fold(row + 1, rows, mode);
  if ((c0 < 0 && c1 < 0) || (r0 < 0 && r1 < 0)) return T(cval);  // weights may not add up to exactly 1
  const auto pixel = [&](long long r, long long c) {
    return A(r < 0 || c < 0 ? T(cval) : __ldg(src + r * cols + c * step + channel));
  };
  const A a = pixel(r0, c0), b = pixel(r0, c1), c = pixel(r1, c0), d = pixel(r1, c1);
  const A above = share_of<T>(a, left) + share_of<T>(b, right), below = share_of<T>(c, left) + share_of<T>(d, right);
  return rounded<T>(share_of<T>(above, up) + share_of<T>(below, down));
}

// The nearest pixel's channel; `beyond` is the constant's bits.
template <typename T>
__device__ __forceinline__ T nearest(const T* src, long long rows, long long cols, Place place, long long channel,
                                     long long step, long long mode, long long beyond) {
  if (is_nan(place.x) || is_nan(place.y)) return T(beyond);
  const long long row = fold((long long)floor(limited(place.y) + 0.5), rows, mode);
  const long long col = fold((long long)floor(limited(place.x) + 0.5), cols / step, mode);
  return row < 0 || col < 0 ? T(beyond) : __ldg(src + row * cols + col * step + channel);
}
