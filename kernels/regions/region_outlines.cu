// instances: region_outlines<int>
#include "region_tables.cuh"

template <typename T>
struct Labels {
  const T* labels;
  long long rows, cols;

  __device__ __forceinline__ T at(long long row, long long x) const {
    return row >= 0 && row < rows && x >= 0 && x < cols ? labels[row * cols + x] : 0;
  }
  // Whether a pixel of a region is on its outline.
  __device__ __forceinline__ bool ends(long long row, long long x, T label) const {
    return at(row - 1, x) != label || at(row + 1, x) != label || at(row, x - 1) != label || at(row, x + 1) != label;
  }
  __device__ __forceinline__ bool outlined(long long row, long long x, T label) const {
    return at(row, x) == label && ends(row, x, label);
  }
};

template <typename T>
__global__ void __launch_bounds__(256) region_outlines(unsigned long long* dst, long long regions, long long numbers,
                                                       const T* labels, long long rows, long long cols) {
  const Labels<T> image{labels, rows, cols};
  const long long x = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (x >= cols) return;
  for (long long row = (long long)blockIdx.y * blockDim.y + threadIdx.y; row < rows;
       row += (long long)gridDim.y * blockDim.y) {
    const T label = labels[row * cols + x];
    if (label <= 0 || label >= regions || !image.ends(row, x, label)) continue;
    int edges = 0, corners = 0;
    for (int side = -1; side <= 1; side += 2) {
      edges += image.outlined(row + side, x, label) + image.outlined(row, x + side, label);
      corners += image.outlined(row + side, x - 1, label) + image.outlined(row + side, x + 1, label);
    }
    const int code = 1 + 2 * edges + 10 * corners;
    int kind = -1;
    if (code == 5 || code == 7 || code == 15 || code == 17 || code == 25 || code == 27) kind = 0;
    if (code == 21 || code == 33) kind = 1;
    if (code == 13 || code == 23) kind = 2;
    if (kind >= 0) atomicAdd(dst + label * numbers + kind, Figure(1));
  }
}
