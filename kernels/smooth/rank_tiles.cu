// launch: tile 64x4, pixels 8x8
// instances: nine_ranks<L>
// instances: twentyfive_ranks<unsigned char>; twentyfive_ranks<unsigned short>; twentyfive_ranks<short>
// instances: twentyfive_ranks<int>; twentyfive_ranks<float>
#include "network_tiles.cuh"

// A rank below the median's. Ranks above it are such ranks in reverse order: `downwards` reverses it.
struct Ranks {
  int rank;
  bool downwards;

  __device__ Ranks(long long rank, long long area)
      : rank(int(rank <= area / 2 ? rank : area - 1 - rank)), downwards(rank > area / 2) {}

  template <bool SIGNED>
  __device__ __forceinline__ Pair<SIGNED> turned(Pair<SIGNED> v) const {
    return {v.bits ^ (downwards ? ~0u : 0u)};
  }
  __device__ __forceinline__ int turned(int v) const { return v ^ (downwards ? ~0 : 0); }
  __device__ __forceinline__ float turned(float v) const { return v * (downwards ? -1.0f : 1.0f); }
  __device__ __forceinline__ double turned(double v) const { return v * (downwards ? -1.0 : 1.0); }

  template <typename V, int LINES, int WIDTH, int P>
  __device__ __forceinline__ void operator()(const V (&v)[LINES][WIDTH], V (&out)[2][P]) const {
    tile_ranks<P>(v, out, rank);
  }
};

template <typename T>
__global__ void __launch_bounds__(256, 2)
    nine_ranks(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
               long long top, long long bottom, long long step, long long mode, double cval, long long rank) {
  fill_tile<3, NINE_COLUMNS<T>>(src, rows, cols, dst, top, bottom, step, mode, cval, Ranks(rank, 9));
}

template <typename T>
__global__ void __launch_bounds__(256, RANK_BLOCKS<T>)
    twentyfive_ranks(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                     long long top, long long bottom, long long step, long long mode, double cval, long long rank) {
  fill_tile<5, 2>(src, rows, cols, dst, top, bottom, step, mode, cval, Ranks(rank, 25));
}
