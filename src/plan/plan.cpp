// SPDX-License-Identifier: Apache-2.0
// How many layers each segment gets, and from where on they are streamed.
#include "plan/plan.h"

#include <algorithm>
#include <cstdint>

#include "message.h"

namespace rwkv {
namespace {

struct Share {
  std::int64_t resident = 0;
  std::int64_t streamed = 0;
};

class Allocation {
 public:
  Allocation(const Strategy& strategy, std::int64_t total)
      : strategy_(strategy), segments_(strategy.segments), shares_(segments_.size()), left_(total) {}

  std::vector<Share> run() {
    const std::size_t streaming = take_counts();
    if (left_ == 0) return shares_;
    if (streaming < segments_.size()) {
      shares_[streaming].streamed = left_;  // segments without a count get nothing
    } else {
      divide_among_open();
      shares_.back().resident += left_;  // even if the last one has a count
    }
    return shares_;
  }

 private:
  // Gives every `*N` its layers, in order, until none is left. Returns the last segment with a '+' met, or the number of
  // segments.
  std::size_t take_counts() {
    std::size_t streaming = segments_.size();
    for (std::size_t i = 0; i < segments_.size() && left_ > 0; ++i) {
      if (!segments_[i].count) continue;
      if (segments_[i].streaming) streaming = i;
      shares_[i].resident = std::min<std::int64_t>(*segments_[i].count, left_);
      left_ -= shares_[i].resident;
    }
    return streaming;
  }

  void divide_among_open() {
    std::int64_t open = 0;
    for (const Segment& segment : segments_) open += !segment.count;
    if (open == 0) return;
    for (std::size_t i = 0; i < segments_.size(); ++i) {
      if (segments_[i].count == 0) refuse_zero(segments_[i]);
      if (segments_[i].count) continue;
      shares_[i].resident = left_ / open--;
      left_ -= shares_[i].resident;
    }
  }

  // The reference divides by zero here.
  [[noreturn]] void refuse_zero(const Segment& segment) const {
    throw StrategyError(message("strategy \"", printable(strategy_.text), "\": \"*0\" in the part at column ", segment.column,
                                " beside parts without a count; leave the part out"));
  }

  const Strategy& strategy_;
  const std::vector<Segment>& segments_;
  std::vector<Share> shares_;
  std::int64_t left_;
};

}  // namespace

std::vector<Placement> place(const Strategy& strategy, int n_layer) {
  if (n_layer < 1) throw ArgumentError(message("n_layer is ", n_layer, "; it must be at least 1"));
  if (strategy.automatic())
    throw StrategyError(
        message("strategy \"", printable(strategy.text), "\": device not chosen yet; name one, as in \"cpu fp32\""));
  const std::vector<Share> shares = Allocation(strategy, std::int64_t{n_layer} + 1).run();
  std::vector<Placement> out;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const Segment& segment = strategy.segments[i];
    Placement placement{segment.device, *segment.type, segment.quantization, false};
    out.insert(out.end(), static_cast<std::size_t>(shares[i].resident), placement);
    placement.streamed = true;
    out.insert(out.end(), static_cast<std::size_t>(shares[i].streamed), placement);
  }
  return out;
}

std::string to_text(const Placement& placement) {
  return message(name_of(placement.device), ' ', name_of(placement.type), name_of(placement.quantization),
                 placement.streamed ? " streamed" : "");
}

}  // namespace rwkv
