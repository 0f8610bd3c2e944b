// SPDX-License-Identifier: Apache-2.0
// A strategy's segments to one placement per block, the head last: the rules of the `rwkv` package, docs/strategy.md.
#pragma once
#include <string>
#include <vector>

#include "plan/strategy.h"

namespace rwkv {

struct Placement {
  DeviceId device;
  DType type = DType::f32;  // f32, f16 or bf16: of the weights that are not quantised
  Quantization quantization = Quantization::none;
  bool streamed = false;  // matrices stay in host memory and are copied to the device for every use

  bool operator==(const Placement&) const = default;
};

// [n_layer + 1]: blocks 0 to n_layer - 1, then the output norm with the head. Throws StrategyError for "auto" (not resolved
// yet) and for "*0" beside a segment without a count, ArgumentError for n_layer < 1.
[[nodiscard]] std::vector<Placement> place(const Strategy& strategy, int n_layer);

// "cuda:1 fp16i8", "cuda fp16 streamed"
[[nodiscard]] std::string to_text(const Placement& placement);

}  // namespace rwkv
