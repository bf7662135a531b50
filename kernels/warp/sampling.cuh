// Samples of an image at coordinates; see sampling.py.
#pragma once
#include "borders.cuh"
#include "numbers.cuh"

constexpr double FARTHEST = double(1ll << 40);

__device__ __forceinline__ double limited(double coordinate) {
  const double near = coordinate > -FARTHEST ? coordinate : -FARTHEST;
  return near < FARTHEST ? near : FARTHEST;
}

// The coordinates of an output pixel's sample, computed as on the CPU.
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

// The weighted value; 0 for a weight of 0, even if the value is NaN, which integers never are.
template <typename T, typename A>
__device__ __forceinline__ A share_of(A value, A weight) {
  if constexpr (Number<T>::whole) return value * weight;
  return weighed(value, weight);
}

// The weights of the pixels along an axis: 2 for bilinear, 4 for cubic convolution; see weights_of in sampling.py.
template <int TAPS, typename A>
struct Weights {
  A at[TAPS];

  __device__ __forceinline__ explicit Weights(A share) {
    const A rest = A(1) - share;
    if constexpr (TAPS == 2) {
      at[0] = rest;
      at[1] = share;
    } else {
      at[0] = outer(share, rest);
      at[1] = inner(share);
      at[2] = inner(rest);
      at[3] = outer(rest, share);
    }
  }
  static __device__ __forceinline__ A inner(A distance) {
    return A(1) + distance * distance * (A(1.5) * distance - A(2.5));
  }
  static __device__ __forceinline__ A outer(A beyond, A rest) { return A(-0.5) * beyond * (rest * rest); }
};

// The weighted sum of value(0), value(1) and so on; with cubic convolution of floats, clipped to their widened range.
template <int TAPS, typename T, typename A, typename Value>
__device__ __forceinline__ A mean_of(const Weights<TAPS, A>& weights, Value value) {
  constexpr A OVERSHOOT = A(0.5);  // more than the sum of the negative weights
  A total = -A(0), low = LARGEST<A>, high = -low;
#pragma unroll
  for (int tap = 0; tap < TAPS; ++tap) {
    const A each = value(tap);
    total = total + share_of<T>(each, weights.at[tap]);
    low = each < low ? each : low;
    high = each > high ? each : high;
  }
  if constexpr (TAPS == 2 || Number<T>::whole) return total;
  const A beyond = OVERSHOOT * high - OVERSHOOT * low;
  const A minimum = low - beyond, maximum = high + beyond;
  return total < minimum ? minimum : total > maximum ? maximum : total;
}

// Interpolation of a channel by TAPS x TAPS pixels.
template <int TAPS, typename A, typename T>
__device__ __forceinline__ T interpolated(const T* src, long long rows, long long cols, Place place, long long channel,
                                          long long step, long long mode, double cval) {
  if (is_nan(place.x) || is_nan(place.y)) return T(cval);
  const double x = limited(place.x), y = limited(place.y), whole_x = floor(x), whole_y = floor(y);
  const Weights<TAPS, A> along(A(x - whole_x)), across(A(y - whole_y));
  const long long first_col = (long long)whole_x - (TAPS / 2 - 1), first_row = (long long)whole_y - (TAPS / 2 - 1);
  long long near_cols[TAPS], near_rows[TAPS];
  bool no_col = true, no_row = true;
#pragma unroll
  for (int tap = 0; tap < TAPS; ++tap) {
    near_cols[tap] = fold(first_col + tap, cols / step, mode);
    near_rows[tap] = fold(first_row + tap, rows, mode);
    no_col = no_col && near_cols[tap] < 0;
    no_row = no_row && near_rows[tap] < 0;
  }
  if (no_col || no_row) return T(cval);  // the sum of the weights may not be exactly 1
  return rounded<T>(mean_of<TAPS, T>(across, [&](int i) {
    const long long r = near_rows[i];
    return mean_of<TAPS, T>(along, [&](int k) {
      const long long c = near_cols[k];
      return A(r < 0 || c < 0 ? T(cval) : __ldg(src + r * cols + c * step + channel));
    });
  }));
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
