// SPDX-License-Identifier: Apache-2.0
// Quantisation on the host with the instruction set of this machine. The steps of 8 bits, over one row of n numbers, are the
// plain loop's bit by bit: minima and maxima pass NaN over and are the first of several equal ones.
#pragma once
#include <cstdint>

namespace rwkv {

struct QuantizeKernels {
  float (*smallest)(const float* row, std::int64_t n);  // infinite for NaN alone
  float (*largest)(const float* row, std::int64_t n);   // of several zeros any

  void (*subtract)(float x, float* row, std::int64_t n);                 // row[i] -= x
  void (*subtract_each)(const float* x, float* row, std::int64_t n);     // row[i] -= x[i]
  void (*lower)(const float* row, float x, float* my, std::int64_t n);   // my[i] = min(my[i], row[i] - x)
  void (*raise)(const float* row, float rx, float* ry, std::int64_t n);  // ry[i] = max(ry[i], row[i] / rx)
  // q[i] = floor(row[i] / rx / ry[i] 256), at least 0 (also for NaN) and at most 255
  void (*quantize)(const float* row, float rx, const float* ry, std::uint8_t* q, std::int64_t n);

  // 4 bits (i4.h): groups of w, a scale for each. The scale is the one with the least square error of several; instruction sets
  // may differ in its last bit. A group with NaN or infinity gets the scale NaN.
  void (*quantize_i4)(const float* w, std::int64_t n_group, std::uint8_t* q, std::uint16_t* scale);
};

[[nodiscard]] QuantizeKernels quantize_kernels();

}  // namespace rwkv
