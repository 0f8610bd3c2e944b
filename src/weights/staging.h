// SPDX-License-Identifier: Apache-2.0
// Memory between a file and a device that the parts of a load take in turns. Asked for and given back 500 times, megabytes
// each, the allocator would return it to the system every time: a fifth of the time to load a model.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace rwkv {

class Staging {
  struct Block {
    std::unique_ptr<std::byte[]> memory;
    std::size_t bytes = 0;
  };

 public:
  // n numbers, not initialised: they are about to be written. Gives its memory back in the end.
  template <class T>
  class Lease {
   public:
    Lease(Staging& staging, std::int64_t n)
        : staging_(staging), block_(staging.take(static_cast<std::size_t>(n) * sizeof(T))) {}
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() { staging_.give(std::move(block_)); }

    [[nodiscard]] T* get() const { return reinterpret_cast<T*>(block_.memory.get()); }
    [[nodiscard]] T& operator[](std::int64_t i) const { return get()[i]; }

   private:
    Staging& staging_;
    Block block_;
  };

  template <class T>
  [[nodiscard]] Lease<T> lease(std::int64_t n) {
    return Lease<T>(*this, n);
  }

 private:
  // The first that is large enough; else the last one makes room for a larger one.
  [[nodiscard]] Block take(std::size_t bytes) {
    Block block;
    {
      const std::lock_guard guard(lock_);
      for (std::size_t i = 0; i < free_.size(); ++i) {
        if (i + 1 < free_.size() && free_[i].bytes < bytes) continue;
        block = std::move(free_[i]);
        free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(i));
        break;
      }
    }
    if (block.bytes < bytes) block = {std::make_unique_for_overwrite<std::byte[]>(bytes), bytes};
    return block;
  }

  void give(Block block) noexcept {
    const std::lock_guard guard(lock_);
    if (free_.size() < free_.capacity()) free_.push_back(std::move(block));
  }

  static constexpr std::size_t kKept = 64;
  static std::vector<Block> with_room() {
    std::vector<Block> blocks;
    blocks.reserve(kKept);
    return blocks;
  }

  std::mutex lock_;
  std::vector<Block> free_ = with_room();
};

}  // namespace rwkv
