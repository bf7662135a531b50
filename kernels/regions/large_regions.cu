// launch: tile 32x8, pixels 4x1
// instances: large_regions<unsigned char, unsigned char>; large_regions<unsigned short, unsigned short>; large_regions<short, short>; large_regions<int, int>
#include "columns.cuh"

template <typename T, typename U>
__global__ void large_regions(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                              long long dst_cols, long long top, long long bottom, const int* labels,
                              long long labels_rows, long long labels_cols, const unsigned long long* areas,
                              long long regions, long long areas_cols, long long minimum) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const long long label = labels[row * cols + x];
    const bool large = label > 0 && label < regions && areas[label] >= (unsigned long long)minimum;
    dst[row * cols + x] = large ? U(src[row * cols + x]) : U(0);
  });
}
