// SPDX-License-Identifier: Apache-2.0
// Logits that stay where they are computed: those that forward() gives, in order, for any batch.
#include <rwkv/sampler.h>

#include <algorithm>

#include "golden/golden.h"
#include "unit/made_checkpoint.h"

namespace rwkv::test {
namespace {

class DeviceLogits : public testing::Test {
 protected:
  DeviceLogits() : model_(MadeCheckpoint(7).write("device_logits"), "cpu fp32", {.threads = 2}) {
    for (std::size_t i = 0; i < tokens_.size(); ++i) tokens_[i] = static_cast<Token>(i * 7 % 51);
  }

  // Ragged, in several rounds of 256 rows and of 64 logits.
  std::vector<Sequence> batch(std::vector<State>& states) const {
    constexpr std::size_t kLengths[] = {1, 300, 2, 40, 7};
    states.assign(std::size(kLengths), model_.new_state());
    std::vector<Sequence> batch;
    for (std::size_t i = 0; i < states.size(); ++i) {
      batch.push_back({.tokens = std::span(tokens_).subspan(i, kLengths[i]), .state = &states[i]});
    }
    return batch;
  }
  static std::vector<float> values(const DeviceArray& array) {
    const auto* const data = static_cast<const float*>(array.data);
    return {data, data + array.shape[0] * array.shape[1]};
  }

  Model model_;
  std::vector<Token> tokens_ = std::vector<Token>(400);
};

TEST_F(DeviceLogits, AreThoseOfForward) {
  for (const LogitsOf which : {LogitsOf::last_token, LogitsOf::every_token}) {
    std::vector<State> states, same;
    const DeviceArray found = model_.forward_on_device(batch(states), which);
    std::vector<Sequence> plain = batch(same);
    std::int64_t rows = 0;
    for (const Sequence& s : plain) rows += which == LogitsOf::every_token ? std::ssize(s.tokens) : 1;
    EXPECT_EQ(found.shape, (std::vector<std::int64_t>{rows, 51}));
    EXPECT_EQ(found.name, "logits");
    std::vector<float> expected(rows * 51);
    std::span<float> rest(expected);
    for (Sequence& s : plain) {
      s.logits = rest.first(which == LogitsOf::every_token ? s.tokens.size() * 51 : 51);
      rest = rest.subspan(s.logits.size());
    }
    model_.forward(plain);
    EXPECT_EQ(values(found), expected);  // the same sums
    EXPECT_EQ(states, same);
  }
}

TEST_F(DeviceLogits, MayBeDrawnFromAndBroughtBackToo) {
  for (const LogitsOf which : {LogitsOf::last_token, LogitsOf::every_token}) {
    std::vector<State> states(1, model_.new_state());
    Sampler sampler({.temperature = 1.2f, .top_p = 1.0f, .token_ban = {0, 1, 2}, .seed = 5}), same = sampler;
    Token drawn = -7;
    std::vector<float> last(51);
    const Sequence sequence{std::span(tokens_).first(9), states.data(), last, &sampler, &drawn};
    const DeviceArray found = model_.forward_on_device({&sequence, 1}, which);
    const std::vector<float> all = values(found);
    EXPECT_TRUE(std::ranges::equal(std::span(all).last(51), last));
    EXPECT_EQ(drawn, same.sample(last));
  }
}

TEST_F(DeviceLogits, OfNoSequencesAreNone) {
  const DeviceArray none = model_.forward_on_device({});
  EXPECT_EQ(none.shape, (std::vector<std::int64_t>{0, 51}));
  EXPECT_EQ(none.data, nullptr);
}

TEST_F(DeviceLogits, OutliveTheModel) {
  State state = model_.new_state();
  const Sequence sequence{.tokens = std::span(tokens_).first(3), .state = &state};
  auto other = std::make_unique<Model>(MadeCheckpoint(7).write("device_logits"), "cpu fp32");
  State others = other->new_state();
  const Sequence same{.tokens = sequence.tokens, .state = &others};
  const DeviceArray kept = other->forward_on_device({&same, 1});
  other.reset();
  EXPECT_LE(max_difference(values(kept), values(model_.forward_on_device({&sequence, 1}))), 1e-5);  // other threads, other sums
}

TEST_F(DeviceLogits, ArgumentsAreCheckedFirst) {
  State state = model_.new_state();
  const std::vector<Token> wrong{1, 51};
  const Sequence bad{.tokens = wrong, .state = &state}, none{.tokens = {}, .state = &state};
  for (const LogitsOf which : {LogitsOf::last_token, LogitsOf::every_token}) {
    EXPECT_THROW(static_cast<void>(model_.forward_on_device({&bad, 1}, which)), TokenError);
    EXPECT_THROW(static_cast<void>(model_.forward_on_device({&none, 1}, which)), TokenError);
  }
  EXPECT_EQ(state.tokens_seen(), 0);
}

}  // namespace
}  // namespace rwkv::test
