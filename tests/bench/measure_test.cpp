// SPDX-License-Identifier: Apache-2.0
#include "bench/measure.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "bench/synthetic.h"
#include "kernels/cpu/device.h"
#include "kernels/kernels.h"
#include "kernels/sample.h"

namespace rwkv::bench {
namespace {

std::vector<std::int64_t> draws;  // of each call of a device's kernel

void counting_sample(Device&, const Sample& sample) {
  draws.push_back(sample.n_draw);
  std::fill_n(sample.tokens, sample.n_draw, 0);
}

TEST(Measure, StepsDrawOnTheDevice) {
  SyntheticShape shape = synthetic_shape("v7-0.1b");
  shape.n_layer = 2, shape.n_embd = 128, shape.n_ffn = 512, shape.n_vocab = 300;
  CheckedCheckpoint checked = check_checkpoint(make_synthetic(shape), LoadOptions{});
  const auto impl = load_model(checked, "cpu fp32", {.threads = 1});
  const LoadedModel loaded{std::move(checked), impl, make_model(impl), {}};
  auto& device = dynamic_cast<cpu::CpuDevice&>(*impl->devices.front());
  KernelTable table = device.kernels();
  table.common.sample = counting_sample;
  device.use_kernels(table);

  draws.clear();
  const Text text = Text::spread(loaded.model);
  decode(loaded, text, 4).run(2);
  batch(loaded, text, 4, 3).run(1);
  EXPECT_EQ(draws, (std::vector<std::int64_t>{1, 1, 3}));
}

}  // namespace
}  // namespace rwkv::bench
