// SPDX-License-Identifier: Apache-2.0
// Longest match of byte strings: a double-array trie, one 8-byte node per step, checked and left in one load.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace rwkv {

class Trie {
 public:
  static constexpr std::uint32_t kMaxId = 1'048'576;
  static constexpr std::size_t kMaxNodes = 1 << 24;  // 128 MiB; the World vocabulary takes 1 MiB

  struct Entry {
    std::string_view bytes;  // not empty
    std::uint32_t id;        // at most kMaxId
  };

  struct Match {
    std::uint32_t id = 0;
    std::size_t size = 0;  // 0: nothing matches
  };

  Trie() : Trie(std::span<const Entry>()) {}
  // `sorted` by bytes, each once. Throws TokenizerError if the strings need more than kMaxNodes nodes.
  explicit Trie(std::span<const Entry> sorted);

  // The longest entry that `text` begins with.
  [[nodiscard]] Match longest(std::string_view text) const noexcept {
    std::uint32_t found = 0;
    std::size_t found_size = 0;
    std::uint32_t base = root_;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const std::uint32_t byte = static_cast<unsigned char>(text[i]);
      const Node node = nodes_[base ^ byte];
      if ((node.tag & kLabelMask) != byte + 1) break;
      if (node.tag > kLabelMask) {
        found = node.tag;
        found_size = i + 1;
      }
      base = node.base;
    }
    if (found_size == 0) return {};
    return {(found >> kLabelBits) - 1, found_size};
  }

 private:
  friend class TrieBuilder;

  static constexpr std::uint32_t kLabelBits = 9, kLabelMask = (1 << kLabelBits) - 1;

  // The child of a node under byte c is nodes_[base ^ c]. No two nodes have the same base, so comparing the byte is enough to
  // know that the child is this node's. Nodes without children have base 0, which no other node has.
  struct Node {
    std::uint32_t base = 0;
    std::uint32_t tag = 0;  // id + 1 (0: no entry ends here), then 9 bits: byte + 1 (0: unused node)
  };

  std::vector<Node> nodes_;
  std::uint32_t root_ = 0;  // the base of the root, which itself has no node
};

}  // namespace rwkv
