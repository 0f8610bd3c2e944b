// SPDX-License-Identifier: Apache-2.0
// The list of versions, and what they have in common.
#include <algorithm>
#include <charconv>

#include "arch/architecture.h"
#include "message.h"

namespace rwkv {
namespace {

constexpr const Architecture* kArchitectures[] = {&kRwkv7, &kRwkv6, &kRwkv5, &kRwkv4};

constexpr std::int64_t kMostLayers = 10'000;

// What else people try to load as a model, by a tensor that gives it away.
struct Lookalike {
  const char* tensor;
  const char* what;
};
constexpr Lookalike kLookalikes[] = {
    {"blocks.0.qkv.qq.weight",
     "RWKV-7b (DeepEmbed and DeepEmbed attention), which is not supported; versions 4, 5, 6 and 7 are"},
    {"blocks.0.ffn.s_emb.weight", "RWKV-7a (DeepEmbed), which is not supported; versions 4, 5, 6 and 7 are"},
    {"blocks.0.att.time_mix_w1", "a file converted for web-rwkv (RWKV-6); use the original checkpoint"},
    {"model.embeddings.weight", "a model in the Hugging Face (fla) layout; use the original checkpoint"},
    {"rwkv.embeddings.weight", "a model in the Hugging Face layout; use the original checkpoint"},
};

bool any_name(const Checkpoint& file, std::string_view part) {
  return std::ranges::any_of(file.tensors(), [part](const TensorInfo& t) { return t.name.find(part) != std::string::npos; });
}

[[noreturn]] void refuse(const Checkpoint& file, std::string_view what) {
  throw CheckpointError(message(file.path(), ": this is ", what));
}

int checked_int(const Checkpoint& file, const char* what, std::int64_t n) {
  constexpr std::int64_t kMost = std::int64_t{1} << 28;
  if (n < 1 || n > kMost) throw CheckpointError(message(file.path(), ": ", what, " is ", n, ", expected 1 to ", kMost));
  return static_cast<int>(n);
}

// One more than the largest block number.
std::int64_t count_layers(const Checkpoint& file) {
  constexpr std::string_view kPrefix = "blocks.";
  std::int64_t layers = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    if (!tensor.name.starts_with(kPrefix)) continue;
    std::int64_t number = -1;
    const char* const end = tensor.name.data() + tensor.name.size();
    const auto [rest, error] = std::from_chars(tensor.name.data() + kPrefix.size(), end, number);
    if (error != std::errc() || rest == end || *rest != '.' || number < 0) continue;
    if (number >= kMostLayers) throw CheckpointError(message(file.path(), ": block number ", number, " is too large"));
    layers = std::max(layers, number + 1);
  }
  return layers;
}

}  // namespace

const Architecture* find_architecture(int version) noexcept {
  const auto* const found = std::ranges::find(kArchitectures, version, &Architecture::version);
  return found == std::end(kArchitectures) ? nullptr : *found;
}

const Architecture& identify(const Checkpoint& file) {
  for (const Lookalike& lookalike : kLookalikes) {
    if (file.find(lookalike.tensor)) refuse(file, lookalike.what);
  }
  if (!file.find("emb.weight")) {
    if (any_name(file, "lora_A") || any_name(file, "lora.0")) refuse(file, "a LoRA adapter, not a model");
    if (any_name(file, "time_state")) refuse(file, "a tuned initial state, not a model");
    if (file.metadata().contains("rwkv.state.model")) refuse(file, "a saved state, not a model");
    refuse(file, "not an RWKV model: it has no tensor emb.weight");
  }
  for (const Architecture* architecture : kArchitectures) {
    if (architecture->matches(file)) return *architecture;
  }
  refuse(file, "not an RWKV model: it has no tensor blocks.0.att.key.weight");
}

const std::vector<std::int64_t>& require_shape(const Checkpoint& file, const std::string& name, std::size_t least,
                                               std::size_t most) {
  const TensorInfo* tensor = file.find(name);
  if (!tensor) throw CheckpointError(message(file.path(), ": missing ", name));
  if (tensor->shape.size() < least || tensor->shape.size() > most) {
    throw CheckpointError(message(file.path(), ": ", name, ": expected ", least, least == most ? "" : " or more",
                                  " dimensions, found shape ", shape_text(tensor->shape)));
  }
  return tensor->shape;
}

ModelConfig read_common_config(const Checkpoint& file, int version) {
  const auto rows_of = [&](const char* name) { return require_shape(file, name, 2, 2); };
  ModelConfig config;
  config.version = version;
  config.n_layer = checked_int(file, "the number of blocks", count_layers(file));
  config.n_vocab = checked_int(file, "the vocabulary size", rows_of("emb.weight")[0]);
  config.n_embd = checked_int(file, "n_embd", rows_of("emb.weight")[1]);
  config.n_att = checked_int(file, "n_att", rows_of("blocks.0.att.key.weight")[0]);
  config.n_ffn = checked_int(file, "n_ffn", rows_of("blocks.0.ffn.key.weight")[0]);
  return config;
}

void set_heads(const Checkpoint& file, ModelConfig& config, std::int64_t n_head) {
  if (n_head < 1 || config.n_att % n_head != 0) {
    throw CheckpointError(message(file.path(), ": ", n_head, " heads do not divide n_att ", config.n_att));
  }
  config.n_head = static_cast<int>(n_head);
  config.head_size = static_cast<int>(config.n_att / n_head);
}

std::vector<Slot> matrix_state_slots(const ModelConfig& c) {
  return {{"att_x", {c.n_embd}}, {"S", {c.n_head, c.head_size, c.head_size}}, {"ffn_x", {c.n_embd}}};
}

}  // namespace rwkv
