// Pixel values as unsigned numbers, and back.
#pragma once

// Unsigned keys that sort as the values do.
__device__ __forceinline__ unsigned int key_of(unsigned char v) { return v; }
__device__ __forceinline__ unsigned int key_of(unsigned short v) { return v; }
__device__ __forceinline__ unsigned int key_of(short v) { return (unsigned int)(int(v) + 32768); }
__device__ __forceinline__ unsigned int key_of(int v) { return (unsigned int)v ^ 0x80000000u; }
__device__ __forceinline__ unsigned int key_of(float v) {
  union {
    float number;
    unsigned int bits;
  } u;
  u.number = v;
  return u.bits >> 31 ? ~u.bits : u.bits | 0x80000000u;
}
__device__ __forceinline__ unsigned long long key_of(double v) {
  union {
    double number;
    unsigned long long bits;
  } u;
  u.number = v;
  return u.bits >> 63 ? ~u.bits : u.bits | 0x8000000000000000ull;
}

// The value of a key; the second argument only gives the type.
__device__ __forceinline__ unsigned char value_of(unsigned int key, unsigned char) { return (unsigned char)key; }
__device__ __forceinline__ unsigned short value_of(unsigned int key, unsigned short) { return (unsigned short)key; }
__device__ __forceinline__ short value_of(unsigned int key, short) { return (short)(int(key) - 32768); }
__device__ __forceinline__ int value_of(unsigned int key, int) { return (int)(key ^ 0x80000000u); }
__device__ __forceinline__ float value_of(unsigned int key, float) {
  union {
    unsigned int bits;
    float number;
  } u;
  u.bits = key >> 31 ? key & 0x7fffffffu : ~key;
  return u.number;
}
__device__ __forceinline__ double value_of(unsigned long long key, double) {
  union {
    unsigned long long bits;
    double number;
  } u;
  u.bits = key >> 63 ? key & 0x7fffffffffffffffull : ~key;
  return u.number;
}
