// SPDX-License-Identifier: Apache-2.0
// Strategy text ("cuda fp16i8 *10 -> cpu fp32") to segments. Users' page: docs/strategy.md.
#pragma once
#include <rwkv/error.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/tensor.h"

namespace rwkv {

enum class DeviceKind { automatic, cpu, cuda, mps, dml };

struct DeviceId {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;  // cuda only; "cuda" and "cuda:0" are the same device

  bool operator==(const DeviceId&) const = default;
};

enum class Quantization { none, i8, i4, i3 };

struct Segment {
  DeviceId device;
  std::optional<DType> type;  // f32, f16 or bf16; empty: "auto" without a type
  Quantization quantization = Quantization::none;
  std::optional<int> count;  // of "*N"
  bool streaming = false;    // "*N+"
  int column = 1;            // of its first word, for messages
};

struct Strategy {
  std::string text;
  std::vector<Segment> segments;  // at least one

  // "auto" or "auto TYPE": to be replaced by resolve_auto() before layers can be placed.
  [[nodiscard]] bool automatic() const { return segments.front().device.kind == DeviceKind::automatic; }
};

// Throws StrategyError that names the wrong word, its column (from 1) and what to write instead.
[[nodiscard]] Strategy parse_strategy(std::string_view text);

// How a file holds its matrices.
struct StoredTypes {
  std::string_view type;  // of those that are not quantised: "bf16", "f16", ...
  Quantization quantization = Quantization::none;
};

// What "auto" means here: cuda where there is a card, else cpu; the asked type, else the file's when that has 16 bits, else
// fp16 on cuda and fp32 on the CPU; quantised if that is asked for, or no type is and the file is. The text of any other
// strategy comes back as it is.
[[nodiscard]] std::string resolve_auto(const Strategy& strategy, bool has_cuda, const StoredTypes& file);

// As written in a strategy: "cuda:1" ("cuda" for the first), "i8" (empty for none).
[[nodiscard]] std::string name_of(DeviceId device);
[[nodiscard]] std::string_view name_of(Quantization quantization);

}  // namespace rwkv
