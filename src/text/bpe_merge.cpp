// SPDX-License-Identifier: Apache-2.0
// Merging: a scan for short words, linked places and a queue for long ones.
#include "text/bpe_merge.h"

#include <rwkv/error.h>

#include <algorithm>
#include <array>
#include <bit>

namespace rwkv {

MergeTable::MergeTable(std::span<const Rule> rules) {
  mask_ = std::bit_ceil(rules.size() * 2 + 2) - 1;
  multiplier_ = 0x9E3779B97F4A7C15;
  // A file could be made such that its pairs collide under one multiplier, but hardly under several.
  for (int attempt = 0; attempt < 8; ++attempt) {
    if (fill(rules)) return;
    multiplier_ = (multiplier_ ^ multiplier_ >> 29) * 0xBF58476D1CE4E5B9 | 1;
  }
  throw TokenizerError("the merges collide too often in the hash table");
}

bool MergeTable::fill(std::span<const Rule> rules) {
  constexpr int kMaxProbes = 128;
  slots_.assign(mask_ + 1, {});
  for (std::size_t rank = 0; rank < rules.size(); ++rank) {
    const std::uint64_t key = key_of(rules[rank].left, rules[rank].right);
    std::size_t at = place(key);
    int probes = 0;
    for (; slots_[at].key != key && slots_[at].key != kFree; at = (at + 1) & mask_) {
      if (++probes == kMaxProbes) return false;
    }
    slots_[at] = {key, {static_cast<std::uint32_t>(rank), rules[rank].merged}};
  }
  return true;
}

void RankQueue::push(std::uint32_t rank, std::uint32_t place) {
  if (rank >= bucket_of_rank_.size()) bucket_of_rank_.resize(rank + 1);
  if (bucket_of_rank_[rank] == 0) {
    buckets_.emplace_back();
    bucket_of_rank_[rank] = static_cast<std::uint32_t>(buckets_.size());
  }
  Bucket& bucket = buckets_[bucket_of_rank_[rank] - 1];
  if (bucket.empty()) {
    active_.push(rank);
    bucket.run.clear();
    bucket.next = 0;
  }
  if (bucket.run.empty() || place >= bucket.run.back()) {
    bucket.run.push_back(place);
  } else {
    bucket.late.push(place);
  }
}

std::pair<std::uint32_t, std::uint32_t> RankQueue::pop() {
  const std::uint32_t rank = active_.top();
  Bucket& bucket = buckets_[bucket_of_rank_[rank] - 1];
  const bool in_run = bucket.next < bucket.run.size();
  std::uint32_t place;
  if (in_run && (bucket.late.empty() || bucket.run[bucket.next] <= bucket.late.top())) {
    place = bucket.run[bucket.next++];
  } else {
    place = bucket.late.top();
    bucket.late.pop();
  }
  if (bucket.empty()) active_.pop();
  return {rank, place};
}

void WordMerger::merge(std::vector<std::uint32_t>& ids) {
  if (ids.size() <= kShort) {
    merge_short(ids);
  } else {
    merge_long(ids);
  }
}

void WordMerger::merge_short(std::vector<std::uint32_t>& ids) {
  std::array<MergeTable::Merge, kShort> pairs;  // [i]: of ids[i] and ids[i + 1]
  std::size_t n = ids.size();
  for (std::size_t i = 0; i + 1 < n; ++i) pairs[i] = table_.find(ids[i], ids[i + 1]);
  while (n > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < n; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == MergeTable::kNoRank) break;
    ids[best] = pairs[best].merged;
    for (std::size_t i = best + 1; i + 1 < n; ++i) {
      ids[i] = ids[i + 1];
      pairs[i - 1] = pairs[i];
    }
    --n;
    if (best > 0) pairs[best - 1] = table_.find(ids[best - 1], ids[best]);
    if (best + 1 < n) pairs[best] = table_.find(ids[best], ids[best + 1]);
  }
  ids.resize(n);
}

void WordMerger::merge_long(std::vector<std::uint32_t>& ids) {
  // A part starts at the place of its first byte; `ids` has a part's id there.
  const auto n = static_cast<std::uint32_t>(ids.size());
  std::vector<std::uint32_t> next(n), previous(n);
  std::vector<std::uint32_t> ranks(
      n, MergeTable::kNoRank);  // of the part and the next; queued places with other ranks are out of date
  const auto update = [&](std::uint32_t at) {
    ranks[at] = next[at] == n ? MergeTable::kNoRank : table_.find(ids[at], ids[next[at]]).rank;
    if (ranks[at] != MergeTable::kNoRank) queue_.push(ranks[at], at);
  };
  for (std::uint32_t i = 0; i < n; ++i) {
    next[i] = i + 1;
    previous[i] = i - 1;  // not read at 0
    if (i > 0) update(i - 1);
  }
  while (!queue_.empty()) {
    const auto [rank, at] = queue_.pop();
    if (ranks[at] != rank) continue;
    const std::uint32_t gone = next[at];
    ids[at] = table_.find(ids[at], ids[gone]).merged;
    ranks[gone] = MergeTable::kNoRank;
    next[at] = next[gone];
    if (next[at] < n) previous[next[at]] = at;
    if (at > 0) update(previous[at]);
    update(at);
  }
  std::size_t kept = 0;
  for (std::uint32_t at = 0; at < n; at = next[at]) ids[kept++] = ids[at];
  ids.resize(kept);
}

}  // namespace rwkv
