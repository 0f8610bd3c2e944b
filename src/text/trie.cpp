// SPDX-License-Identifier: Apache-2.0
// Builds the double array breadth first, so that the often used nodes near the root lie together.
#include "text/trie.h"

#include <rwkv/error.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>

#include "message.h"

namespace rwkv {

// Children of one node share a block of 256 array places. Only the few newest blocks that still have room are searched, and a
// block is given up after many vain searches: building takes time linear in the number of nodes whatever the strings are.
class TrieBuilder {
 public:
  TrieBuilder(Trie& trie, std::span<const Trie::Entry> sorted) : trie_(trie), entries_(sorted) {
    add_block();
    base_used_[0] = true;
  }

  void build() {
    trie_.root_ = expand({0, entries_.size(), 0});
    while (!queue_.empty()) {
      const Pending next = queue_.front();
      queue_.pop_front();
      const std::uint32_t base = expand(next.range);
      trie_.nodes_[next.node].base = base;
    }
  }

 private:
  static constexpr std::size_t kBlock = 256, kOpenBlocks = 8;
  static constexpr int kMaxVain = 256;

  struct Range {  // entries with a common beginning of `depth` bytes
    std::size_t first, last, depth;
  };
  struct Pending {
    Range range;
    std::size_t node;
  };
  struct OpenBlock {
    std::size_t start;
    std::size_t free;  // places
    int vain = 0;      // searches
  };

  // Gives the children of a range their places and queues those that have children themselves. Returns the base, 0 without any.
  std::uint32_t expand(Range range) {
    std::vector<std::pair<unsigned char, Range>> children;
    for (std::size_t i = range.first; i < range.last; ++i) {
      const std::string_view bytes = entries_[i].bytes;
      if (bytes.size() == range.depth) continue;  // ends in the parent
      const auto byte = static_cast<unsigned char>(bytes[range.depth]);
      if (children.empty() || children.back().first != byte) children.push_back({byte, {i, i, range.depth + 1}});
      children.back().second.last = i + 1;
    }
    if (children.empty()) return 0;
    const std::size_t base = find_base(children);
    for (const auto& [byte, child] : children) {
      const Trie::Entry& first = entries_[child.first];
      const bool ends = first.bytes.size() == child.depth;
      const std::uint32_t value = ends ? first.id + 1 : 0;
      trie_.nodes_[base ^ byte].tag = value << Trie::kLabelBits | (byte + 1u);
      if (child.last - child.first > (ends ? 1u : 0u)) queue_.push_back({child, base ^ byte});
    }
    return static_cast<std::uint32_t>(base);
  }

  template <class Children>
  std::size_t find_base(const Children& children) {
    for (std::size_t i = open_.size(); i-- > 0;) {
      OpenBlock& block = open_[i];
      if (block.free < children.size()) continue;
      for (std::size_t base = block.start; base < block.start + kBlock; ++base) {
        if (fits(base, children)) return take(base, i, children.size());
      }
      if (++block.vain == kMaxVain) open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    add_block();
    return take(open_.back().start, open_.size() - 1, children.size());
  }

  template <class Children>
  bool fits(std::size_t base, const Children& children) const {
    if (base_used_[base]) return false;
    return std::ranges::all_of(children, [&](const auto& child) { return trie_.nodes_[base ^ child.first].tag == 0; });
  }

  std::size_t take(std::size_t base, std::size_t block, std::size_t places) {
    base_used_[base] = true;
    open_[block].free -= places;
    if (open_[block].free == 0) open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(block));
    return base;
  }

  void add_block() {
    const std::size_t start = trie_.nodes_.size();
    if (start + kBlock > Trie::kMaxNodes) {
      throw TokenizerError(message("the vocabulary needs more than ", Trie::kMaxNodes, " trie nodes"));
    }
    trie_.nodes_.resize(start + kBlock);
    base_used_.resize(start + kBlock);
    if (open_.size() == kOpenBlocks) open_.erase(open_.begin());
    open_.push_back({start, kBlock});
  }

  Trie& trie_;
  std::span<const Trie::Entry> entries_;
  std::deque<Pending> queue_;
  std::vector<bool> base_used_;
  std::vector<OpenBlock> open_;
};

Trie::Trie(std::span<const Entry> sorted) { TrieBuilder(*this, sorted).build(); }

}  // namespace rwkv
