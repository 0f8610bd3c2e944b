// SPDX-License-Identifier: Apache-2.0
#include "bench/zero_share.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

#include "bench/synthetic.h"
#include "bench/text.h"
#include "kernels/cpu/device.h"
#include "kernels/kernels.h"
#include "load.h"

namespace rwkv::bench {
namespace {

constexpr std::int64_t kIn = 10, kOut = 3, kRows = 2;

// A product whose input has `zeros` zeros, both signs of them among these.
struct Product {
  std::vector<float> weight = std::vector<float>(kIn * kOut, 2.0f), x = std::vector<float>(kRows * kIn, 0.5f),
                     out = std::vector<float>(kRows * kOut);
  bool input_major;

  Product(int zeros, bool is_input_major) : input_major(is_input_major) {
    for (int i = 0; i < zeros; ++i) x[3 * i] = i % 2 ? -0.0f : 0.0f;
  }
  void run(Device& device) {
    const MatMul op{.x = {x.data(), kRows, kIn},
                    .weight = {DType::f32, kOut, kIn, weight.data(), input_major},
                    .out = {out.data(), kRows, kOut}};
    device.kernels().common.matmul(device, {&op, 1});
  }
};

TEST(ZeroShare, IsThatOfAllInputsOfInputMajorMatricesAlone) {
  cpu::CpuDevice device(1);
  Product some(5, true), none(0, true), other(6, false);
  const auto share = zero_share(device, [&] {
    for (Product* product : {&some, &none, &other}) product->run(device);
  });
  EXPECT_EQ(share, 5.0 / (2 * kRows * kIn));
  const float expected = 2.0f * 0.5f * kIn;  // of a row without zeros: the products are those of the device
  EXPECT_EQ(none.out, std::vector<float>(none.out.size(), expected));
}

TEST(ZeroShare, IsEmptyWithoutSuchAMatrixAndCountsFromTheStart) {
  cpu::CpuDevice device(1);
  Product some(4, true), other(4, false);
  EXPECT_EQ(zero_share(device, [&] { some.run(device); }), 4.0 / (kRows * kIn));
  EXPECT_EQ(zero_share(device, [&] { other.run(device); }), std::nullopt);
}

TEST(ZeroShare, LeavesTheDevicesKernelsAsTheyWere) {
  cpu::CpuDevice device(1);
  const KernelTable* const before = &device.kernels();
  EXPECT_EQ(zero_share(device, [] {}), std::nullopt);
  EXPECT_EQ(&device.kernels(), before);
  EXPECT_THROW((void)zero_share(device, [] { throw std::runtime_error("a step fails"); }), std::runtime_error);
  EXPECT_EQ(&device.kernels(), before);
}

// Half of what a random matrix makes of any input is negative.
TEST(ZeroShare, OfRandomWeightsIsAHalf) {
  SyntheticShape shape = synthetic_shape("v7-0.1b");
  shape.n_layer = 2, shape.n_embd = 128, shape.n_ffn = 512, shape.n_vocab = 300;
  const CheckedCheckpoint checked = check_checkpoint(make_synthetic(shape), LoadOptions{});
  const auto impl = load_model(checked, "cpu fp32", {.threads = 1});
  const Model model = make_model(impl);
  const Text text = Text::spread(model);
  const auto share = zero_share(*impl->devices.front(), [&] {
    State state = model.new_state();
    std::vector<float> logits(model.config().n_vocab);
    for (std::int64_t i = 0; i < 50; ++i) {
      const Token token = text.at(i);
      model.forward({&token, 1}, state, logits);
    }
  });
  ASSERT_TRUE(share);
  EXPECT_NEAR(*share, 0.5, 0.05);  // the inputs of 1024 rows resemble each other: 3 standard deviations of 1024 coins
}

TEST(Text, OfATrainedModelIsWhatItSaysAgainAndAgain) {
  SyntheticShape shape = synthetic_shape("v7-0.1b");
  shape.n_layer = 2, shape.n_embd = 128, shape.n_ffn = 512, shape.n_vocab = 300;
  const CheckedCheckpoint checked = check_checkpoint(make_synthetic(shape), LoadOptions{});
  const Model model = make_model(load_model(checked, "cpu fp32", {.threads = 1}));
  const Text text = Text::of(model), again = Text::of(model);
  EXPECT_EQ(text.at(0), 0);
  for (std::int64_t i = 0; i < 200; ++i) {
    ASSERT_TRUE(text.at(i) >= 0 && text.at(i) < 300);
    ASSERT_EQ(text.at(i), again.at(i));
    ASSERT_EQ(text.at(i), text.at(i + 64));
  }
}

}  // namespace
}  // namespace rwkv::bench
