// SPDX-License-Identifier: Apache-2.0
#include "load.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "devices.h"
#include "message.h"
#include "plan/plan.h"
#include "weights/i4.h"

namespace rwkv {
namespace {

// Stops early at a file with a thousand blocks that hold nothing.
constexpr std::size_t kManyProblems = 20;

constexpr std::int64_t kMiB = 1 << 20;

constexpr const char* kTimeState = "att.time_state";  // a tuned initial state merged into a checkpoint, spec 9.2

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

// Index [head][value][key] for all versions; ours for 5 and 6 is [head][key][value].
std::vector<float> load_time_state(WeightLoader& load, const ModelConfig& c) {
  if (c.version == 4 || !load.has(kTimeState)) return {};
  const std::int64_t n = c.head_size;
  std::vector<float> s = load.host_vector(kTimeState, {c.n_head, n, n});
  for (std::int64_t h = 0; c.version < 7 && !s.empty() && h < c.n_head; ++h) {
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < i; ++j) std::swap(s[(h * n + i) * n + j], s[(h * n + j) * n + i]);
    }
  }
  return s;
}

bool is_matrix(const TensorInfo& tensor) { return tensor.name.ends_with(".weight") && tensor.shape.size() == 2; }

// What a converted file carries besides the weights.
constexpr const char* kTokenizer = "tokenizer";

struct Parts {
  Stem stem;
  std::vector<std::unique_ptr<Block>> blocks;
  Head head;
  std::vector<std::vector<float>> initial_s;  // [n_layer]
};

// Runs over the whole model, to check, to measure or to load it: what `loader(layer)` makes decides. The last layer is the
// head.
template <class MakeLoader>
Parts load_parts(const CheckedCheckpoint& checkpoint, const LoadLog& log, const MakeLoader& loader) {
  const ModelConfig& config = checkpoint.config;
  Parts parts;
  WeightLoader first = loader(0);
  parts.stem = Stem::load(first, config);
  for (int layer = 0; layer < config.n_layer && log.problems.size() < kManyProblems; ++layer) {
    WeightLoader load = loader(layer);
    load.set_prefix(message("blocks.", layer, "."));
    parts.blocks.push_back(checkpoint.architecture->load_block(load, config, layer));
    parts.initial_s.push_back(load_time_state(load, config));
  }
  WeightLoader last = loader(config.n_layer);
  parts.head = Head::load(last, config);
  return parts;
}

// Not for those who did not ask for it: the backend has run on an emulator only, on no card yet.
constexpr bool kAutoTakesCuda = false;

// Of a quantised file the embeddings tell the type of the rest.
Strategy resolve(const Strategy& automatic, const CheckedCheckpoint& checkpoint) {
  const std::string type = checkpoint.stored_type();
  StoredTypes stored{type};
  for (const Quantization quantization : {Quantization::i8, Quantization::i4}) {
    if (type == name_of(quantization)) stored = {name_of(checkpoint.file->find("emb.weight")->type), quantization};
  }
  const KernelTable* const cuda = kAutoTakesCuda ? cuda_kernels() : nullptr;
  return parse_strategy(resolve_auto(automatic, cuda && checkpoint.architecture->runs_on(*cuda), stored));
}

std::vector<Placement> place_layers(const CheckedCheckpoint& checkpoint, std::string_view text) {
  const Strategy parsed = parse_strategy(text);
  const Strategy resolved = parsed.automatic() ? resolve(parsed, checkpoint) : parsed;
  std::vector<Placement> placements = place(resolved, checkpoint.config.n_layer);
  for (const Placement& placement : placements) {
    if (placement.quantization == Quantization::i3) {
      throw StrategyError("strategy asks for i3 weights, which are not supported; use i4 or i8");
    }
  }
  return placements;
}

// What is stored beside quantised numbers are no parameters; a byte of i4 holds two.
std::int64_t parameters_of(const Checkpoint& file, const TensorInfo& tensor) {
  const std::string matrix = tensor.name.substr(0, tensor.name.rfind('.'));
  for (const char* part : {".mx", ".rx", ".my", ".ry", kI4Scale}) {
    const TensorInfo* of = tensor.name == matrix + part ? file.find(matrix) : nullptr;
    if (of && quantization_of(file, *of) != Quantization::none) return 0;
  }
  return quantization_of(file, tensor) == Quantization::i4 ? 2 * tensor.count() : tensor.count();
}

constexpr int kMostThreads = 4096;

