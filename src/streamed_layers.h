// SPDX-License-Identifier: Apache-2.0
// Layers that do not fit on their device: their weights stay in host memory, and each is copied to one of two areas of the
// device while the layer before it computes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "kernels/buffer.h"
#include "kernels/copy_queue.h"
#include "weights/weight_memory.h"

namespace rwkv {

class StreamedLayers {
 public:
  static constexpr std::size_t kAreas = 2;  // each as large as the largest layer

  // Layers from `first` on, of so many bytes each. Throws OutOfMemoryError.
  StreamedLayers(Device& device, std::size_t first, std::span<const std::size_t> bytes);

  [[nodiscard]] bool has(std::size_t layer) const { return layer >= first_ && layer - first_ < images_.size(); }
  [[nodiscard]] WeightMemory memory(std::size_t layer);  // to load it to

  // The right to use the areas, for the calls of a forward that launch kernels; what they launch runs in their order.
  class Use {
   public:
    explicit Use(StreamedLayers* layers);  // null: there are none
    void begin(std::size_t layer);         // kernels from here on find its weights
    void end(std::size_t layer);           // until here: another layer takes its area

   private:
    StreamedLayers* layers_;
    std::unique_lock<std::mutex> lock_;
  };

 private:
  struct Image {
    std::byte* data = nullptr;  // the weights as in the area
    std::size_t bytes = 0;
  };
  void send(std::size_t i);

  static constexpr std::size_t kNone = SIZE_MAX;
  Device& device_;
  std::size_t first_;
  std::vector<Image> images_;  // [layers]; image i goes to area i % 2
  std::mutex lock_;            // of what follows
  Buffer areas_[kAreas];
  std::size_t holds_[kAreas] = {kNone, kNone};  // the image sent last
  std::unique_ptr<CopyQueue> queue_;            // goes first, when its copies have ended
};

}  // namespace rwkv
