// SPDX-License-Identifier: Apache-2.0
#include "streamed_layers.h"

#include <algorithm>

namespace rwkv {

StreamedLayers::StreamedLayers(Device& device, std::size_t first, std::span<const std::size_t> bytes)
    : device_(device), first_(first), queue_(device.copy_queue()) {
  for (const std::size_t n : bytes) images_.push_back({queue_->host_memory(n), n});
  for (Buffer& area : areas_) area = Buffer(device, std::ranges::max(bytes));
}

WeightMemory StreamedLayers::memory(std::size_t layer) {
  const std::size_t i = layer - first_;
  return {device_, areas_[i % kAreas], images_[i].data};
}

void StreamedLayers::send(std::size_t i) {
  const std::size_t area = i % kAreas;
  if (i >= images_.size() || holds_[area] == i) return;
  holds_[area] = kNone;
  queue_->send(static_cast<int>(area), areas_[area].data(), images_[i].data, images_[i].bytes);
  holds_[area] = i;
}

// The first two set out before the kernels of the layers in front of them.
StreamedLayers::Use::Use(StreamedLayers* layers) : layers_(layers) {
  if (!layers_) return;
  lock_ = std::unique_lock(layers_->lock_);
  for (std::size_t i = 0; i < kAreas; ++i) layers_->send(i);
}

void StreamedLayers::Use::begin(std::size_t layer) {
  if (!layers_ || !layers_->has(layer)) return;
  layers_->send(layer - layers_->first_);
  layers_->queue_->receive(static_cast<int>((layer - layers_->first_) % kAreas));
}

// Behind the last layers come the first ones, for the next forward.
void StreamedLayers::Use::end(std::size_t layer) {
  if (!layers_ || !layers_->has(layer)) return;
  const std::size_t i = layer - layers_->first_, next = i + kAreas;
  layers_->send(next < layers_->images_.size() ? next : i % kAreas);
}

}  // namespace rwkv
