// SPDX-License-Identifier: Apache-2.0
#include "memory_plan.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "dry_device.h"
#include "load_layers.h"
#include "message.h"

namespace rwkv {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

// Of a device with memory of its own, for its driver: code of kernels that is loaded at their first launch, what lies between
// allocations.
constexpr std::int64_t kForDriver = 64 * kMiB;

// Runs the largest rounds there are on devices where nothing happens: one text, and as many as there may be.
void plan_forward(Model::Impl& dry, std::span<const std::shared_ptr<DryDevice>> devices, std::size_t rows, MemoryPlan& plan) {
  State::Impl state(dry.state_layout);
  const std::vector<Token> tokens(rows);
  std::vector<float> logits(dry.config.n_vocab);
  const std::size_t most = std::min(rows, kRoundSequences);
  const std::pair<std::size_t, std::size_t> rounds[] = {{1, rows}, {most, 1}, {most, rows / most}};
  for (const auto& [n_seq, n_token] : rounds) {
    const Piece piece{std::span(tokens).first(n_token), &state, logits};
    Workspaces workspaces;
    for (const auto& device : devices) workspaces.emplace_back(*device, std::numeric_limits<std::size_t>::max() / 2);
    dry.run(std::vector(n_seq, piece), workspaces, {});
    for (std::size_t i = 0; i < devices.size(); ++i) {
      plan.devices[i].workspace = std::max(plan.devices[i].workspace, workspaces[i].peak());
      plan.devices[i].scratch = devices[i]->scratch_bytes();
    }
  }
}

// The device that has too little, or none. only: looks at no other.
std::optional<std::size_t> lacking(const Model::Impl& model, const MemoryPlan& plan, const Device* only = nullptr) {
  for (std::size_t i = 0; i < plan.devices.size(); ++i) {
    const Device& device = *model.devices[i];
    if (only && only != &device) continue;
    const std::int64_t available = device.available_memory() - (device.is_host() ? 0 : kForDriver);
    if (static_cast<std::int64_t>(plan.devices[i].total()) > available) return i;
  }
  return {};
}

// Host memory for streamed layers, beside that of layers on the CPU.
std::size_t host_bytes(const Model::Impl& model, const MemoryPlan& plan) {
  std::size_t bytes = std::accumulate(plan.streamed.begin(), plan.streamed.end(), std::size_t{0});
  for (std::size_t i = 0; i < plan.devices.size(); ++i) {
    if (model.devices[i]->is_host()) bytes += plan.devices[i].total();
  }
  return bytes;
}

bool host_lacks(const Model::Impl& model, const MemoryPlan& plan, OpenDevices& devices) {
  if (plan.streamed.empty()) return false;
  return static_cast<std::int64_t>(host_bytes(model, plan)) > devices.open({})->available_memory();
}

// What to do instead, for a device that has too little. Each strategy named has been found to fit.
std::string advice(const CheckedCheckpoint& checkpoint, const Device& device, Placement placement, OpenDevices& devices) {
  const int n_layer = checkpoint.config.n_layer;
  placement.streamed = false;
  const std::string part = to_text(placement) + " *";
  const auto fits = [&](const std::string& strategy, const Device* only) {
    const auto model = lay_out(checkpoint, strategy, devices);
    const MemoryPlan plan = plan_memory(checkpoint, *model);
    return !lacking(*model, plan, only) && (only || !host_lacks(*model, plan, devices));
  };
  const auto most = [&](const std::string& rest, int least) {
    int n = n_layer;
    while (n >= least && !fits(message(part, n, rest), &device)) --n;
    return n;
  };
  const int resident = most(" -> cpu fp32", 1), streamed = most("+", 0);
  std::vector<std::string> strategies;
  if (resident > 0) strategies.push_back(message(part, resident, " -> cpu fp32"));
  if (streamed >= 0) strategies.push_back(message(part, streamed, "+"));
  std::erase_if(strategies, [&](const std::string& strategy) { return !fits(strategy, nullptr); });
  std::string text = message(resident, " of ", n_layer, " blocks fit; use ");
  for (const std::string& strategy : strategies) text += "\"" + strategy + "\" or ";
  return text + "a smaller type of weights (fp16, bf16, fp16i8, fp16i4)";
}

}  // namespace

MemoryPlan plan_memory(const CheckedCheckpoint& checkpoint, const Model::Impl& model) {
  const auto n_layer = static_cast<std::size_t>(checkpoint.config.n_layer);
  std::vector<WeightMemory> resident(model.devices.size()), streamed(n_layer + 1);
  Model::Impl dry;
  dry.config = model.config;
  dry.architecture = model.architecture;
  dry.placements = model.placements;
  dry.stages = model.stages;
  LoadLog log;
  load_layers(checkpoint, log, dry, [&](int layer) -> WeightMemory& {
    if (layer != kStem && model.streams(layer)) return streamed[layer];
    return resident[model.device_of(std::max(layer, 0))];
  });

  std::vector<std::shared_ptr<DryDevice>> devices;
  for (const auto& device : model.devices) devices.push_back(std::make_shared<DryDevice>(*device));
  dry.devices.assign(devices.begin(), devices.end());
  dry.state_layout = std::make_shared<const StateLayout>(model.config, 0, checkpoint.half_states, dry.block_devices());
  MemoryPlan plan;
  for (const WeightMemory& memory : resident) plan.devices.push_back({.weights = memory.used()});
  plan_forward(dry, devices, model.round_rows(), plan);
  const std::vector<std::size_t>& of_states = dry.state_layout->buffer_bytes;  // of the same devices, without the head's
  for (std::size_t i = 0; i < of_states.size(); ++i) plan.devices[i].state = of_states[i];
  for (std::size_t layer = 0; layer <= n_layer; ++layer) {
    DeviceNeeds& needs = plan.devices[model.device_of(layer)];
    if (!model.streams(layer)) continue;
    if (plan.streamed.empty()) plan.first_streamed = layer;
    plan.streamed.push_back(streamed[layer].used());
    needs.areas = std::max(needs.areas, StreamedLayers::kAreas * plan.streamed.back());
  }
  return plan;
}

void require_memory(const CheckedCheckpoint& checkpoint, const Model::Impl& model, const MemoryPlan& plan,
                    OpenDevices& devices) {
  const auto mib = [](std::size_t bytes) { return (bytes + kMiB - 1) / kMiB; };
  const std::optional<std::size_t> found = lacking(model, plan);
  if (!found && host_lacks(model, plan, devices)) {
    throw OutOfMemoryError(message(checkpoint.file->path(), ": needs ", mib(host_bytes(model, plan)),
                                   " MiB of host memory for its streamed layers, ", devices.open({})->available_memory() / kMiB,
                                   " MiB are available; stream fewer layers"));
  }
  if (!found) return;
  const Device& device = *model.devices[*found];
  const DeviceNeeds& needs = plan.devices[*found];
  const auto placed =
      std::ranges::find_if(model.placements, [&](const Placement& p) { return devices.open(p.device).get() == &device; });
  const std::string what =
      message(checkpoint.file->path(), ": needs ", mib(needs.total()), " MiB (", mib(needs.weights),
              " of them for its weights)", device.is_host() ? "" : message(" and ", kForDriver / kMiB, " MiB for the driver"),
              " on ", device.name(), ", ", device.available_memory() / kMiB, " MiB are ");
  if (device.is_host()) {
    throw OutOfMemoryError(what + "available; a smaller type of weights (fp16, bf16, fp16i8, fp16i4) needs less");
  }
  throw OutOfMemoryError(what + "free: " + advice(checkpoint, device, *placed, devices));
}

}  // namespace rwkv
