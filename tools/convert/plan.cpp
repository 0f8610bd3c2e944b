// SPDX-License-Identifier: Apache-2.0
#include "convert/plan.h"

#include "message.h"
#include "weights/i4.h"
#include "weights/weight_loader.h"

#include <algorithm>

namespace rwkv::cli {
namespace {

// Vectors by use, though some versions store them as [n_head, head_size], and states.
bool is_vector_by_name(std::string_view name) {
  const std::string_view last = name.substr(name.rfind('.') + 1);
  for (const char* vector : {"r_k", "time_faaaa", "time_first", "time_decay", "time_state"})
    if (last == vector) return true;
  return false;
}

bool is_matrix(const TensorInfo& tensor) {
  const auto wide = std::ranges::count_if(tensor.shape, [](std::int64_t n) { return n != 1; });
  return wide >= 2 && !is_vector_by_name(tensor.name);
}

bool is_quantised(const TensorInfo& tensor) {
  return is_matrix(tensor) && tensor.shape.size() == 2 && tensor.name.ends_with(".weight") &&
         !tensor.name.ends_with("emb.weight");
}

// As the library keeps it in memory.
bool is_input_major(const TensorInfo& tensor) { return tensor.name.ends_with("ffn.value.weight"); }

bool is_float(FileType type) {
  return type == FileType::f64 || type == FileType::f32 || type == FileType::f16 || type == FileType::bf16;
}

FileType target_of(const TensorInfo& tensor, TargetType type) {
  const FileType kept = tensor.type == FileType::f64 ? FileType::f32 : tensor.type;
  switch (type) {
    case TargetType::fp32:
      return is_matrix(tensor) ? FileType::f32 : kept;
    case TargetType::fp16:
      return is_matrix(tensor) ? FileType::f16 : kept;
    case TargetType::bf16:
      return is_matrix(tensor) ? FileType::bf16 : kept;
    case TargetType::i8:
      return is_quantised(tensor) ? FileType::u8 : kept;
    case TargetType::i4:
      return is_quantised(tensor) && fits_i4(tensor.shape[0], tensor.shape[1], is_input_major(tensor)) ? FileType::u8 : kept;
  }
  return kept;
}

std::vector<TensorInfo> outputs_of(const TensorInfo& tensor, FileType type, TargetType target) {
  if (type == FileType::u8 && target == TargetType::i4) {
    const std::int64_t n_out = tensor.shape[0], n_in = tensor.shape[1];
    return {{tensor.name, type, {n_out, i4_bytes(n_in)}}, {tensor.name + kI4Scale, FileType::bf16, {n_out, i4_scales(n_in)}}};
  }
  std::vector<TensorInfo> outputs{{tensor.name, type, tensor.shape}};
  if (type != FileType::u8) return outputs;
  for (const char* suffix : {".mx", ".rx"}) outputs.push_back({tensor.name + suffix, FileType::f32, {tensor.shape[0]}});
  for (const char* suffix : {".my", ".ry"}) outputs.push_back({tensor.name + suffix, FileType::f32, {tensor.shape[1]}});
  return outputs;
}

}  // namespace

std::vector<Step> plan_conversion(const Checkpoint& input, TargetType type) {
  std::vector<Step> steps;
  for (const TensorInfo& tensor : input.tensors()) {
    if (tensor.name == "tokenizer") continue;
    if (quantization_of(input, tensor) != Quantization::none)
      throw CheckpointError(message(input.path(), ": is quantised already; convert the original"));
    if (!is_float(tensor.type))
      throw CheckpointError(message(input.path(), ": ", printable(tensor.name), ": expected floating point numbers, found ",
                                    name_of(tensor.type)));
    const FileType target = target_of(tensor, type);
    steps.push_back({&tensor, target, outputs_of(tensor, target, type)});
  }
  return steps;
}

}  // namespace rwkv::cli
