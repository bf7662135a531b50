// Hysteresis in words of 32 pixels of one channel, a warp to a slab or a group of slabs: rows are gone over downwards and
// upwards in turn, and each word of a row belongs to one lane at a time, so that nothing is read that another lane writes.
#pragma once

typedef unsigned int Word32;
constexpr Word32 ALL_LANES = 0xffffffffu;

// In 32 neighbouring words, one a lane, make strong what stands in a row with a strong pixel at a lower place. `carry`:
// whether the pixel before the first is strong; becomes that for the words that follow.
__device__ __forceinline__ Word32 spread_upwards(Word32 weak, Word32 strong, int lane, Word32& carry) {
  // An addition carries on through all ones above, within a word and, with a bit for each word, from word to word.
  Word32 found = strong | (weak & ((weak + strong) ^ weak));
  const Word32 ends = __ballot_sync(ALL_LANES, found >> 31), passes = __ballot_sync(ALL_LANES, weak == ~0u);
  const unsigned long long sum = (unsigned long long)(ends | passes) + ends + carry;
  const Word32 into = (ends | passes) ^ ends ^ Word32(sum);
  if (into >> lane & 1) {
    const Word32 first = weak & 1;
    found |= first | (weak & ((weak + first) ^ weak));
  }
  carry = Word32(sum >> 32);
  return found;
}

// The same for a whole row of words, in both directions.
__device__ __forceinline__ void spread_along(const Word32* weak, Word32* strong, long long words, int lane) {
  Word32 carry = 0;
  for (long long base = 0; base < words; base += 32) {
    const long long w = base + lane;
    const bool there = w < words;
    const Word32 found = spread_upwards(there ? weak[w] : 0, there ? strong[w] : 0, lane, carry);
    if (there) strong[w] = found;
  }
  __syncwarp();
  carry = 0;
  for (long long base = (words - 1) / 32 * 32; base >= 0; base -= 32) {
    const long long w = base + 31 - lane;
    const bool there = w < words;
    const Word32 found = spread_upwards(there ? __brev(weak[w]) : 0, there ? __brev(strong[w]) : 0, lane, carry);
    if (there) strong[w] = __brev(found);
  }
  __syncwarp();
}

// Make strong what touches a strong pixel of the adjacent row, and what stands in a row with it; with `always` also where
// nothing touches. Returns, to all lanes, whether anything touched.
__device__ __forceinline__ bool spread(const Word32* beside, const Word32* weak, Word32* strong, long long words,
                                       int lane, bool corners, bool always) {
  bool changed = false;
  for (long long w = lane; w < words; w += 32) {
    const Word32 here = beside[w];
    Word32 touched = here;
    if (corners) {
      const Word32 before = w > 0 ? beside[w - 1] : 0, after = w + 1 < words ? beside[w + 1] : 0;
      touched |= (here << 1) | (here >> 1) | (before >> 31) | (after << 31);
    }
    const Word32 more = touched & weak[w] & ~strong[w];
    if (more != 0) strong[w] |= more;
    changed |= more != 0;
  }
  changed = __any_sync(ALL_LANES, changed) != 0;
  __syncwarp();
  if (changed || always) spread_along(weak, strong, words, lane);
  return changed;
}
