// SPDX-License-Identifier: Apache-2.0
// The kernels of a decode step one after the other, without a copy between them: from sm_90 on they overlap.
#include <algorithm>
#include <memory>

#include "cuda/device_array.h"
#include "cuda/device_slot.h"
#include "cuda/with_code.h"
#include "kernels/cuda/code.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/norm_shift.h"
#include "kernels/cuda/rwkv7.h"
#include "kernels/values.h"

namespace rwkv::test {
namespace {

using Floats = DeviceArray<float>;

#ifdef CUEMU
// Kernels of a build for sm_75 run on a card of sm_90: the driver translates their PTX, which has no instruction that waits.
TEST(CudaOverlap, IsWhatTheCodeCanNotTheCard) {
  for (const auto& [code, expected] : {std::pair(75, false), {89, false}, {90, true}, {INT_MAX, true}}) {
    with_code(code, [&] {
      EXPECT_EQ(cuda::can_overlap(), expected) << code;
      EXPECT_EQ(cuda::code_capability(), std::min(code, 90));
    });
  }
}

TEST(CudaOverlap, WithoutAnyCodeIsAnError) {
  const auto text = [] {
    try {
      return std::to_string(cuda::code_capability());
    } catch (const DeviceError& error) {
      return std::string(error.what());
    }
  };
  with_code(0, [&] {
    EXPECT_EQ(text(),
              "this build has no kernels for the card (no kernel image is available for execution on the device); "
              "-DRWKV_CUDA_ARCHITECTURES=90 makes them");
  });
}
#endif

// Time mix of one head of 64 with the same matrix for all, which adds to x [1, 64].
class Chain {
 public:
  // Each launch waits for the one before, or not.
  explicit Chain(bool wait) : wait_(wait) {}

  void step() {
    const NormShift::Output output{share_.data(), mixed_.data()};
    cuda::norm_shift(nullptr, batch_, {row(x_), ones_.data(), share_.data(), 1e-5f, last_x_.data(), {&output, 1}});
    launched();
    std::vector<MatMul> group;
    for (auto& out : projected_) group.push_back({.x = row(mixed_), .weight = matrix_, .out = row(*out)});
    for (const int share : {kW, kA}) group[share].activation = Activation::sigmoid;
    cuda::matmul(nullptr, scratch_, group);
    launched();
    cuda::delta_rule(nullptr, batch_,
                     {.n_head = 1,
                      .r = row(*projected_[kR]),
                      .w = row(*projected_[kW]),
                      .k = row(*projected_[kK]),
                      .v = row(*projected_[kV]),
                      .a = row(*projected_[kA]),
                      .g = row(*projected_[kG]),
                      .kk = row(mixed_),
                      .v_first = nullptr,
                      .v_mix = nullptr,
                      .k_k = ones_.data(),
                      .k_a = share_.data(),
                      .r_k = ones_.data(),
                      .weight = ones_.data(),
                      .bias = share_.data(),
                      .eps = 64e-5f,
                      .s = state_.data(),
                      .out = row(y_)});
    launched();
    Matrix turned = matrix_;
    turned.input_major = true;
    const MatMul last{.x = row(y_), .weight = turned, .out = row(x_), .add = true};
    cuda::matmul(nullptr, scratch_, {&last, 1});
    launched();
  }

  [[nodiscard]] std::vector<std::vector<float>> values() const {
    return {x_.values(), last_x_.values()[0], state_.values()[0]};
  }

 private:
  static constexpr std::int64_t kN = 64;
  enum { kR, kW, kK, kV, kA, kG, kProjected };

  static Rows row(const Floats& x) { return {x.data(), 1, kN}; }
  void launched() const {
    if (wait_) cuda::check(cudaDeviceSynchronize());
  }

  bool wait_;
  const DeviceArray<std::int32_t> offsets_{std::vector<std::int32_t>{0, 1}};
  const Batch batch_{1, 1, offsets_.data()};
  const Floats x_{floats(kN, 1)}, ones_{std::vector<float>(kN, 1.0f)}, share_{floats(kN, 2, 0.2f, 0.5f)};
  const Floats w_{floats(kN * kN, 3, 0.125f)}, mixed_{nans(kN)}, y_{nans(kN)};
  const Matrix matrix_{DType::f32, kN, kN, w_.data()};
  const DeviceSlot last_x_{{floats(kN, 4)}}, state_{{floats(kN * kN, 5)}};
  std::vector<std::unique_ptr<Floats>> projected_ = [] {
    std::vector<std::unique_ptr<Floats>> all;
    while (all.size() < kProjected) all.push_back(std::make_unique<Floats>(nans(kN)));
    return all;
  }();
  cuda::Scratch scratch_;
};

TEST(CudaOverlap, ChangesNoResult) {
  Chain apart(true), together(false);
  for (int i = 0; i < 3; ++i) apart.step();
  for (int i = 0; i < 3; ++i) together.step();
  const auto values = together.values();
  EXPECT_EQ(values, apart.values());
  for (const auto& array : values) EXPECT_FALSE(std::isnan(array[0]));
}

}  // namespace
}  // namespace rwkv::test
