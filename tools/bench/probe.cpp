// SPDX-License-Identifier: Apache-2.0
// The portable loops, by Highway for every instruction set; the best one is chosen at run time.
#include "bench/probe.h"

#include <cstddef>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/probe.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace rwkv::bench::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Twelve chains: latency 4 times two or three units; with two operands they fit 16 registers.
#define RWKV_CHAINS(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
constexpr std::int64_t kChains = 12;

float sum(const float* x, std::size_t n) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  auto a0 = hn::Zero(d), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
  std::size_t i = 0;
  for (; i + 8 * lanes <= n; i += 8 * lanes) {
    a0 = hn::Add(a0, hn::LoadU(d, x + i));
    a1 = hn::Add(a1, hn::LoadU(d, x + i + lanes));
    a2 = hn::Add(a2, hn::LoadU(d, x + i + 2 * lanes));
    a3 = hn::Add(a3, hn::LoadU(d, x + i + 3 * lanes));
    a4 = hn::Add(a4, hn::LoadU(d, x + i + 4 * lanes));
    a5 = hn::Add(a5, hn::LoadU(d, x + i + 5 * lanes));
    a6 = hn::Add(a6, hn::LoadU(d, x + i + 6 * lanes));
    a7 = hn::Add(a7, hn::LoadU(d, x + i + 7 * lanes));
  }
  const auto low = hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), high = hn::Add(hn::Add(a4, a5), hn::Add(a6, a7));
  float total = hn::GetLane(hn::SumOfLanes(d, hn::Add(low, high)));
  for (; i < n; ++i) total += x[i];
  return total;
}

volatile float sink;  // keeps the results, so that compilers keep the loops

// a = a b + c with b below 1: stays finite, and no chain can be computed ahead.
void multiply_add(std::int64_t rounds) {
  const hn::ScalableTag<float> d;
  const auto b = hn::Set(d, 0.5f), c = hn::Set(d, 1.0f);
#define RWKV_START(i) auto a##i = hn::Set(d, 1.0f + i);
#define RWKV_STEP(i) a##i = hn::MulAdd(a##i, b, c);
#define RWKV_SUM(i) total = hn::Add(total, a##i);
  RWKV_CHAINS(RWKV_START)
  for (; rounds > 0; --rounds) {
    RWKV_CHAINS(RWKV_STEP)
  }
  auto total = hn::Zero(d);
  RWKV_CHAINS(RWKV_SUM)
#undef RWKV_START
#undef RWKV_STEP
#undef RWKV_SUM
  sink = hn::GetLane(hn::SumOfLanes(d, total));
}

Loop fp32_loop() {
  const hn::ScalableTag<float> d;
  return {2 * kChains * static_cast<std::int64_t>(hn::Lanes(d)), multiply_add};
}

#undef RWKV_CHAINS

}  // namespace

float read_all_impl(const float* x, std::size_t n) { return sum(x, n); }
Loop fp32_loop_impl() { return fp32_loop(); }

}  // namespace rwkv::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rwkv::bench {

HWY_EXPORT(read_all_impl);
HWY_EXPORT(fp32_loop_impl);

float read_all(std::span<const float> values) { return HWY_DYNAMIC_DISPATCH(read_all_impl)(values.data(), values.size()); }

Loop multiply_adds(Arithmetic arithmetic) {
  const Loop fp32 = HWY_DYNAMIC_DISPATCH(fp32_loop_impl)();
  if (arithmetic == Arithmetic::fp32) return fp32;
  const Loop bf16 = bf16_units();
  return bf16.run ? bf16 : fp32;
}

}  // namespace rwkv::bench
#endif  // HWY_ONCE
