// launch: tile 64x4, pixels 8x8
// instances: nine<L>
// instances: twentyfive<unsigned char>; twentyfive<unsigned short>; twentyfive<short>
// instances: twentyfive<int>; twentyfive<float>
#include "network_tiles.cuh"

struct Medians {
  template <typename V>
  __device__ __forceinline__ V turned(V v) const {
    return v;
  }
  template <typename V, int LINES, int WIDTH, int P>
  __device__ __forceinline__ void operator()(const V (&v)[LINES][WIDTH], V (&out)[2][P]) const {
    tile_medians<P>(v, out);
  }
};

template <typename T>
__global__ void __launch_bounds__(256, 2)
    nine(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols, long long top,
         long long bottom, long long step, long long mode, double cval) {
  fill_tile<3, NINE_COLUMNS<T>>(src, rows, cols, dst, top, bottom, step, mode, cval, Medians());
}

template <typename T>
__global__ void __launch_bounds__(256, MEDIAN_BLOCKS<T>)
    twentyfive(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
               long long top, long long bottom, long long step, long long mode, double cval) {
  fill_tile<5, 2>(src, rows, cols, dst, top, bottom, step, mode, cval, Medians());
}
