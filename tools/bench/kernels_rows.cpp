// SPDX-License-Identifier: Apache-2.0
// The steps that work row by row: norms with and without token shift, embedding, and those of versions 5 and 6 beside WKV.
#include "kernel_bench.h"

namespace rwkv::bench {
namespace {

constexpr std::int64_t kHeadSize = 64;

void layer_norm(benchmark::State& state) {
  const Size size(state);
  auto x = floats(size.all()), weight = floats(size.n_col), bias = floats(size.n_col), out = floats(size.all());
  cpu::CpuDevice& on = device(size.threads);
  for (auto _ : state) {
    on.kernels().common.layer_norm(on, {rows(x, size.n_col), weight.data(), bias.data(), 1e-5f, rows(out, size.n_col)});
  }
  report(state, 2 * size.all());
}
BENCHMARK(layer_norm)->Apply(sizes);

void embed(benchmark::State& state, DType type) {
  const Size size(state);
  constexpr std::int64_t kVocab = 4096;
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(size.n_row));
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(i * 1531 % kVocab);
  const std::vector<std::byte, Aligned<std::byte>> table(static_cast<std::size_t>(kVocab * size.n_col * bytes_of(type)),
                                                         std::byte{0x3d});
  auto weight = floats(size.n_col), bias = floats(size.n_col), out = floats(size.all());
  const Matrix matrix{type, kVocab, size.n_col, table.data()};
  cpu::CpuDevice& on = device(size.threads);
  for (auto _ : state) {
    on.kernels().common.embed(on, {tokens.data(), matrix, weight.data(), bias.data(), 1e-5f, rows(out, size.n_col)});
  }
  report(state, size.all() + size.all() * bytes_of(type) / 4);
}
BENCHMARK_CAPTURE(embed, fp32, DType::f32)->Apply(sizes);
BENCHMARK_CAPTURE(embed, fp16, DType::f16)->Apply(sizes);
BENCHMARK_CAPTURE(embed, bf16, DType::bf16)->Apply(sizes);

// Version 7 has 6 outputs in time mix and 1 in channel mix; version 6 6 and the difference.
void norm_shift(benchmark::State& state, int n_output, bool wants_difference) {
  const Size size(state);
  Layers layers(size.n_row, size.n_col);
  auto x = floats(size.all()), weight = floats(size.n_col), bias = floats(size.n_col), difference = floats(size.all());
  std::vector<Floats> mu, out;
  std::vector<NormShift::Output> outputs;
  for (int i = 0; i < n_output; ++i) {
    mu.push_back(floats(size.n_col));
    out.push_back(floats(size.all()));
    outputs.push_back({mu.back().data(), out.back().data()});
  }
  cpu::CpuDevice& on = device(size.threads);
  for (auto _ : state) {
    on.kernels().common.norm_shift(on, layers.batch(),
                                   {rows(x, size.n_col), weight.data(), bias.data(), 1e-5f, layers.next(), outputs,
                                    wants_difference ? difference.data() : nullptr});
  }
  report(state, (1 + n_output + (wants_difference ? 1 : 0)) * size.all());
}
BENCHMARK_CAPTURE(norm_shift, 1, 1, false)->Apply(sizes);
BENCHMARK_CAPTURE(norm_shift, 6, 6, false)->Apply(sizes);
BENCHMARK_CAPTURE(norm_shift, 6_and_difference, 6, true)->Apply(sizes);

void head_norm(benchmark::State& state) {
  const Size size(state);
  auto x = floats(size.all()), weight = floats(size.n_col), bias = floats(size.n_col), gate = floats(size.all());
  auto out = floats(size.all());
  cpu::CpuDevice& on = device(size.threads);
  for (auto _ : state) {
    on.kernels().common.head_norm(on, {rows(x, size.n_col), size.n_col / kHeadSize, weight.data(), bias.data(), 64e-5f,
                                       gate.data(), rows(out, size.n_col)});
  }
  report(state, 3 * size.all());
}
BENCHMARK(head_norm)->Apply(sizes);

void decay6(benchmark::State& state) {
  const Size size(state);
  auto start = floats(size.all(), -6.0f, 1.0f), z = start;
  cpu::CpuDevice& on = device(size.threads);
  for (auto _ : state) on.kernels().rwkv6->decay(on, rows(z, size.n_col));  // stays between 0 and 1
  report(state, 2 * size.all());
}
BENCHMARK(decay6)->Apply(sizes);

}  // namespace
}  // namespace rwkv::bench

BENCHMARK_MAIN();
