// SPDX-License-Identifier: Apache-2.0
#include "lay_out.h"

#include <algorithm>

#include "devices.h"
#include "message.h"
#include "plan/plan.h"

namespace rwkv {
namespace {

// Not for those who did not ask for it: the backend has run on an emulator only, on no card yet.
constexpr bool kAutoTakesCuda = false;

constexpr int kMostThreads = 4096;

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

}  // namespace

OpenDevices::OpenDevices(int threads) : threads_(threads) {
  if (threads < 0 || threads > kMostThreads) {
    throw ArgumentError(message("threads is ", threads, "; it must be 0 (one per core) to ", kMostThreads));
  }
}

std::shared_ptr<Device> OpenDevices::open(DeviceId id) {
  const auto found = std::ranges::find(opened_, id, [](const auto& opened) { return opened.first; });
  return found != opened_.end() ? found->second : opened_.emplace_back(id, open_device(id, threads_)).second;
}

std::shared_ptr<Model::Impl> lay_out(const CheckedCheckpoint& checkpoint, std::string_view strategy, OpenDevices& devices) {
  auto model = std::make_shared<Model::Impl>();
  model->config = checkpoint.config;
  model->architecture = checkpoint.architecture;
  model->placements = place_layers(checkpoint, strategy);
  for (std::size_t layer = 0; layer < model->placements.size(); ++layer) {
    const auto opened = devices.open(model->placements[layer].device);
    const auto device = static_cast<std::size_t>(std::ranges::find(model->devices, opened) - model->devices.begin());
    if (device == model->devices.size()) {
      if (!model->architecture->runs_on(opened->kernels())) {
        throw DeviceError(message(opened->name(), " cannot run RWKV-", model->config.version));
      }
      model->devices.push_back(opened);
    }
    if (model->stages.empty() || model->stages.back().device != device) model->stages.push_back({device, layer, layer});
    if (layer + 1 < model->placements.size()) ++model->stages.back().end;  // the last one is the head
  }
  return model;
}

}  // namespace rwkv
