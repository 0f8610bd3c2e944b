// SPDX-License-Identifier: Apache-2.0
// The public Model: checks arguments and cuts long sequences into rounds of bounded memory.
#include <rwkv/model.h>

#include <algorithm>
#include <optional>

#include "device_array.h"
#include "forward.h"
#include "load.h"
#include "message.h"
#include "sampling/distribution.h"
#include "sampling/draw.h"

namespace rwkv {
namespace {

// A call below this many bytes of weights times tokens takes some milliseconds: not worth keeping its states for.
constexpr std::int64_t kShortCall = std::int64_t{1} << 26;

void check(const Sequence& sequence, const ModelConfig& config) {
  const auto& tokens = sequence.tokens;
  if (tokens.empty()) throw TokenError("a sequence has no tokens; to continue a text, pass the token that was sampled");
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= config.n_vocab) {
      throw TokenError(
          message("token ", tokens[i], " at position ", i, " is outside the vocabulary, 0 to ", config.n_vocab - 1));
    }
  }
  const std::size_t n_vocab = config.n_vocab, n = sequence.logits.size();
  if (n != 0 && n != n_vocab && n != n_vocab * tokens.size()) {
    throw ArgumentError(message("logits has ", n, " elements; expected ", n_vocab, " for the last token, ",
                                n_vocab * tokens.size(), " for all, or none"));
  }
  if (!sequence.sampler) return;
  if (!sequence.drawn) throw ArgumentError("a sequence has a sampler and no place for the token that it draws");
  SamplerAccess::check_tokens(*sequence.sampler, n_vocab);
}

// "on cuda:0 (NVIDIA H100) in fp16"; all CPU devices share their memory.
std::string place_of(const StateLayout& layout, std::size_t layer) {
  const Device& device = layout.device(layer);
  return message("on ", device.is_host() ? "cpu" : device.name(), " in ", name_of(layout.matrix_type(device)));
}

void check(const State::Impl* state, const StateLayout& layout) {
  if (!state) throw StateError("the state belongs to no model; begin with Model::new_state()");
  const StateLayout& other = *state->layout;
  if (&other == &layout) return;
  if (other.config != layout.config || other.fingerprint != layout.fingerprint) {
    const bool same_shape = describe(other.config) == describe(layout.config);
    throw StateError(message("the state is of another model (", describe(other.config), same_shape ? ", other weights" : "",
                             "), this model is ", describe(layout.config)));
  }
  for (std::size_t layer = 0; layer < layout.device_of.size(); ++layer) {
    const std::string there = place_of(other, layer), here = place_of(layout, layer);
    if (there == here) continue;
    throw StateError(message("block ", layer, " of the state lies ", there, ", this model needs it ", here,
                             ": save() the state and load() it for this model, or assign() its arrays() to a new one"));
  }
}

// Marks states as in use as long as it lives: one that two calls advance at the same time would be lost without a word.
class StatesInUse {
 public:
  explicit StatesInUse(std::vector<State::Impl*> states) : states_(std::move(states)) {
    for (; held_ < states_.size(); ++held_) {
      if (!states_[held_]->in_use.exchange(true)) continue;
      release();
      throw StateError("two sequences of a batch share one state, or another call is using it; copy it first");
    }
  }
  ~StatesInUse() { release(); }
  StatesInUse(const StatesInUse&) = delete;
  StatesInUse& operator=(const StatesInUse&) = delete;

 private:
  void release() {
    while (held_ > 0) states_[--held_]->in_use = false;
  }

  std::vector<State::Impl*> states_;
  std::size_t held_ = 0;
};

