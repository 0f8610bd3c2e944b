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

// 4 multiply-adds per element of the state and token: two products with the state, two updates of it.
void wkv7(benchmark::State& state) {
  const Size size(state);
  Layers s(size.n_row, size.n_col * kHeadSize);
  auto r = floats(size.all()), k = floats(size.all()), v = floats(size.all()), w = floats(size.all(), 0.55f);
  auto kk = floats(size.all(), -0.2f, 0.2f), b = floats(size.all(), -0.1f, 0.1f), out = floats(size.all());
  for (std::int64_t i = 0; i < size.all(); ++i) b[i] = 0.5f * kk[i];  // what the state holds under kk shrinks, it cannot grow
  cpu::CpuDevice& on = device(size.threads);
  for (auto _ : state) {
    on.kernels().rwkv7->wkv(on, s.batch(),
                            {size.n_col / kHeadSize, rows(r, size.n_col), rows(w, size.n_col), rows(k, size.n_col),
                             rows(v, size.n_col), rows(kk, size.n_col), rows(b, size.n_col), s.next(), rows(out, size.n_col)});
  }
  report(state, 7 * size.all() + 2 * size.n_col * kHeadSize, 8 * size.all() * kHeadSize);
}
BENCHMARK(wkv7)->Apply(sizes);

}  // namespace
}  // namespace rwkv::bench

BENCHMARK_MAIN();
