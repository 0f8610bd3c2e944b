// SPDX-License-Identifier: Apache-2.0
// The loops that find a core's limits, with the best instructions it has.
#pragma once
#include <cstdint>
#include <span>

namespace rwkv::bench {

enum class Arithmetic { fp32, bf16 };  // of the products; sums are float32

// The sum: as fast as memory can be read.
[[nodiscard]] float read_all(std::span<const float> values);

// What one call of a multiply_adds() loop does.
struct Loop {
  std::int64_t flops_per_round;
  void (*run)(std::int64_t rounds);  // from registers only, enough chains to hide the latency
};

// fp32: vector multiply-adds. bf16: AMX tiles or AVX-512 dot products, which a CPU without them does in fp32.
[[nodiscard]] Loop multiply_adds(Arithmetic arithmetic);

// multiply_adds(bf16) on CPUs that have instructions for it; else a null function.
[[nodiscard]] Loop bf16_units();

}  // namespace rwkv::bench
