// launch: tile 128x1, pixels 1x1
// instances: niblack_down<T>; niblack_along<T>; niblack<I, float>; niblack<F, F>
// instances: near_niblack<unsigned char, float, unsigned int>; near_niblack<unsigned short, float, double>
// instances: near_niblack<short, float, double>; near_niblack<F, F, double>
#include "borders.cuh"
#include "numbers.cuh"

// Sums of windows in float64, with sums of squares for integers, which are exact, and squared deviations for floats: of
// 1, then 2 or 3, then 4 to 7, ... rows, then pixels, in the CPU's order.
template <typename S>
struct Sums {
  S sum, spread;
};
typedef Sums<double> Part;

// Combine two halves of `size` elements of `count` values each, and a third element if `size` is odd.
template <typename T>
struct Join {
  bool is_odd;
  double twice = 0, factor = 0, last_factor = 0;

  __device__ __forceinline__ Join(long long size, long long count) : is_odd(size & 1) {
    if constexpr (!Number<T>::whole) {
      twice = 2.0 * double(size / 2);
      factor = 1.0 / (twice * double(count));
      if (is_odd) last_factor = 1.0 / (twice * double(size) * double(count));
    }
  }
  template <typename S>
  __device__ __forceinline__ Sums<S> operator()(Sums<S> one, Sums<S> other, Sums<S> third) const {
    Sums<S> out = {one.sum + other.sum, one.spread + other.spread};
    if constexpr (!Number<T>::whole) {
      const double apart = one.sum - other.sum;
      out.spread = out.spread + apart * apart * factor;
      if (is_odd) {
        const double further = out.sum - third.sum * twice;
        out.spread = out.spread + third.spread + further * further * last_factor;
      }
    } else if (is_odd) {
      out.spread += third.spread;
    }
    if (is_odd) out.sum = out.sum + third.sum;
    return out;
  }
};

// Windows of `size` rows, the first of which begins in row `begin` of the image, from windows of half as many rows, or
// from single rows for a size below 4. The last column is that of the constant beyond the edge.
template <typename T>
__global__ void niblack_down(const T* src, long long rows, long long cols, double* sums, long long windows,
                             long long sums_cols, double* spreads, long long spreads_rows, long long spreads_cols,
                             const double* half_sums, long long half_rows, long long half_cols,
                             const double* half_spreads, long long half_spread_rows, long long half_spread_cols,
                             long long begin, long long size, long long mode, double cval, double scale) {
  const long long x = (long long)blockIdx.x * blockDim.x + threadIdx.x, half = size / 2;
  if (x >= sums_cols) return;
  const auto single = [=](long long i) {
    const long long row = x < cols ? fold(begin + i, rows, mode) : -1;
    const double value = double(row < 0 ? T(cval) : src[row * cols + x]) * scale;
    return Part{value, Number<T>::whole ? value * value : 0.0};
  };
  const auto part = [=](long long i) {
    return half == 1 ? single(i) : Part{half_sums[i * sums_cols + x], half_spreads[i * sums_cols + x]};
  };
  const Join<T> join(size, 1);
  for (long long i = blockIdx.y; i < windows; i += gridDim.y) {
    const Part whole =
        size == 1 ? single(i) : join(part(i), part(i + half), size & 1 ? single(i + 2 * half) : Part());
    sums[i * sums_cols + x] = whole.sum;
    spreads[i * sums_cols + x] = whole.spread;
  }
}

// The same along the rows: `singles` are columns of `count` values, then that of the constant; windows begin `before`
// elements before their first column.
template <typename T>
__global__ void niblack_along(const double* singles, long long rows, long long pitch, const double* single_spreads,
                              long long single_rows, long long single_cols, double* sums, long long sums_rows,
                              long long windows, double* spreads, long long spreads_rows, long long spreads_cols,
                              const double* half_sums, long long half_rows, long long half_cols,
                              const double* half_spreads, long long half_spread_rows, long long half_spread_cols,
                              long long before, long long size, long long step, long long mode, long long count) {
  const long long x = (long long)blockIdx.x * blockDim.x + threadIdx.x, half = size / 2, cols = pitch - 1;
  if (x >= windows) return;
  const Join<T> join(size, count);
  for (long long row = blockIdx.y; row < rows; row += gridDim.y) {
    const auto single = [=](long long at) {
      const long long col = fold_element(at - before, cols, step, mode), place = row * pitch + (col < 0 ? cols : col);
      return Part{singles[place], single_spreads[place]};
    };
    const auto part = [=](long long at) {
      return half == 1 ? single(at) : Part{half_sums[row * half_cols + at], half_spreads[row * half_cols + at]};
    };
    const Part third = size & 1 ? single(x + 2 * half * step) : Part();
    const Part whole = join(part(x), part(x + half * step), third);
    sums[row * windows + x] = whole.sum;
    spreads[row * windows + x] = whole.spread;
  }
}

// The threshold from the sums of the window around `centre`.
template <typename U, typename T>
__device__ __forceinline__ U threshold(double sum, double spread, T centre, double area, double k, double r,
                                       double scale, double tolerance) {
  double mean = sum / area, deviation;
  if constexpr (Number<T>::whole) {
    const double near = rint(mean), left = sum - near * area;
    deviation = root((spread - near * (sum + left) - left * left / area) / area);
  } else {
    deviation = root(spread / area);
    deviation = deviation <= tolerance * fabs(mean) ? 0.0 : deviation / scale;
    mean = constant_kept(mean / scale, double(centre), tolerance);
  }
  return U(r > 0 ? mean * (1.0 + k * (deviation / r - 1.0)) : mean - k * deviation);
}

