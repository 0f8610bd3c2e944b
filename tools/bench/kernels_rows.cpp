// SPDX-License-Identifier: Apache-2.0
// The steps that work row by row: norms with and without token shift, embedding, and those of versions 6 and 7 beside WKV.
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

// It works in place, so inputs that it leaves as they are: a = 0 and k_a = 0; w and v converge.
void prepare7(benchmark::State& state) {
  const Size size(state);
  auto w = floats(size.all(), 0.0f), k = floats(size.all()), v = floats(size.all()), kk = floats(size.all());
  auto v_first = floats(size.all()), v_mix = floats(size.all(), 0.0f), k_k = floats(size.n_col, 0.5f);
  Floats a(k.size()), k_a(k_k.size());
  const Prepare7 op{.n_head = size.n_col / kHeadSize,
                    .w = rows(w, size.n_col),
                    .k = rows(k, size.n_col),
                    .v = rows(v, size.n_col),
                    .a = rows(a, size.n_col),
                    .kk = rows(kk, size.n_col),
                    .v_first = v_first.data(),
                    .v_mix = v_mix.data(),
                    .k_k = k_k.data(),
                    .k_a = k_a.data()};
  cpu::CpuDevice& on = device(size.threads);
  for (auto _ : state) on.kernels().rwkv7->prepare(on, op);
  report(state, 11 * size.all());
}
BENCHMARK(prepare7)->Apply(sizes);

void output7(benchmark::State& state) {
  const Size size(state);
  auto y = floats(size.all()), r = floats(size.all()), k = floats(size.all()), v = floats(size.all()), g = floats(size.all());
  auto r_k = floats(size.n_col), weight = floats(size.n_col), bias = floats(size.n_col), out = floats(size.all());
  cpu::CpuDevice& on = device(size.threads);
  for (auto _ : state) {
    on.kernels().rwkv7->output(
        on, {size.n_col / kHeadSize, rows(y, size.n_col), rows(r, size.n_col), rows(k, size.n_col), rows(v, size.n_col),
             rows(g, size.n_col), r_k.data(), weight.data(), bias.data(), 64e-5f, rows(out, size.n_col)});
  }
  report(state, 6 * size.all());
}
BENCHMARK(output7)->Apply(sizes);

}  // namespace
}  // namespace rwkv::bench

BENCHMARK_MAIN();
