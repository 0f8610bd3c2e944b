// SPDX-License-Identifier: Apache-2.0
#include <rwkv/state.h>

#include <algorithm>
#include <cstring>

#include "device_array.h"
#include "devices.h"
#include "kernels/convert.h"
#include "kernels/half.h"
#include "message.h"
#include "state_impl.h"

namespace rwkv {
namespace {

// float32 as `type`.
void store(std::span<const float> values, DType type, std::byte* to) {
  if (type == DType::f32) {
    std::ranges::copy(std::as_bytes(values), to);
    return;
  }
  constexpr float kLargest = 65504.0f;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t half = f32_to_f16(std::clamp(values[i], -kLargest, kLargest));  // NaN stays
    std::memcpy(to + i * sizeof(half), &half, sizeof(half));
  }
}

std::vector<float> fetch(const std::byte* from, DType type, std::int64_t n) {
  std::vector<float> values(n);
  converter(type, DType::f32)(from, values.data(), n);
  return values;
}

const StateLayout& layout_of(const State::Impl* state) {
  if (!state) throw StateError("state: it belongs to no model; begin with Model::new_state()");
  return *state->layout;
}

}  // namespace

StateLayout::StateLayout(const ModelConfig& c, std::uint64_t model, bool half_s,
                         const std::vector<std::shared_ptr<Device>>& block_devices)
    : config(c), fingerprint(model), slots(find_architecture(c.version)->state_slots(c)), half(half_s) {
  constexpr std::size_t kAligned = 64;  // bytes: what kernels load at once, and more
  for (const auto& device : block_devices) {
    const auto found = std::ranges::find(devices, device);
    device_of.push_back(static_cast<std::size_t>(found - devices.begin()));
    if (found == devices.end()) devices.push_back(device), buffer_bytes.push_back(0);
    std::size_t& end = buffer_bytes[device_of.back()];
    for (std::size_t slot = 0; slot < slots.size(); ++slot) {
      const std::size_t n = offsets.size();
      offsets.push_back(end);
      end += (bytes(n) + kAligned - 1) / kAligned * kAligned;
    }
  }
  initial_s.resize(block_devices.size());
}

std::string StateLayout::name(std::size_t n) const { return message("blocks.", layer_of(n), ".", slot_of(n).name); }

DType StateLayout::matrix_type(const Device& on) const { return half && on.kernels().half_states ? DType::f16 : DType::f32; }

bool StateLayout::has_half() const {
  return std::ranges::any_of(slots, &Slot::is_matrix) &&
         std::ranges::any_of(devices, [&](const auto& device) { return matrix_type(*device) == DType::f16; });
}

std::int64_t StateLayout::bytes() const {
  std::size_t sum = 0;
  for (std::size_t n = 0; n < offsets.size(); ++n) sum += bytes(n);
  return static_cast<std::int64_t>(sum);
}

void StateLayout::check(std::span<const State::Array> arrays) const {
  const std::size_t expected = offsets.size();
  if (arrays.size() != expected) throw StateError(message("state: expected ", expected, " arrays, found ", arrays.size()));
  for (std::size_t n = 0; n < arrays.size(); ++n) check(n, arrays[n]);
}

void StateLayout::check(std::size_t n, const State::Array& array) const {
  const Slot& slot = slot_of(n);
  if (array.shape == slot.shape && std::ssize(array.values) == slot.count()) return;
  throw StateError(message("state: ", name(n), ": expected shape ", shape_text(slot.shape), ", found ", shape_text(array.shape),
                           " with ", array.values.size(), " values"));
}

State::Impl::Impl(std::shared_ptr<const StateLayout> shared_layout) : layout(std::move(shared_layout)) {
  for (std::size_t i = 0; i < layout->devices.size(); ++i) {
    buffers.emplace_back(*layout->devices[i], layout->buffer_bytes[i]);
  }
}

std::unique_ptr<State::Impl> State::Impl::clone() const {
  auto copy = std::make_unique<Impl>(layout);
  copy->copy_from(*this);
  return copy;
}

void State::Impl::copy_from(const Impl& other) {
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    layout->devices[i]->copy(buffers[i].data(), other.buffers[i].data(), buffers[i].bytes());
  }
  tokens_seen = other.tokens_seen;
}

void State::Impl::write(const std::function<std::span<const float>(std::size_t)>& values) {
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    std::vector<std::byte> host(buffers[i].bytes());
    for (std::size_t n = 0; n < layout->offsets.size(); ++n) {
      if (layout->device_of[layout->layer_of(n)] != i) continue;
      store(values(n), layout->type(n), host.data() + layout->offsets[n]);
    }
    layout->devices[i]->upload(buffers[i].data(), host.data(), host.size());
  }
}

