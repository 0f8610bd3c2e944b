// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "arch/workspace.h"

namespace rwkv {

void* Workspace::allocate(std::size_t bytes) {
  constexpr std::size_t kAlignment = 64;
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  while (block_ < blocks_.size() && used_ + bytes > blocks_[block_].bytes()) {
    ++block_;
    used_ = 0;
  }
  if (block_ == blocks_.size()) blocks_.emplace_back(device_, std::max(bytes, 2 * blocks_.back().bytes()));
  void* const memory = static_cast<std::byte*>(blocks_[block_].data()) + used_;
  used_ += bytes;
  if (block_ == 0) peak_ = std::max(peak_, used_);
  return memory;
}

}  // namespace rwkv
