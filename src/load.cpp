// SPDX-License-Identifier: Apache-2.0
#include "load.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "lay_out.h"
#include "load_layers.h"
#include "memory_plan.h"
#include "message.h"
#include "weights/i4.h"

namespace rwkv {
namespace {

float head_norm_eps(const Checkpoint& file, const LoadOptions& options) {
  float eps = ModelConfig{}.head_norm_eps;
  if (options.head_norm_eps) {
    eps = *options.head_norm_eps;
  } else if (const auto found = file.metadata().find("rwkv.head_norm_eps"); found != file.metadata().end()) {
    const std::string& text = found->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), eps);
    if (error != std::errc() || end != text.data() + text.size()) eps = NAN;
  }
  if (!(eps > 0.0f && eps < 1.0f)) throw ArgumentError(message("head_norm_eps must be above 0 and below 1, found ", eps));
  return eps;
}

bool is_matrix(const TensorInfo& tensor) { return tensor.name.ends_with(".weight") && tensor.shape.size() == 2; }

// What a converted file carries besides the weights.
constexpr const char* kTokenizer = "tokenizer";

// What is stored beside quantised numbers are no parameters; a byte of i4 holds two.
std::int64_t parameters_of(const Checkpoint& file, const TensorInfo& tensor) {
  const std::string matrix = tensor.name.substr(0, tensor.name.rfind('.'));
  for (const char* part : {".mx", ".rx", ".my", ".ry", kI4Scale}) {
    const TensorInfo* of = tensor.name == matrix + part ? file.find(matrix) : nullptr;
    if (of && quantization_of(file, *of) != Quantization::none) return 0;
  }
  return quantization_of(file, tensor) == Quantization::i4 ? 2 * tensor.count() : tensor.count();
}

// All memory of the model's devices but that of states.
void allocate(Model::Impl& model, const MemoryPlan& plan) {
  for (std::size_t i = 0; i < plan.devices.size(); ++i) {
    const DeviceNeeds& needs = plan.devices[i];
    model.weights.emplace_back(*model.devices[i], needs.weights);
    model.workspace_bytes.push_back(needs.workspace);
    model.devices[i]->reserve_scratch(needs.scratch);
  }
  if (!plan.streamed.empty()) {
    Device& device = *model.devices[model.device_of(plan.first_streamed)];
    model.streamed = std::make_unique<StreamedLayers>(device, plan.first_streamed, plan.streamed);
  }
  model.reserve();
}

}  // namespace

std::string CheckedCheckpoint::stored_type() const {
  std::string type;
  for (const TensorInfo& tensor : file->tensors()) {
    if (!is_matrix(tensor)) continue;
    const bool i4 = quantization_of(*file, tensor) == Quantization::i4;
    const std::string_view name = tensor.type != FileType::u8 ? name_of(tensor.type) : i4 ? "i4" : "i8";
    if (!type.empty() && type != name && tensor.name != "emb.weight") return "mixed";
    if (type.empty() && tensor.name != "emb.weight") type = name;
  }
  return type;
}

CheckedCheckpoint check_checkpoint(const std::filesystem::path& path, const LoadOptions& options) {
  return check_checkpoint(open_checkpoint(path), options);
}

CheckedCheckpoint check_checkpoint(std::unique_ptr<Checkpoint> opened, const LoadOptions& options) {
  CheckedCheckpoint checked{std::move(opened), nullptr, {}, {}, options.fp16_state};
  const Checkpoint& file = *checked.file;
  checked.architecture = &identify(file);
  checked.config = checked.architecture->read_config(file);
  checked.config.head_norm_eps = head_norm_eps(file, options);

  LoadLog log;
  Model::Impl unplaced;
  unplaced.placements.resize(checked.config.n_layer + 1);
  WeightMemory nothing;
  load_layers(checked, log, unplaced, [&](int) -> WeightMemory& { return nothing; });
  require_complete(file, log);
  for (const TensorInfo& tensor : file.tensors()) {
    if (!log.used.contains(tensor.name) && tensor.name != kTokenizer) checked.unused.push_back(tensor.name);
  }
  return checked;
}

std::shared_ptr<const Model::Impl> load_model(const CheckedCheckpoint& checkpoint, std::string_view strategy,
                                              const LoadOptions& options) {
  const Checkpoint& file = *checkpoint.file;
  OpenDevices devices(options.threads);
  auto model = lay_out(checkpoint, strategy, devices);
  model->unused = checkpoint.unused;
  StateLayout layout(model->config, 0, checkpoint.half_states, model->block_devices());
  if (checkpoint.half_states && !layout.has_half()) {
    throw ArgumentError("fp16_state: it is for layers of versions 5 to 7 on CUDA devices, and there are none");
  }
  const MemoryPlan plan = plan_memory(checkpoint, *model);
  require_memory(checkpoint, *model, plan, devices);
  try {
    allocate(*model, plan);
  } catch (const OutOfMemoryError& error) {
    throw OutOfMemoryError(message(file.path(), ": ", error.what()));
  }

  LoadLog log;
  std::int64_t total = 0;
  for (const TensorInfo& tensor : file.tensors()) total += tensor.count() * bytes_of(tensor.type);
  if (options.progress) log.progress = [&](std::int64_t done) { options.progress(std::min(done, total), total); };
  std::vector<WeightMemory> resident, streamed;
  for (std::size_t i = 0; i < model->devices.size(); ++i) resident.emplace_back(*model->devices[i], model->weights[i]);
  for (std::size_t i = 0; i < plan.streamed.size(); ++i) streamed.push_back(model->streamed->memory(plan.first_streamed + i));
  auto initial_s = load_layers(checkpoint, log, *model, [&](int layer) -> WeightMemory& {
    if (layer != kStem && model->streams(layer)) return streamed[layer - plan.first_streamed];
    return resident[model->device_of(std::max(layer, 0))];
  });
  if (options.progress) options.progress(total, total);
  model->weight_bytes = log.weight_bytes;
  layout.fingerprint = log.fingerprint;
  layout.initial_s = std::move(initial_s);
  model->state_layout = std::make_shared<const StateLayout>(std::move(layout));
  return model;
}

CheckpointInfo inspect(const std::filesystem::path& path) {
  const CheckedCheckpoint checked = check_checkpoint(path, {});
  CheckpointInfo info;
  info.config = checked.config;
  info.format = checked.file->format();
  info.type = checked.stored_type();
  if (info.type == "f32" || info.type == "f16" || info.type == "f64") info.type.insert(1, "p");  // the strategies' names
  for (const TensorInfo& tensor : checked.file->tensors()) {
    info.bytes += tensor.count() * bytes_of(tensor.type);
    if (tensor.name != kTokenizer) info.parameters += parameters_of(*checked.file, tensor);
  }
  info.has_tokenizer = checked.file->find(kTokenizer) != nullptr;
  info.unused_tensors = checked.unused;
  return info;
}

}  // namespace rwkv