void State::Impl::write(std::size_t n, std::span<const float> values) {
  std::vector<std::byte> host(layout->bytes(n));
  store(values, layout->type(n), host.data());
  layout->device(layout->layer_of(n)).upload(array(n), host.data(), host.size());
}

std::unique_ptr<State::Impl> initial_state(std::shared_ptr<const StateLayout> layout) {
  auto state = std::make_unique<State::Impl>(std::move(layout));
  const StateLayout& l = *state->layout;
  std::vector<float> start;
  state->write([&](std::size_t n) -> std::span<const float> {
    const Slot& slot = l.slot_of(n);
    const auto& s = l.initial_s[l.layer_of(n)];
    if (slot.is_matrix() && !s.empty()) return s;
    start.assign(slot.count(), slot.initial);
    return start;
  });
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

const ModelConfig& State::config() const noexcept {
  static const ModelConfig none;
  return impl_ ? impl_->layout->config : none;
}

std::int64_t State::tokens_seen() const noexcept { return impl_ ? impl_->tokens_seen : 0; }

std::int64_t State::bytes() const noexcept { return impl_ ? impl_->layout->bytes() : 0; }

std::vector<std::string> State::names() const {
  std::vector<std::string> names(impl_ ? impl_->layout->offsets.size() : 0);
  for (std::size_t n = 0; n < names.size(); ++n) names[n] = impl_->layout->name(n);
  return names;
}

std::vector<State::Array> State::arrays() const {
  std::vector<Array> arrays;
  if (!impl_) return arrays;
  const StateLayout& l = *impl_->layout;
  std::vector<std::vector<std::byte>> buffers;
  for (std::size_t i = 0; i < l.devices.size(); ++i) {
    buffers.emplace_back(impl_->buffers[i].bytes());
    l.devices[i]->download(buffers[i].data(), impl_->buffers[i].data(), buffers[i].size());
  }
  for (std::size_t n = 0; n < l.offsets.size(); ++n) {
    const Slot& slot = l.slot_of(n);
    const std::byte* const from = buffers[l.device_of[l.layer_of(n)]].data() + l.offsets[n];
    arrays.push_back({l.name(n), slot.shape, fetch(from, l.type(n), slot.count())});
  }
  return arrays;
}

void State::assign(std::span<const Array> arrays) {
  const StateLayout& l = layout_of(impl_.get());
  l.check(arrays);
  impl_->write([&](std::size_t n) { return std::span(arrays[n].values); });
  for (const auto& device : l.devices) device->synchronize();
}

void State::assign(const Array& array) {
  const StateLayout& l = layout_of(impl_.get());
  const std::vector<std::string> all = names();
  const auto n = static_cast<std::size_t>(std::ranges::find(all, array.name) - all.begin());
  if (n == all.size()) throw StateError(message("state: there is no array \"", printable(array.name), "\"; see names()"));
  l.check(n, array);
  impl_->write(n, array.values);
  l.device(l.layer_of(n)).synchronize();
}

std::vector<State::View> State::views() {
  std::vector<View> views;
  if (!impl_) return views;
  for (const auto& device : impl_->layout->devices) {
    if (!device->is_host()) throw DeviceError(message("the state lies on ", device->name(), "; copy it with arrays()"));
  }
  for (std::size_t n = 0; DeviceArray & array : device_arrays()) {
    const auto count = static_cast<std::size_t>(impl_->layout->slot_of(n++).count());
    views.push_back({std::move(array.name), std::move(array.shape), {static_cast<float*>(array.data), count}});
  }
  return views;
}

std::vector<DeviceArray> State::device_arrays() {
  std::vector<DeviceArray> arrays;
  if (!impl_) return arrays;
  const StateLayout& l = *impl_->layout;
  for (std::size_t n = 0; n < l.offsets.size(); ++n) {
    arrays.push_back(array_on(l.device(l.layer_of(n)), l.name(n), l.slot_of(n).shape, impl_->array(n), impl_));
    if (l.type(n) == DType::f16) arrays.back().type = DeviceArray::Type::float16;
  }
  for (const auto& device : l.devices) device->synchronize();
  return arrays;
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
  auto layout = std::make_shared<const StateLayout>(c, snapshot.fingerprint, false, std::vector(c.n_layer, open_device({}, 1)));
  layout->check(snapshot.arrays);
  impl_ = std::make_unique<Impl>(std::move(layout));
  assign(snapshot.arrays);
  impl_->tokens_seen = snapshot.tokens_seen;
}

}  // namespace rwkv