template <typename T, typename U>
__global__ void niblack(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                        const double* sums, long long sums_rows, long long sums_cols, const double* spreads,
                        long long spreads_rows, long long spreads_cols, long long top, long long bottom, long long n0,
                        long long n1, double k, double r, double scale, double tolerance) {
  const long long x = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (x >= cols) return;
  const double area = double(n0 * n1);
  for (long long row = top + blockIdx.y; row < bottom; row += gridDim.y) {
    const long long at = (row - top) * sums_cols + x;
    dst[row * cols + x] = threshold<U>(sums[at], spreads[at], src[row * cols + x], area, k, r, scale, tolerance);
  }
}

constexpr int THREADS = 256;
// Rows of a thread whose sums are computed together, before they overwrite values that may still be read.
template <typename S>
constexpr int HELD = sizeof(S) < 8 ? 8 : 4;

// Small windows in one launch, all sums in shared memory. A thread has some rows of one of `columns` elements. Sums of
// integers are exact, in any order and also in integers.
template <typename T, typename U, typename S>
__global__ void __launch_bounds__(256, 4)
    near_niblack(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                 long long top, long long bottom, long long step, long long mode, double cval, long long n0,
                 long long n1, double k, double r, double scale, double tolerance, long long height,
                 long long columns) {
  typedef Sums<S> Both;
  DYNAMIC_SHARED(Both, singles);
  const int down = int(n0), taps = int(n1), pitch = int(columns), apart = int(step), high = int(height);
  const int groups = THREADS / pitch, x = threadIdx.x % pitch, group = threadIdx.x / pitch;
  const int wide = pitch - (taps - 1) * apart, reach = high + down - 1;
  const int levels = 31 - __clz(down), smallest = levels ? down >> (levels - 1) : 1;
  Both* const parts = singles + (Number<T>::whole ? high : reach - smallest + 1) * pitch;
  T* const tile = reinterpret_cast<T*>(parts + high * pitch);
  const long long first = top + (long long)blockIdx.y * high, left = (long long)blockIdx.x * wide;
  const int count = int(min((long long)high, bottom - first)), loaded = count + down - 1;
  const long long column = fold_element(left + x - taps / 2 * apart, cols, step, mode);
#pragma unroll 4
  for (int i = group; i < loaded; i += groups) {
    const long long row = fold(first - down / 2 + i, rows, mode);
    tile[i * pitch + x] = row < 0 || column < 0 ? T(cval) : __ldg(src + row * cols + column);
  }
  const auto value = [=](int i) {
    if constexpr (SameType<S, double>::value) {
      const double found = double(tile[i * pitch + x]) * scale;
      return Both{found, Number<T>::whole ? found * found : 0.0};
    } else {
      const S found = tile[i * pitch + x];
      return Both{found, found * found};
    }
  };
  // Set to[i] to made(i) for rows i < most; made may read the values that are replaced, in row i and below.
  const auto replace = [=](Both* to, int most, bool is_there, auto made) {
    __syncthreads();
#pragma unroll 1
    for (int begin = group; begin - group < most; begin += HELD<S> * groups) {
      Both held[HELD<S>];
#pragma unroll
      for (int j = 0; j < HELD<S>; ++j) {
        const int i = begin + j * groups;
        if (i < most && is_there) held[j] = made(i);
      }
      __syncthreads();
#pragma unroll
      for (int j = 0; j < HELD<S>; ++j) {
        const int i = begin + j * groups;
        if (i < most && is_there) to[i * pitch + x] = held[j];
      }
    }
  };
  if constexpr (Number<T>::whole) {  // a thread has consecutive rows, whose sums gain a row and lose one
    const int some = high / groups, begin = group * some;
    Both total = Both();
    __syncthreads();
#pragma unroll 4
    for (int i = begin; i < begin + down - 1; ++i) {
      const Both more = value(i);
      total = Both{total.sum + more.sum, total.spread + more.spread};
    }
#pragma unroll 4
    for (int i = begin; i < begin + some; ++i) {
      const Both more = value(i + down - 1), less = value(i);
      total = Both{total.sum + more.sum, total.spread + more.spread};
      singles[i * pitch + x] = total;
      total = Both{total.sum - less.sum, total.spread - less.spread};
    }
  } else {
    if (levels == 0) replace(singles, count, true, value);
#pragma unroll 1
    for (int level = levels - 1; level >= 0; --level) {
      const int size = down >> level, half = size / 2;
      const Join<T> join(size, 1);
      replace(singles, loaded - size + 1, true, [=](int i) {
        const Both* const from = singles + i * pitch + x;
        const Both third = size & 1 ? value(i + 2 * half) : Both();
        return half == 1 ? join(value(i), value(i + 1), third) : join(from[0], from[half * pitch], third);
      });
    }
  }
  const auto along = [=](const Join<T>& join, int i, int size) {
    const int half = size / 2, at = i * pitch + x;
    const Both* const from = (half == 1 ? singles : parts) + at;
    return join(from[0], from[half * apart], size & 1 ? singles[at + 2 * half * apart] : Both());
  };
#pragma unroll 1
  for (int level = 30 - __clz(taps); level > 0; --level) {
    const int size = taps >> level;
    const Join<T> join(size, n0);
    replace(parts, count, x < wide + (taps - size) * apart, [=](int i) { return along(join, i, size); });
  }
  __syncthreads();
  if (x >= wide || left + x >= cols) return;
  const double area = double(n0 * n1);
  const Join<T> join(taps, n0);
#pragma unroll 1
  for (int i = group; i < count; i += groups) {
    const Both whole = taps == 1 ? singles[i * pitch + x] : along(join, i, taps);
    const T centre = tile[(i + down / 2) * pitch + x + taps / 2 * apart];
    dst[(first + i) * cols + left + x] =
        threshold<U>(double(whole.sum), double(whole.spread), centre, area, k, r, scale, tolerance);
  }
}
