// launch: flat, pixels 12
// instances: rgb2hsv<T, A>
#include "colors.cuh"

// Red, green and blue as hue, saturation and value.
template <typename T, typename A>
__global__ void rgb2hsv(const T* src, long long rows, long long cols, A* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom) {
  each_color(src, dst, cols, top, bottom, [=](T first, T second, T third, A* out) {
    const A red = share<A>(first), green = share<A>(second), blue = share<A>(third);
    const A maximum = red > green ? red : green, minimum = red < green ? red : green;
    const A value = maximum > blue ? maximum : blue, spread = value - (minimum < blue ? minimum : blue);
    // Among equal channels the last one counts.
    A ahead = green, behind = blue, turn = 0;
    if (green == value) ahead = blue, behind = red, turn = 2;
    if (blue == value) ahead = red, behind = green, turn = 4;
    const bool grey = spread == A(0);
    const A hue = (turn + (ahead - behind) / (grey ? A(1) : spread)) / A(6);
    out[0] = grey ? A(0) : hue - floor(hue);
    out[1] = grey ? A(0) : spread / value;
    out[2] = value;
  });
}
