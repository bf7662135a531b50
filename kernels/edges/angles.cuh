// The arctangent of a quotient, with the CPU's polynomials (kernels/edges/angles.py) in its order of operations.
#pragma once

template <typename A>
struct HalfPi;
template <>
struct HalfPi<float> {
  static constexpr float value = 1.5707963267948966f, rest = -4.371139000186241e-08f;
};
template <>
struct HalfPi<double> {
  static constexpr double value = 1.5707963267948966, rest = 6.123233995736766e-17;
};

// The sign bit, also of zeros.
__device__ __forceinline__ bool is_signed(float v) {
  union {
    float number;
    int bits;
  } held = {v};
  return held.bits < 0;
}
__device__ __forceinline__ bool is_signed(double v) {
  union {
    double number;
    long long bits;
  } held = {v};
  return held.bits < 0;
}

// The arctangent of a number in [0, 1].
__device__ __forceinline__ float arctan(float ratio) {
  const float z = ratio * ratio;
  float p = 0.002920702974576563f;
  p = p * z + -0.016367972177158064f;
  p = p * z + 0.04321193407891134f;
  p = p * z + -0.07552220545969171f;
  p = p * z + 0.10666007555185977f;
  p = p * z + -0.14211056023503862f;
  p = p * z + 0.199937729170028f;
  p = p * z + -0.33333152739146404f;
  return ratio + ratio * (z * p);
}

__device__ __forceinline__ double arctan(double ratio) {
  const bool far = ratio > 0.41421356237309503;  // atan(r) = pi / 4 + atan((r - 1) / (r + 1))
  const double near = (far ? ratio - 1.0 : ratio) / (far ? ratio + 1.0 : 1.0), z = near * near;
  double p = -0.017905033261262727;
  p = p * z + 0.03806213295635326;
  p = p * z + -0.05039190093682711;
  p = p * z + 0.05847859183584845;
  p = p * z + -0.0666309918872905;
  p = p * z + 0.076920597158101;
  p = p * z + -0.09090897725139548;
  p = p * z + 0.11111110782150155;
  p = p * z + -0.1428571428016644;
  p = p * z + 0.19999999999953247;
  p = p * z + -0.333333333333332;
  const double angle = near + near * (z * p);
  return far ? HalfPi<double>::value / 2 + (HalfPi<double>::rest / 2 + angle) : angle;
}

// The angle of the vector (x, y) in radians, with atan2's results for signed zeros, infinity and NaN.
template <typename A>
__device__ __forceinline__ A arctan2(A y, A x) {
  const A rise = y < A(0) ? -y : y, run = x < A(0) ? -x : x;
  const bool steep = rise > run, backward = is_signed(x);
  const A large = steep ? rise : run, small = steep ? run : rise;
  const A ratio = small == large ? A(large > A(0)) : small / large;
  const A angle = arctan(ratio), half = HalfPi<A>::value, rest = HalfPi<A>::rest;
  const A base = steep ? half : backward ? half + half : A(0);
  const A base_rest = steep ? rest : backward ? rest + rest : A(0);
  const A turned = base + (base_rest + (steep != backward ? -angle : angle));
  return is_signed(y) ? -turned : turned;
}
