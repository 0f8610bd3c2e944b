// SPDX-License-Identifier: Apache-2.0
// States as files: safetensors with the arrays of State::arrays(), and metadata that ties them to their model.
#include <rwkv/model.h>
#include <rwkv/state.h>

#include <charconv>
#include <cmath>

#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors_writer.h"
#include "fnv1a.h"
#include "forward.h"
#include "message.h"

namespace rwkv {
namespace {

constexpr const char *kModel = "rwkv.state.model", *kTokensSeen = "rwkv.state.tokens_seen", *kChecksum = "rwkv.state.checksum";
constexpr const char* kFingerprint = "rwkv.state.fingerprint";

std::string checksum(const std::vector<State::Array>& arrays, std::string_view model, std::string_view fingerprint,
                     std::string_view tokens_seen) {
  std::uint64_t sum = kFnv1aStart;
  const auto add = [&sum](std::string_view text) { sum = fnv1a(sum, std::as_bytes(std::span(text))); };
  for (const std::string_view text : {model, fingerprint, tokens_seen}) add(text);
  for (const auto& array : arrays) {
    add(array.name);
    sum = fnv1a(sum, std::as_bytes(std::span(array.values)));
  }
  return std::to_string(sum);
}

// The file's arrays; nothing of them is trusted yet but their number and shapes.
std::vector<State::Array> read_arrays(const Checkpoint& file, const StateLayout& layout) {
  std::vector<State::Array> arrays;
  for (std::size_t n = 0; n < layout.offsets.size(); ++n) {
    const Slot& slot = layout.slot_of(n);
    State::Array array{layout.name(n), slot.shape, std::vector<float>(slot.count())};
    const TensorInfo* tensor = file.find(array.name);
    if (!tensor || tensor->type != FileType::f32 || tensor->shape != array.shape) {
      throw StateError(message(file.path(), ": ", array.name, ": expected fp32 ", shape_text(array.shape), ", found ",
                               tensor ? message(name_of(tensor->type), " ", shape_text(tensor->shape)) : "none"));
    }
    file.read(*tensor, 0, array.values);
    for (const float x : array.values) {
      if (!std::isfinite(x)) throw StateError(message(file.path(), ": ", array.name, " holds ", x));
    }
    arrays.push_back(std::move(array));
  }
  return arrays;
}

std::unique_ptr<Checkpoint> open_state(const std::filesystem::path& path) {
  try {
    return open_checkpoint(path);
  } catch (const CheckpointError& error) {
    throw StateError(error.what());
  }
}

}  // namespace

void State::save(const std::filesystem::path& path) const {
  if (!impl_) throw StateError("state: it belongs to no model, so there is nothing to save");
  const std::vector<Array> all = arrays();
  const std::string model = describe(impl_->layout->config), fingerprint = std::to_string(impl_->layout->fingerprint);
  const std::string seen = std::to_string(impl_->tokens_seen);
  std::vector<TensorInfo> tensors;
  tensors.reserve(all.size());
  for (const Array& array : all) tensors.push_back({array.name, FileType::f32, array.shape});
  SafetensorsWriter file(path, tensors,
                         {{"format", "rwkvcpp state"},
                          {kModel, model},
                          {kFingerprint, fingerprint},
                          {kTokensSeen, seen},
                          {kChecksum, checksum(all, model, fingerprint, seen)}},
                         kPrivateFile);
  for (const Array& array : all) file.write(std::as_bytes(std::span(array.values)));
  file.commit();
}

State State::load(const std::filesystem::path& path, const Model& model) {
  const auto file = open_state(path);
  const auto value = [&](const char* key) -> std::string_view {
    const auto found = file->metadata().find(key);
    if (found == file->metadata().end()) throw StateError(message(file->path(), ": this is not a saved state"));
    return found->second;
  };
  const StateLayout& layout = *model.impl_->state_layout;
  if (value(kModel) != describe(layout.config)) {
    throw StateError(
        message(file->path(), ": the state is of ", printable(value(kModel)), "; this model is ", describe(layout.config)));
  }
  if (value(kFingerprint) != std::to_string(layout.fingerprint)) {
    throw StateError(message(file->path(), ": the state is of a model of the same shape with other weights"));
  }
  const std::vector<Array> arrays = read_arrays(*file, layout);
  if (value(kChecksum) != checksum(arrays, value(kModel), value(kFingerprint), value(kTokensSeen))) {
    throw StateError(message(file->path(), ": damaged: its checksum is wrong"));
  }
  State state(std::make_unique<Impl>(model.impl_->state_layout));
  const std::string_view seen = value(kTokensSeen);
  std::from_chars(seen.data(), seen.data() + seen.size(), state.impl_->tokens_seen);
  state.assign(arrays);
  return state;
}

}  // namespace rwkv
