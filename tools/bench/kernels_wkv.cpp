// SPDX-License-Identifier: Apache-2.0
// WKV of every version: one sequence, heads of 64. Traffic counts the state once in each direction and every row once.
#include "kernel_bench.h"

namespace rwkv::bench {
namespace {

constexpr std::int64_t kHeadSize = 64;

void wkv4(benchmark::State& state) {
  const Size size(state);
  Layers aa(size.n_row, size.n_col), bb(size.n_row, size.n_col, 0.5f), pp(size.n_row, size.n_col);
  auto r = floats(size.all()), k = floats(size.all()), v = floats(size.all()), out = floats(size.all());
  auto w = floats(size.n_col, -2.0f, -0.01f), u = floats(size.n_col);
  cpu::CpuDevice& on = device(size.threads);
  for (auto _ : state) {
    on.kernels().rwkv4->wkv(on, aa.batch(),
                            {rows(r, size.n_col), rows(k, size.n_col), rows(v, size.n_col), w.data(), u.data(), aa.next(),
                             bb.next(), pp.next(), rows(out, size.n_col)});
  }
  report(state, 4 * size.all() + 6 * size.n_col);
}
BENCHMARK(wkv4)->Apply(sizes);

// Version 5 (w per channel) and 6 (w per channel and row). 3 multiply-adds per element of the state and token.
void wkv_linear(benchmark::State& state, bool decay_per_row) {
  const Size size(state);
  Layers s(size.n_row, size.n_col * kHeadSize);
  auto r = floats(size.all()), k = floats(size.all()), v = floats(size.all()), out = floats(size.all());
  auto w = floats(decay_per_row ? size.all() : size.n_col, 0.3f), u = floats(size.n_col);
  cpu::CpuDevice& on = device(size.threads);
  for (auto _ : state) {
    on.kernels().rwkv5->wkv(on, s.batch(),
                            {size.n_col / kHeadSize, rows(r, size.n_col), rows(k, size.n_col), rows(v, size.n_col), w.data(),
                             decay_per_row ? size.n_col : 0, u.data(), s.next(), rows(out, size.n_col)});
  }
  report(state, (decay_per_row ? 5 : 4) * size.all() + 2 * size.n_col * kHeadSize, 6 * size.all() * kHeadSize);
}
BENCHMARK_CAPTURE(wkv_linear, version5, false)->Apply(sizes);
BENCHMARK_CAPTURE(wkv_linear, version6, true)->Apply(sizes);

// With all steps between the matrices. 4 multiply-adds per element of the state and token: two products with the state, two
// updates of it. Many tokens are prepared in place, so inputs that this leaves as they are: a = 0 and k_a = 0; w and v
// converge.
void delta_rule7(benchmark::State& state) {
  const Size size(state);
  Layers s(size.n_row, size.n_col * kHeadSize);
  auto r = floats(size.all()), k = floats(size.all()), v = floats(size.all()), w = floats(size.all(), 0.0f);
  auto g = floats(size.all()), kk = floats(size.all()), v_first = floats(size.all()), v_mix = floats(size.all(), 0.0f);
  auto k_k = floats(size.n_col, 0.5f), r_k = floats(size.n_col), weight = floats(size.n_col), bias = floats(size.n_col);
  auto out = floats(size.all());
  Floats a(k.size()), k_a(k_k.size());
  DeltaRule op{.n_head = size.n_col / kHeadSize,
               .r = rows(r, size.n_col),
               .w = rows(w, size.n_col),
               .k = rows(k, size.n_col),
               .v = rows(v, size.n_col),
               .a = rows(a, size.n_col),
               .g = rows(g, size.n_col),
               .kk = rows(kk, size.n_col),
               .v_first = v_first.data(),
               .v_mix = v_mix.data(),
               .k_k = k_k.data(),
               .k_a = k_a.data(),
               .r_k = r_k.data(),
               .weight = weight.data(),
               .bias = bias.data(),
               .eps = 64e-5f,
               .s = nullptr,
               .out = rows(out, size.n_col)};
  cpu::CpuDevice& on = device(size.threads);
  for (auto _ : state) {
    op.s = s.next();
    on.kernels().rwkv7->delta_rule(on, s.batch(), op);
  }
  report(state, 9 * size.all() + 2 * size.n_col * kHeadSize, 8 * size.all() * kHeadSize);
}
BENCHMARK(delta_rule7)->Apply(sizes);

}  // namespace
}  // namespace rwkv::bench

BENCHMARK_MAIN();
