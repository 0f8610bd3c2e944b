// SPDX-License-Identifier: Apache-2.0
#include <rwkv/state.h>

#include <algorithm>

#include "devices.h"
#include "message.h"
#include "state_impl.h"

namespace rwkv {

StateLayout::StateLayout(const ModelConfig& c, std::uint64_t model, std::vector<std::shared_ptr<Device>> of_layers)
    : config(c), fingerprint(model), slots(find_architecture(c.version)->state_slots(c)), devices(std::move(of_layers)) {
  constexpr std::int64_t kAligned = 16;  // floats: what kernels load at once, and more
  for (const Slot& slot : slots) {
    offsets.push_back(block_floats);
    block_floats += (slot.count() + kAligned - 1) / kAligned * kAligned;
  }
  initial_s.resize(devices.size());
}

std::int64_t StateLayout::bytes() const {
  std::int64_t floats = 0;
  for (const Slot& slot : slots) floats += slot.count();
  return floats * static_cast<std::int64_t>(sizeof(float) * devices.size());
}

void StateLayout::check(std::span<const State::Array> arrays) const {
  const std::size_t expected = slots.size() * devices.size();
  if (arrays.size() != expected) throw StateError(message("state: expected ", expected, " arrays, found ", arrays.size()));
  for (std::size_t n = 0; n < arrays.size(); ++n) {
    const Slot& slot = slots[n % slots.size()];
    if (arrays[n].shape != slot.shape || static_cast<std::int64_t>(arrays[n].values.size()) != slot.count()) {
      throw StateError(message("state: blocks.", n / slots.size(), ".", slot.name, ": expected shape ", shape_text(slot.shape),
                               ", found ", shape_text(arrays[n].shape), " with ", arrays[n].values.size(), " values"));
    }
  }
}

State::Impl::Impl(std::shared_ptr<const StateLayout> shared_layout) : layout(std::move(shared_layout)) {
  for (const auto& device : layout->devices) blocks.emplace_back(*device, static_cast<std::size_t>(layout->block_bytes()));
}

std::unique_ptr<State::Impl> State::Impl::clone() const {
  auto copy = std::make_unique<Impl>(layout);
  copy->copy_from(*this);
  return copy;
}

void State::Impl::copy_from(const Impl& other) {
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    layout->devices[i]->copy(blocks[i].data(), other.blocks[i].data(), blocks[i].bytes());
  }
  tokens_seen = other.tokens_seen;
}

std::unique_ptr<State::Impl> initial_state(std::shared_ptr<const StateLayout> layout) {
  auto state = std::make_unique<State::Impl>(std::move(layout));
  const StateLayout& l = *state->layout;
  std::vector<float> start(l.block_floats);
  for (std::size_t i = 0; i < l.slots.size(); ++i) {
    std::fill_n(start.begin() + l.offsets[i], l.slots[i].count(), l.slots[i].initial);
  }
  for (std::size_t layer = 0; layer < l.devices.size(); ++layer) {
    l.devices[layer]->upload(state->blocks[layer].data(), start.data(), start.size() * sizeof(float));
    const auto& s = l.initial_s[layer];
    for (std::size_t i = 0; !s.empty() && i < l.slots.size(); ++i) {
      if (l.slots[i].name == "S") l.devices[layer]->upload(state->slot(layer, i), s.data(), s.size() * sizeof(float));
    }
  }
  return state;
}

std::string describe(const ModelConfig& c) {
  std::string text =
      message("RWKV-", c.version, c.version == 5 ? message(".", c.minor) : "", ", ", c.n_layer, " layers, n_embd ", c.n_embd);
  if (c.n_att != c.n_embd) text += message(", n_att ", c.n_att);
  if (c.n_head > 0) text += message(", ", c.n_head, " heads of ", c.head_size);
  return text;
}

