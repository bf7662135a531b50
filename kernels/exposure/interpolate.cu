// launch: flat, bytes 32
// instances: interpolate<F, F>
#include "vectors.cuh"

// Piecewise linear interpolation, by channel, between `knots` values of a table, equidistant from low to high; the
// first and the last value beyond. NaN stays NaN.
template <typename T, typename U>
__global__ void interpolate(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                            long long top, long long bottom, long long step, const double* low, long long lows,
                            const double* high, long long highs, const double* table, long long tables, long long knots) {
  constexpr int N = Chunk<T, U>::elements;
  const long long offset = top * cols;
  map_chunks<1>(src + offset, dst + offset, (bottom - top) * cols,
                [=](long long first, const Pack<T, N>& in, Pack<U, N>& out) {
                  long long channel = (first + N * step) % step;
#pragma unroll
                  for (int i = 0; i < N; ++i) {
                    const double* const values = table + channel * knots;
                    const double v = in.v[i], from = low[channel], to = high[channel];
                    double result;
                    if (v <= from || knots == 1) {
                      result = is_nan(v) ? v : values[0];
                    } else if (v >= to) {
                      result = values[knots - 1];
                    } else {
                      // Differences of halved values do not overflow.
                      const double part = to - from <= 1.7976931348623157e308 ? 1.0 : 0.5;
                      const double position = (v * part - from * part) / (to * part - from * part) * double(knots - 1);
                      const long long left = max(min((long long)(is_nan(v) ? 0.0 : position), knots - 2), 0ll);
                      const double share = position - double(left);
                      result = values[left] + share * (values[left + 1] - values[left]);
                    }
                    out.v[i] = U(result);
                    channel = channel + 1 == step ? 0 : channel + 1;
                  }
                });
}
