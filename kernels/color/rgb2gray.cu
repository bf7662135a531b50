// launch: flat, bytes 16
// instances: rgb2gray<T, T>
#include "vectors.cuh"

// Weighted sum of the first three of STEP channels; for uint8 in integers, with weights in 65536ths.
template <int STEP, typename T>
__device__ __forceinline__ void weigh(const T* src, T* dst, long long count, long long q0, long long q1, long long q2,
                                      double w0, double w1, double w2) {
  constexpr int N = Chunk<T, T>::elements;
  typedef Wide<T> A;
  const A a0 = A(w0), a1 = A(w1), a2 = A(w2);
  const int i0 = int(q0), i1 = int(q1), i2 = int(q2);  // |q0| + |q1| + |q2| is at most 2^26, times 255 below 2^34
  const bool narrow = (q0 < 0 ? -q0 : q0) + (q1 < 0 ? -q1 : q1) + (q2 < 0 ? -q2 : q2) < (1 << 23);
  map_chunks<STEP>(src, dst, count, [=](long long, const Pack<T, N * STEP>& in, Pack<T, N>& out) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const T r = in.v[STEP * i], g = in.v[STEP * i + 1], b = in.v[STEP * i + 2];
      if constexpr (SameType<T, unsigned char>::value) {
        out.v[i] = narrow ? saturated<T>((i0 * r + i1 * g + i2 * b + 32768) >> 16)
                          : saturated<T>((q0 * r + q1 * g + q2 * b + 32768) >> 16);
      } else {
        out.v[i] = rounded<T>((weighed(A(r), a0) + weighed(A(g), a1)) + weighed(A(b), a2));
      }
    }
  });
}

template <typename T, typename U>
__global__ void rgb2gray(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                         long long top, long long bottom, long long step, long long q0, long long q1, long long q2,
                         double w0, double w1, double w2) {
  src += top * cols;
  dst += top * dst_cols;
  const long long count = (bottom - top) * dst_cols;
  if (step == 3)
    weigh<3>(src, dst, count, q0, q1, q2, w0, w1, w2);
  else
    weigh<4>(src, dst, count, q0, q1, q2, w0, w1, w2);
}