// Puts states and samplers back when a call ends early. Copies them first, so only calls that can end early have one.
class StatesBefore {
 public:
  StatesBefore(std::span<const Sequence> batch, std::span<State::Impl* const> states)
      : batch_(batch), states_(states.begin(), states.end()) {
    for (const State::Impl* state : states) before_.push_back(state->clone());
    for (const Sequence& sequence : batch) {
      random_.push_back(sequence.sampler ? SamplerAccess::random(*sequence.sampler) : Random(0));
    }
  }
  void restore() const {
    for (std::size_t i = 0; i < states_.size(); ++i) {
      states_[i]->copy_from(*before_[i]);
      if (batch_[i].sampler) SamplerAccess::random(*batch_[i].sampler) = random_[i];
    }
  }

 private:
  std::span<const Sequence> batch_;
  std::vector<State::Impl*> states_;
  std::vector<std::unique_ptr<State::Impl>> before_;
  std::vector<Random> random_;  // of the samplers
};

// A state of another model of the same weights is made and copied by that one's devices, which this model's do not wait for.
void wait_for_others(std::span<State::Impl* const> states, const StateLayout& own) {
  for (const State::Impl* state : states) {
    if (state->layout.get() == &own) continue;
    for (const auto& device : state->layout->devices) device->synchronize();
  }
}

void require_own_samplers(std::span<const Sequence> batch) {
  std::vector<const Sampler*> samplers;
  for (const Sequence& sequence : batch) {
    if (sequence.sampler) samplers.push_back(sequence.sampler);
  }
  std::ranges::sort(samplers);
  if (std::ranges::adjacent_find(samplers) == samplers.end()) return;
  throw ArgumentError("two sequences of a batch share one sampler; give each a sampler of its own");
}

void require_tokens(std::span<const Sequence> batch, std::size_t n_vocab) {
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (!batch[i].sampler || *batch[i].drawn >= 0) continue;
    const NumericError error = no_token(*batch[i].drawn, n_vocab);
    if (batch.size() == 1) throw error;
    throw NumericError(message("sequence ", i, ": ", error.what()));
  }
}

// The rows that keep the largest matrix product between two polls short.
std::size_t polled_rows(const ModelConfig& c, std::size_t round_rows) {
  const std::int64_t largest = std::int64_t{c.n_embd} * std::max({c.n_att, c.n_ffn, 1});
  return std::clamp<std::size_t>(static_cast<std::size_t>(kPolledWork / largest), 16, round_rows);
}

}  // namespace

Model::Model(const std::filesystem::path& checkpoint, std::string_view strategy, const LoadOptions& options)
    : impl_(load_model(check_checkpoint(checkpoint, options), strategy, options)) {}

Model::Model(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}

Model make_model(std::shared_ptr<const Model::Impl> impl) { return Model(std::move(impl)); }

const ModelConfig& Model::config() const noexcept { return impl_->config; }
std::int64_t Model::weight_bytes() const noexcept { return impl_->weight_bytes; }
std::int64_t Model::state_bytes() const noexcept { return impl_->state_layout->bytes(); }
const std::vector<std::string>& Model::unused_tensors() const noexcept { return impl_->unused; }
State Model::new_state() const { return State(initial_state(impl_->state_layout)); }

std::string Model::placement() const {
  const auto& placements = impl_->placements;
  const int n_layer = impl_->config.n_layer;
  std::string text;
  for (const auto& device : impl_->devices) text += (text.empty() ? "" : ", ") + device->name();
  for (std::size_t first = 0, end; first < placements.size(); first = end) {
    end = first + 1;
    while (end < placements.size() && placements[end] == placements[first]) ++end;
    text += message("\n", to_text(placements[first]), ": ");
    const int last_block = std::min(static_cast<int>(end), n_layer) - 1;
    if (static_cast<int>(first) <= last_block) text += message("blocks ", first, "-", last_block);
    if (end == placements.size()) text += static_cast<int>(first) <= last_block ? ", head" : "head";
  }
  return text;
}

void Model::forward(std::span<const Token> tokens, State& state, std::span<float> logits, const Poll& poll) const {
  const Sequence sequence{tokens, &state, logits};
  forward({&sequence, 1}, poll);
}

