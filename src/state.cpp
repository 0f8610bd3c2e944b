// SPDX-License-Identifier: Apache-2.0
#include <rwkv/state.h>

#include <algorithm>

#include "message.h"
#include "state_impl.h"

namespace rwkv {

State::Impl::Impl(std::shared_ptr<const StateLayout> shared_layout) : layout(std::move(shared_layout)) {
  for (const auto& device : layout->devices) blocks.emplace_back(*device, static_cast<std::size_t>(layout->block_bytes()));
}

std::unique_ptr<State::Impl> State::Impl::clone() const {
  auto copy = std::make_unique<Impl>(layout);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    layout->devices[i]->copy(copy->blocks[i].data(), blocks[i].data(), blocks[i].bytes());
  }
  copy->tokens_seen = tokens_seen;
  return copy;
}

std::unique_ptr<State::Impl> initial_state(std::shared_ptr<const StateLayout> layout) {
  auto state = std::make_unique<State::Impl>(std::move(layout));
  const StateLayout& l = *state->layout;
  std::vector<float> start(l.offsets.back());
  for (std::size_t i = 0; i < l.slots.size(); ++i) {
    std::fill(start.begin() + l.offsets[i], start.begin() + l.offsets[i + 1], l.slots[i].initial);
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

std::int64_t State::bytes() const noexcept {
  return impl_ ? impl_->layout->block_bytes() * static_cast<std::int64_t>(impl_->blocks.size()) : 0;
}

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
  const std::size_t expected = l.slots.size() * impl_->blocks.size();
  if (arrays.size() != expected) throw StateError(message("state: expected ", expected, " arrays, found ", arrays.size()));
  for (std::size_t n = 0; n < arrays.size(); ++n) {
    const Slot& slot = l.slots[n % l.slots.size()];
    if (arrays[n].shape != slot.shape || static_cast<std::int64_t>(arrays[n].values.size()) != slot.count()) {
      throw StateError(message("state: blocks.", n / l.slots.size(), ".", slot.name, ": expected shape ",
                               shape_text(slot.shape), ", found ", shape_text(arrays[n].shape), " with ",
                               arrays[n].values.size(), " values"));
    }
  }
  for (std::size_t n = 0; n < arrays.size(); ++n) {
    const std::size_t layer = n / l.slots.size();
    l.devices[layer]->upload(impl_->slot(layer, n % l.slots.size()), arrays[n].values.data(),
                             arrays[n].values.size() * sizeof(float));
  }
}

}  // namespace rwkv
