// SPDX-License-Identifier: Apache-2.0
// How steps that work row by row are shared between threads.
#pragma once
#include <algorithm>

#include "kernels/cpu/device.h"
#include "kernels/tensor.h"

namespace rwkv::cpu {

// body(row) for every row. A task takes some 32 KiB of a row's values: 1 to 10 us, many times what claiming it costs; a single
// row stays on the caller's thread.
template <class Body>
void for_rows(Device& device, std::int64_t n_row, std::int64_t n_col, const Body& body) {
  const std::int64_t rows = std::max<std::int64_t>(1, 8192 / n_col);
  pool_of(device).parallel_for((n_row + rows - 1) / rows, [&](std::int64_t task) {
    const std::int64_t end = std::min(n_row, (task + 1) * rows);
    for (std::int64_t row = task * rows; row < end; ++row) body(row);
  });
}

}  // namespace rwkv::cpu