State::State() noexcept = default;
State::State(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
State::State(const State& other) : impl_(other.impl_ ? other.impl_->clone() : nullptr) {}
State::State(State&&) noexcept = default;
State& State::operator=(State&&) noexcept = default;
State::~State() = default;

State& State::operator=(const State& other) {
  if (this != &other) impl_ = other.impl_ ? other.impl_->clone() : nullptr;
  return *this;
}

std::int64_t State::tokens_seen() const noexcept { return impl_ ? impl_->tokens_seen : 0; }

std::int64_t State::bytes() const noexcept { return impl_ ? impl_->layout->bytes() : 0; }

std::vector<State::Array> State::arrays() const {
  std::vector<Array> arrays;
  if (!impl_) return arrays;
  const StateLayout& l = *impl_->layout;
  for (std::size_t layer = 0; layer < impl_->blocks.size(); ++layer) {
    for (std::size_t i = 0; i < l.slots.size(); ++i) {
      std::vector<float> values(l.slots[i].count());
      l.devices[layer]->download(values.data(), impl_->slot(layer, i), values.size() * sizeof(float));
      arrays.push_back({message("blocks.", layer, ".", l.slots[i].name), l.slots[i].shape, std::move(values)});
    }
  }
  return arrays;
}

void State::assign(std::span<const Array> arrays) {
  if (!impl_) throw StateError("state: it belongs to no model; begin with Model::new_state()");
  const StateLayout& l = *impl_->layout;
  l.check(arrays);
  for (std::size_t n = 0; n < arrays.size(); ++n) {
    const std::size_t layer = n / l.slots.size();
    l.devices[layer]->upload(impl_->slot(layer, n % l.slots.size()), arrays[n].values.data(),
                             arrays[n].values.size() * sizeof(float));
  }
}

std::vector<State::View> State::views() {
  std::vector<View> views;
  if (!impl_) return views;
  const StateLayout& l = *impl_->layout;
  for (std::size_t layer = 0; layer < impl_->blocks.size(); ++layer) {
    if (!l.devices[layer]->is_host()) {
      throw DeviceError(message("the state lies on ", l.devices[layer]->name(), "; copy it with arrays()"));
    }
    for (std::size_t i = 0; i < l.slots.size(); ++i) {
      views.push_back({message("blocks.", layer, ".", l.slots[i].name),
                       l.slots[i].shape,
                       {impl_->slot(layer, i), static_cast<std::size_t>(l.slots[i].count())}});
    }
  }
  return views;
}

bool State::operator==(const State& other) const {
  if (impl_ == other.impl_) return true;
  if (!impl_ || !other.impl_) return false;
  const StateLayout &a = *impl_->layout, &b = *other.impl_->layout;
  if (a.config != b.config || a.fingerprint != b.fingerprint) return false;
  const std::vector<Array> mine = arrays(), theirs = other.arrays();
  return std::ranges::equal(mine, theirs, {}, &Array::values, &Array::values);
}

State::Snapshot State::snapshot() const {
  if (!impl_) throw StateError("state: it belongs to no model, so there is nothing to send");
  return {impl_->layout->config, impl_->layout->fingerprint, impl_->tokens_seen, arrays()};
}

State::State(const Snapshot& snapshot) {
  const ModelConfig& c = snapshot.config;
  if (!find_architecture(c.version)) throw StateError(message("snapshot: there is no RWKV-", c.version));
  if (c.n_layer < 1 || c.n_layer > std::ssize(snapshot.arrays)) {
    throw StateError(message("snapshot: ", snapshot.arrays.size(), " arrays cannot be those of ", c.n_layer, " layers"));
  }
  auto layout = std::make_shared<const StateLayout>(c, snapshot.fingerprint, std::vector(c.n_layer, open_device({}, 1)));
  layout->check(snapshot.arrays);
  impl_ = std::make_unique<Impl>(std::move(layout));
  assign(snapshot.arrays);
  impl_->tokens_seen = snapshot.tokens_seen;
}

}  // namespace rwkv
