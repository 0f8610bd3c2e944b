// SPDX-License-Identifier: Apache-2.0
// The merging of byte-level BPE: repeatedly the adjacent pair with the best rank, leftmost first.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <queue>
#include <span>
#include <utility>
#include <vector>

namespace rwkv {

// Pairs of token ids that may be merged: an open hash table.
class MergeTable {
 public:
  static constexpr std::uint32_t kNoRank = UINT32_MAX;

  struct Rule {
    std::uint32_t left, right, merged;
  };
  struct Merge {
    std::uint32_t rank = kNoRank;  // the lowest goes first
    std::uint32_t merged = 0;
  };

  MergeTable() : MergeTable(std::span<const Rule>()) {}
  // Best first; of two rules for one pair the later counts, as in the original library.
  explicit MergeTable(std::span<const Rule> rules);

  [[nodiscard]] Merge find(std::uint32_t left, std::uint32_t right) const noexcept {
    const std::uint64_t key = key_of(left, right);
    for (std::size_t at = place(key);; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      if (slot.key == key) return slot.merge;
      if (slot.key == kFree) return {};
    }
  }

 private:
  static constexpr std::uint64_t kFree = UINT64_MAX;

  struct Slot {
    std::uint64_t key = kFree;
    Merge merge;
  };

  static std::uint64_t key_of(std::uint32_t left, std::uint32_t right) { return std::uint64_t{left} << 32 | right; }
  std::size_t place(std::uint64_t key) const noexcept { return (key * multiplier_ >> 32) & mask_; }
  bool fill(std::span<const Rule> rules);

  std::vector<Slot> slots_;
  std::size_t mask_ = 0;
  std::uint64_t multiplier_ = 0;
};

// Places waiting by rank: pops the lowest rank and of that the lowest place. A binary heap of all would miss the cache at every
// step of a long word; places of one rank mostly come in rising order, and then cost a push_back.
class RankQueue {
 public:
  void push(std::uint32_t rank, std::uint32_t place);
  [[nodiscard]] bool empty() const { return active_.empty(); }
  std::pair<std::uint32_t, std::uint32_t> pop();  // rank, place

 private:
  using Heap = std::priority_queue<std::uint32_t, std::vector<std::uint32_t>, std::greater<>>;

  struct Bucket {
    std::vector<std::uint32_t> run;  // rising
    std::size_t next = 0;            // in run
    Heap late;                       // those that came out of order
    bool empty() const { return next == run.size() && late.empty(); }
  };

  std::vector<std::uint32_t> bucket_of_rank_;  // index in buckets_ + 1; 0: none yet
  std::vector<Bucket> buckets_;
  Heap active_;  // ranks with places
};

// Merges words; keeps its memory between them. Not for several threads.
class WordMerger {
 public:
  explicit WordMerger(const MergeTable& table) : table_(table) {}

  // `ids`: of the single bytes at first, of the word's tokens afterwards. Less than 2^32 of them. O(n log n).
  void merge(std::vector<std::uint32_t>& ids);

 private:
  static constexpr std::size_t kShort = 128;  // up to here a scan is faster than a queue

  void merge_short(std::vector<std::uint32_t>& ids);
  void merge_long(std::vector<std::uint32_t>& ids);

  const MergeTable& table_;
  RankQueue queue_;
};

}  // namespace rwkv
