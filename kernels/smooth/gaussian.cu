// launch: tile 32x8, pixels 4x1
// instances: fixed_down<unsigned char>; fixed_along<unsigned char>; fixed_along<unsigned short>; down<T, A>
// instances: along<A, T>
#include "borders.cuh"
#include "columns.cuh"
#include "numbers.cuh"

// A symmetric kernel down the columns into a scratch image, then along its rows. `weights` are one half of it, from the
// centre outwards. In fixed point (uint8, short kernels) values count in 256ths, weights in 65536ths; each product is
// truncated and `offset` makes up for what that loses on average. A result of unsigned short stays in 256ths.

// Sum of value(-radius .. radius), weighted, from the centre outwards in pairs: the order that the CPU has.
template <typename A, typename Value>
__device__ __forceinline__ A weighted(const double* weights, long long radius, Value value) {
  A total = A(weights[0]) * value(0);
  for (long long k = 1; k <= radius; ++k) total = total + A(weights[k]) * (value(-k) + value(k));
  return total;
}

// The same for values in 256ths.
template <typename Value>
__device__ __forceinline__ unsigned int weighted_fixed(const unsigned short* weights, long long radius, long long offset,
                                                       Value value) {
  unsigned int total = (unsigned int)offset + ((value(0) * weights[0]) >> 16);
  for (long long k = 1; k <= radius; ++k) {
    const unsigned int weight = weights[k];
    total += ((value(-k) * weight) >> 16) + ((value(k) * weight) >> 16);
  }
  return total & 65535u;
}

// A column's value, rows folded; `outside` stands for the constant.
template <typename T, typename A>
struct Column {
  const T* src;
  long long rows, cols, row, mode;
  A outside;
  bool inside;
  __device__ A operator()(long long k) const {
    const long long r = inside ? row + k : fold(row + k, rows, mode);
    return r < 0 ? outside : A(src[r * cols]);
  }
};

// A row's value, columns folded.
template <typename A>
struct Row {
  const A* src;
  long long cols, x, step, mode;
  A outside;
  bool inside;
  __device__ A operator()(long long k) const {
    const long long c = inside ? x + k * step : fold_element(x + k * step, cols, step, mode);
    return c < 0 ? outside : src[c];
  }
};

template <typename T, typename A>
__global__ void down(const T* src, long long rows, long long cols, A* dst, long long dst_rows, long long dst_cols,
                     long long top, long long bottom, long long mode, double cval, long long radius,
                     const double* weights, long long taps) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const bool inside = row >= radius && row + radius < rows;
    const Column<T, A> value = {src + x, rows, cols, row, mode, A(cval), inside};
    dst[row * cols + x] = weighted<A>(weights, radius, value);
  });
}

template <typename A, typename T>
__global__ void along(const A* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                      long long top, long long bottom, long long step, long long mode, double cval, long long radius,
                      const double* weights, long long taps) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const bool inside = x >= radius * step && x + radius * step < cols;
    const Row<A> value = {src + row * cols, cols, x, step, mode, A(cval), inside};
    dst[row * cols + x] = rounded<T>(weighted<A>(weights, radius, value));
  });
}

template <typename T>
__global__ void fixed_down(const T* src, long long rows, long long cols, unsigned short* dst, long long dst_rows,
                           long long dst_cols, long long top, long long bottom, long long mode, double cval,
                           long long radius, const unsigned short* weights, long long taps, long long offset) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const bool inside = row >= radius && row + radius < rows;
    const Column<T, unsigned int> value = {src + x, rows, cols, row, mode, (unsigned int)cval, inside};
    const auto scaled = [=](long long k) { return value(k) << 8; };
    dst[row * cols + x] = (unsigned short)weighted_fixed(weights, radius, offset, scaled);
  });
}

template <typename T>
__device__ __forceinline__ T out_of_fixed(unsigned int total) {
  return sizeof(T) == 1 ? T((total + 128u) >> 8) : T(total);
}

template <typename T>
__global__ void fixed_along(const unsigned short* src, long long rows, long long cols, T* dst, long long dst_rows,
                            long long dst_cols, long long top, long long bottom, long long step, long long mode,
                            double cval, long long radius, const unsigned short* weights, long long taps,
                            long long offset) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const bool inside = x >= radius * step && x + radius * step < cols;
    const Row<unsigned short> value = {src + row * cols, cols, x, step, mode, (unsigned short)((int)cval << 8), inside};
    const auto wide = [=](long long k) { return (unsigned int)value(k); };
    dst[row * cols + x] = out_of_fixed<T>(weighted_fixed(weights, radius, offset, wide));
  });
}
