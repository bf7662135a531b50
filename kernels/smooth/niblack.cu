// launch: tile 128x1, pixels 1x1
// instances: niblack_down<T>; niblack_along<T>; niblack<I, float>; niblack<F, F>
#include "borders.cuh"
#include "numbers.cuh"

// Sums of windows, and of whole numbers the sums of squares, of floats the squared deviations, in float64, which holds
// those of whole numbers exactly: of 1, then 2 or 3, then 4 to 7, ... rows, then pixels, in the order of the CPU.
struct Part {
  double sum, spread;
};

// Two halves of `size` elements of `count` values each, and a third one if `size` is odd.
template <typename T>
__device__ __forceinline__ Part joined(Part one, Part other, Part third, long long size, long long count) {
  Part out = {one.sum + other.sum, one.spread + other.spread};
  const bool odd = size & 1;
  if constexpr (!Number<T>::whole) {
    const double twice = 2.0 * double(size / 2), apart = one.sum - other.sum;
    out.spread = out.spread + apart * apart * (1.0 / (twice * double(count)));
    if (odd) {
      const double further = out.sum - third.sum * twice;
      out.spread = out.spread + third.spread + further * further * (1.0 / (twice * double(size) * double(count)));
    }
  } else if (odd) {
    out.spread += third.spread;
  }
  if (odd) out.sum = out.sum + third.sum;
  return out;
}

// Windows of `size` rows, the first of which begins in row `begin` of the image, from those of half as many, or from
// single ones for a size below 4. The last column is that of the constant beyond the edge.
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
  for (long long i = blockIdx.y; i < windows; i += gridDim.y) {
    const Part whole = size == 1 ? single(i)
                                 : joined<T>(part(i), part(i + half), size & 1 ? single(i + 2 * half) : Part(), size, 1);
    sums[i * sums_cols + x] = whole.sum;
    spreads[i * sums_cols + x] = whole.spread;
  }
}

// The same along the rows: `singles` are columns of `count` values, and that of the constant; windows begin `before`
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
  for (long long row = blockIdx.y; row < rows; row += gridDim.y) {
    const auto single = [=](long long at) {
      const long long col = fold_element(at - before, cols, step, mode), place = row * pitch + (col < 0 ? cols : col);
      return Part{singles[place], single_spreads[place]};
    };
    const auto part = [=](long long at) {
      return half == 1 ? single(at) : Part{half_sums[row * half_cols + at], half_spreads[row * half_cols + at]};
    };
    const Part third = size & 1 ? single(x + 2 * half * step) : Part();
    const Part whole = joined<T>(part(x), part(x + half * step), third, size, count);
    sums[row * windows + x] = whole.sum;
    spreads[row * windows + x] = whole.spread;
  }
}

// Thresholds from the sums of windows.
template <typename T, typename U>
__global__ void niblack(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                        const double* sums, long long sums_rows, long long sums_cols, const double* spreads,
                        long long spreads_rows, long long spreads_cols, long long top, long long bottom, long long n0,
                        long long n1, double k, double r, double scale, double tolerance) {
  const long long x = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (x >= cols) return;
  const double area = double(n0 * n1);
  for (long long row = top + blockIdx.y; row < bottom; row += gridDim.y) {
    const double sum = sums[(row - top) * sums_cols + x], spread = spreads[(row - top) * sums_cols + x];
    double mean = sum / area, deviation;
    if constexpr (Number<T>::whole) {
      const double near = rint(mean), left = sum - near * area;
      deviation = root((spread - near * (sum + left) - left * left / area) / area);
    } else {
      deviation = root(spread / area);
      deviation = deviation <= tolerance * fabs(mean) ? 0.0 : deviation / scale;
      mean = constant_kept(mean / scale, double(src[row * cols + x]), tolerance);
    }
    dst[row * cols + x] = U(r > 0 ? mean * (1.0 + k * (deviation / r - 1.0)) : mean - k * deviation);
  }
}