void Model::forward(std::span<const Sequence> batch, const Poll& poll) const { run(batch, {}, poll); }

DeviceArray Model::forward_on_device(std::span<const Sequence> batch, LogitsOf which, const Poll& poll) const {
  std::int64_t rows = std::ssize(batch);
  if (which == LogitsOf::every_token) {
    rows = 0;
    for (const Sequence& sequence : batch) rows += std::ssize(sequence.tokens);
  }
  DeviceArray logits = new_array(impl_->devices[impl_->stages.back().device], "logits", {rows, config().n_vocab});
  run(batch, {static_cast<float*>(logits.data), which}, poll);
  return logits;
}

void Model::run(std::span<const Sequence> batch, const KeptLogits& kept, const Poll& poll) const {
  std::vector<State::Impl*> states;
  std::int64_t n_tokens = 0;
  for (const Sequence& sequence : batch) {
    check(sequence, impl_->config);
    if (!sequence.state) throw StateError("a sequence has no state");
    check(sequence.state->impl_.get(), *impl_->state_layout);
    states.push_back(sequence.state->impl_.get());
    n_tokens += std::ssize(sequence.tokens);
  }
  require_own_samplers(batch);
  const StatesInUse in_use(states);
  const bool polled = poll && n_tokens * weight_bytes() >= kShortCall;
  std::optional<StatesBefore> before;
  if (polled && !(n_tokens == std::ssize(batch) && impl_->replays_steps())) before.emplace(batch, states);
  wait_for_others(states, *impl_->state_layout);  // also for the copies: states are copied by their own devices, in turn
  if (!before) {
    if (polled) poll();
    impl_->run_rounds(batch, states, kept, impl_->round_rows(), {});
  } else {
    try {
      impl_->run_rounds(batch, states, kept, polled_rows(config(), impl_->round_rows()), poll);
    } catch (...) {
      for (const auto& device : impl_->devices) device->synchronize();
      before->restore();
      throw;
    }
  }
  require_tokens(batch, config().n_vocab);
}

void Model::Impl::run_rounds(std::span<const Sequence> batch, std::span<State::Impl* const> states, const KeptLogits& kept,
                             std::size_t round_rows, const Poll& poll) const {
  Workspaces workspaces = take_workspaces();
  std::vector<Piece> round;
  std::size_t rows = 0, n_kept = 0;
  bool waited = true;  // for all that was asked of the devices
  const auto run_round = [&] {
    if (round.empty()) return;
    run(round, workspaces, poll);
    waited = std::ranges::any_of(round, &Piece::brings_back);
    round.clear();
    rows = 0;
  };
  const std::size_t n_vocab = config.n_vocab;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const Sequence& sequence = batch[i];
    const bool all = sequence.logits.size() == n_vocab * sequence.tokens.size();
    for (std::size_t first = 0; first < sequence.tokens.size();) {
      const std::size_t n = std::min(round_rows - rows, sequence.tokens.size() - first);
      const bool last = first + n == sequence.tokens.size();
      const std::span<float> logits = all    ? sequence.logits.subspan(first * n_vocab, n * n_vocab)
                                      : last ? sequence.logits
                                             : std::span<float>{};
      Piece piece{sequence.tokens.subspan(first, n), states[i], logits, last ? sequence.sampler : nullptr, sequence.drawn};
      if (kept.data) {
        const std::size_t of_piece = kept.which == LogitsOf::every_token ? n : last ? 1 : 0;
        piece.kept = {kept.data + n_kept * n_vocab, of_piece * n_vocab};
        n_kept += of_piece;
      }
      round.push_back(piece);
      first += n;
      if ((rows += n) == round_rows || round.size() == kRoundSequences) run_round();
    }
  }
  run_round();
  if (!waited) {
    for (const auto& device : devices) device->synchronize();
  }
  give_back(std::move(workspaces));
}

}  // namespace rwkv