// Each that is named, once, and the stages of layers on them.
void open_devices(Model::Impl& model, int threads) {
  if (threads < 0 || threads > kMostThreads) {
    throw ArgumentError(message("threads is ", threads, "; it must be 0 (one per core) to ", kMostThreads));
  }
  std::vector<DeviceId> opened;
  for (std::size_t layer = 0; layer < model.placements.size(); ++layer) {
    const Placement& placement = model.placements[layer];
    if (placement.streamed && placement.device.kind != DeviceKind::cpu) {
      throw DeviceError(
          message("strategy asks for layers streamed to ", name_of(placement.device), ", which is not supported yet"));
    }
    const auto device = static_cast<std::size_t>(std::ranges::find(opened, placement.device) - opened.begin());
    if (device == opened.size()) {
      opened.push_back(placement.device);
      model.devices.push_back(open_device(placement.device, threads));
      if (!model.architecture->runs_on(model.devices.back()->kernels())) {
        throw DeviceError(message(model.devices.back()->name(), " cannot run RWKV-", model.config.version));
      }
    }
    if (model.stages.empty() || model.stages.back().device != device) model.stages.push_back({device, layer, layer});
    if (layer + 1 < model.placements.size()) ++model.stages.back().end;  // the last one is the head
  }
}

// Number of the device of a layer; the last layer is the head.
std::size_t device_of(const Model::Impl& model, std::size_t layer) {
  const auto after = std::ranges::find_if(model.stages, [&](const Stage& stage) { return layer < stage.first; });
  return std::prev(after)->device;
}

// Says so before the system's own way of saying so, which ends the process.
void require_memory(const CheckedCheckpoint& checkpoint, const Model::Impl& model) {
  LoadLog log;
  std::vector<std::int64_t> needed(model.devices.size());
  std::size_t device = 0;
  std::int64_t measured = 0;
  const auto count = [&] { needed[device] += log.weight_bytes - std::exchange(measured, log.weight_bytes); };
  load_parts(checkpoint, log, [&](int layer) {
    count();
    device = device_of(model, layer);
    return WeightLoader(*checkpoint.file, log, model.placements[layer]);
  });
  count();
  for (std::size_t i = 0; i < needed.size(); ++i) {
    const std::int64_t available = model.devices[i]->available_memory();
    if (needed[i] <= available) continue;
    throw OutOfMemoryError(message(checkpoint.file->path(), ": needs ", needed[i] / kMiB, " MiB for its weights, ",
                                   available / kMiB, " MiB are available on ", model.devices[i]->name(),
                                   "; a smaller type of weights (fp16, bf16, fp16i8, fp16i4) needs less"));
  }
}

StateLayout make_layout(const Model::Impl& model, std::uint64_t fingerprint, std::vector<std::vector<float>> initial_s) {
  std::vector<std::shared_ptr<Device>> devices;
  for (int layer = 0; layer < model.config.n_layer; ++layer) devices.push_back(model.devices[device_of(model, layer)]);
  StateLayout layout(model.config, fingerprint, std::move(devices));
  layout.initial_s = std::move(initial_s);
  return layout;
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
  CheckedCheckpoint checked{std::move(opened), nullptr, {}, {}};
  const Checkpoint& file = *checked.file;
  checked.architecture = &identify(file);
  checked.config = checked.architecture->read_config(file);
  checked.config.head_norm_eps = head_norm_eps(file, options);

  LoadLog log;
  load_parts(checked, log, [&](int) { return WeightLoader(file, log, {}); });
  require_complete(file, log);
  for (const TensorInfo& tensor : file.tensors()) {
    if (!log.used.contains(tensor.name) && tensor.name != kTokenizer) checked.unused.push_back(tensor.name);
  }
  return checked;
}

std::shared_ptr<const Model::Impl> load_model(const CheckedCheckpoint& checkpoint, std::string_view strategy,
                                              const LoadOptions& options) {
  const Checkpoint& file = *checkpoint.file;
  auto model = std::make_shared<Model::Impl>();
  model->config = checkpoint.config;
  model->architecture = checkpoint.architecture;
  model->unused = checkpoint.unused;
  model->placements = place_layers(checkpoint, strategy);
  open_devices(*model, options.threads);
  require_memory(checkpoint, *model);

  LoadLog log;
  std::int64_t total = 0;
  for (const TensorInfo& tensor : file.tensors()) total += tensor.count() * bytes_of(tensor.type);
  if (options.progress) log.progress = [&](std::int64_t done) { options.progress(std::min(done, total), total); };
  const auto loader = [&](int layer) {
    return WeightLoader(file, log, *model->devices[device_of(*model, layer)], model->placements[layer], model->memory);
  };
  Parts parts;
  try {
    parts = load_parts(checkpoint, log, loader);
  } catch (const OutOfMemoryError& error) {
    throw OutOfMemoryError(message(file.path(), ": ", error.what(), ", after ", log.weight_bytes / kMiB, " MiB of weights"));
  }
  if (options.progress) options.progress(total, total);
  model->stem = parts.stem;
  model->blocks = std::move(parts.blocks);
  model->head = parts.head;
  model->weight_bytes = log.weight_bytes;
  model->state_layout = std::make_shared<const StateLayout>(make_layout(*model, log.fingerprint, std::move(parts.initial_s)));
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
