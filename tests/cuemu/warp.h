// SPDX-License-Identifier: Apache-2.0
// Barriers and warp operations. As on a GPU, shuffles and votes order no memory; barriers and __syncwarp do.
#pragma once
#include <bit>
#include <cstring>
#include <string>

#include "cuemu/core.h"

#define CUEMU_HERE const cuemu::Where& where = cuemu::Where::current()
// On functions of the emulator in headers: the kernels that include them are watched by sanitizers, and many times slower.
#define CUEMU_OWN __attribute__((no_sanitize("address"), no_sanitize("undefined"), no_sanitize("thread")))

namespace cuemu {

template <class T>
CUEMU_OWN Slot pack(const T& value) {
  static_assert(sizeof(T) <= sizeof(Slot));
  Slot slot{};
  std::memcpy(&slot, &value, sizeof value);
  return slot;
}
template <class T>
CUEMU_OWN T unpack(const Slot& slot) {
  T value;
  std::memcpy(static_cast<void*>(&value), &slot, sizeof value);
  return value;
}

// source(lane, first, last): the lane to read from, within the segment first .. last of `width` lanes.
template <class T, class Source>
CUEMU_OWN T shuffle(unsigned mask, T value, int width, const char* operation, const Where& where, Source source) {
  if (width < 1 || width > 32 || (width & (width - 1)) != 0) {
    fail(std::string(operation) + ": width " + std::to_string(width) + " is not a power of two up to 32", where);
  }
  const Slot* const slots = exchange(mask, pack(value), operation, where);
  const int me = static_cast<int>(lane()), first = me & ~(width - 1);
  const int from = source(me, first, first + width - 1);
  if ((mask >> from & 1u) == 0) {
    fail(std::string(operation) + ": reads lane " + std::to_string(from) + ", which is not in the mask", where);
  }
  return unpack<T>(slots[from]);
}

template <class T, class Combine>
CUEMU_OWN T reduce(unsigned mask, T value, const char* operation, const Where& where, Combine combine) {
  require_sm(80, operation, where);
  const Slot* const slots = exchange(mask, pack(value), operation, where);
  T result = unpack<T>(slots[std::countr_zero(mask)]);
  for (unsigned left = mask & (mask - 1); left != 0; left &= left - 1) {
    result = combine(result, unpack<T>(slots[std::countr_zero(left)]));
  }
  return result;
}

// The lanes of the mask whose values match(value).
template <class T, class Match>
CUEMU_OWN unsigned lanes_where(unsigned mask, T value, const char* operation, const Where& where, Match match) {
  const Slot* const slots = exchange(mask, pack(value), operation, where);
  unsigned lanes = 0;
  for (unsigned left = mask; left != 0; left &= left - 1) {
    if (match(unpack<T>(slots[std::countr_zero(left)]))) lanes |= left & -left;
  }
  return lanes;
}

}  // namespace cuemu

inline void __syncthreads(CUEMU_HERE) { cuemu::barrier(false, where); }
inline int __syncthreads_count(int predicate, CUEMU_HERE) { return static_cast<int>(cuemu::barrier(predicate != 0, where)); }
inline int __syncthreads_or(int predicate, CUEMU_HERE) { return cuemu::barrier(predicate != 0, where) > 0; }
inline int __syncthreads_and(int predicate, CUEMU_HERE) { return cuemu::barrier(predicate == 0, where) == 0; }
inline void __syncwarp(unsigned mask = 0xffffffffu, CUEMU_HERE) { cuemu::sync_warp(mask, where); }

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, CUEMU_HERE) {
  return cuemu::shuffle(mask, value, width, "__shfl_sync", where,
                        [=](int, int first, int) { return first + (source & (width - 1)); });
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, CUEMU_HERE) {
  return cuemu::shuffle(mask, value, width, "__shfl_up_sync", where, [=](int me, int first, int) {
    const int from = me - static_cast<int>(delta);
    return from < first ? me : from;
  });
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, CUEMU_HERE) {
  return cuemu::shuffle(mask, value, width, "__shfl_down_sync", where, [=](int me, int, int last) {
    const int from = me + static_cast<int>(delta);
    return from > last ? me : from;
  });
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, CUEMU_HERE) {
  return cuemu::shuffle(mask, value, width, "__shfl_xor_sync", where, [=](int me, int, int last) {
    const int from = me ^ lanes;
    return from > last ? me : from;
  });
}

inline unsigned __ballot_sync(unsigned mask, int predicate, CUEMU_HERE) {
  return cuemu::lanes_where(mask, predicate, "__ballot_sync", where, [](int p) { return p != 0; });
}
inline int __any_sync(unsigned mask, int predicate, CUEMU_HERE) {
  return cuemu::lanes_where(mask, predicate, "__any_sync", where, [](int p) { return p != 0; }) != 0;
}
inline int __all_sync(unsigned mask, int predicate, CUEMU_HERE) {
  return cuemu::lanes_where(mask, predicate, "__all_sync", where, [](int p) { return p == 0; }) == 0;
}
// Values are compared bit by bit.
template <class T>
unsigned __match_any_sync(unsigned mask, T value, CUEMU_HERE) {
  return cuemu::lanes_where(mask, value, "__match_any_sync", where,
                            [=](T other) { return std::memcmp(&value, &other, sizeof value) == 0; });
}
template <class T>
unsigned __match_all_sync(unsigned mask, T value, int* all, CUEMU_HERE) {
  const unsigned same = cuemu::lanes_where(mask, value, "__match_all_sync", where,
                                           [=](T other) { return std::memcmp(&value, &other, sizeof value) == 0; });
  *all = same == mask;
  return *all ? mask : 0u;
}

// int and unsigned.
template <class T>
T __reduce_add_sync(unsigned mask, T value, CUEMU_HERE) {
  return cuemu::reduce(mask, value, "__reduce_add_sync", where,
                       [](T a, T b) { return static_cast<T>(static_cast<unsigned>(a) + static_cast<unsigned>(b)); });
}
template <class T>
T __reduce_min_sync(unsigned mask, T value, CUEMU_HERE) {
  return cuemu::reduce(mask, value, "__reduce_min_sync", where, [](T a, T b) { return b < a ? b : a; });
}
template <class T>
T __reduce_max_sync(unsigned mask, T value, CUEMU_HERE) {
  return cuemu::reduce(mask, value, "__reduce_max_sync", where, [](T a, T b) { return b > a ? b : a; });
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value, CUEMU_HERE) {
  return cuemu::reduce(mask, value, "__reduce_and_sync", where, [](unsigned a, unsigned b) { return a & b; });
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, CUEMU_HERE) {
  return cuemu::reduce(mask, value, "__reduce_or_sync", where, [](unsigned a, unsigned b) { return a | b; });
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value, CUEMU_HERE) {
  return cuemu::reduce(mask, value, "__reduce_xor_sync", where, [](unsigned a, unsigned b) { return a ^ b; });
}
