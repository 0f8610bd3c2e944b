// SPDX-License-Identifier: Apache-2.0
#include "bench/loaded_model.h"

#include "bench/synthetic.h"
#include "cli/bundled_model.h"
#include "devices.h"
#include "message.h"

namespace rwkv::bench {
namespace {

std::unique_ptr<Checkpoint> open(const Options& o) {
  if (o.synthetic) return make_synthetic(synthetic_shape(*o.synthetic));
  return open_checkpoint(o.model ? *o.model : cli::bundled_model());
}

}  // namespace

LoadedModel LoadedModel::load(const Options& o, int threads) {
  const LoadOptions options{.threads = threads, .progress = {}, .head_norm_eps = {}, .fp16_state = o.fp16_state};
  CheckedCheckpoint checkpoint = check_checkpoint(open(o), options);
  auto impl = load_model(checkpoint, o.strategy, options);
  const ModelCost cost = cost_of(*impl, checkpoint);
  Model model = make_model(impl);
  return {std::move(checkpoint), std::move(impl), std::move(model), cost};
}

bool LoadedModel::on_card() const { return impl->placements.front().device.kind == DeviceKind::cuda; }

std::function<Limits()> LoadedModel::limit_reader(int threads) const {
  if (on_card()) return card_limits(impl->placements.front().device.index);
  return [meter = std::make_shared<LimitMeter>(threads, arithmetic())] { return meter->read(); };
}

Arithmetic LoadedModel::arithmetic() const {
  return impl->placements.front().type == DType::bf16 ? Arithmetic::bf16 : Arithmetic::fp32;
}

std::string LoadedModel::text() const {
  return message(printable(std::filesystem::path(checkpoint.file->path()).filename().string()), ": ", describe(impl->config));
}

void LoadedModel::answer() const {
  State state = model.new_state();
  std::vector<float> logits(model.config().n_vocab);
  const Token token = 0;
  model.forward({&token, 1}, state, logits);
}

}  // namespace rwkv::bench
