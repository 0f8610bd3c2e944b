// SPDX-License-Identifier: Apache-2.0
// What the kernel benchmarks share: devices, inputs, the sizes that are measured, and the rates that are printed.
#pragma once
#include <benchmark/benchmark.h>

#include <cstdint>
#include <map>
#include <new>
#include <random>
#include <vector>

#include "kernels/cpu/device.h"
#include "kernels/kernels.h"

namespace rwkv::bench {

inline cpu::CpuDevice& device(std::int64_t threads) {
  static std::map<std::int64_t, cpu::CpuDevice> devices;
  return devices.try_emplace(threads, static_cast<int>(threads)).first->second;
}

// As the device allocates.
template <class T>
struct Aligned {
  using value_type = T;
  Aligned() = default;
  template <class U>
  explicit Aligned(const Aligned<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{64})); }
  void deallocate(T* memory, std::size_t) { ::operator delete (memory, std::align_val_t{64}); }
  bool operator==(const Aligned&) const { return true; }
};
using Floats = std::vector<float, Aligned<float>>;

// Uniform in [low, high).
inline Floats floats(std::int64_t n, float low = -1.0f, float high = 1.0f) {
  static std::minstd_rand rng(1);
  std::uniform_real_distribution<float> uniform(low, high);
  Floats values(static_cast<std::size_t>(n));
  for (float& x : values) x = uniform(rng);
  return values;
}

inline Rows rows(Floats& values, std::int64_t n_col) {
  return {values.data(), static_cast<std::int64_t>(values.size()) / n_col, n_col};
}

// One sequence of R rows in each of kLayers layers, which keep their own states: as in a model, a state has left the
// first-level cache when its layer's turn comes again.
struct Layers {
  static constexpr int kLayers = 24;
  std::int32_t offsets[2];
  std::vector<Floats> states;
  std::vector<float*> pointers;
  std::size_t turn = 0;

  Layers(std::int64_t n_row, std::int64_t n_state, float low = -1.0f) : offsets{0, static_cast<std::int32_t>(n_row)} {
    for (int i = 0; i < kLayers; ++i) states.push_back(floats(n_state, low));
    for (auto& s : states) pointers.push_back(s.data());
  }
  [[nodiscard]] Batch batch() const { return {1, offsets[1], offsets}; }
  [[nodiscard]] float* const* next() { return &pointers[turn++ % kLayers]; }
};

// The arguments of every benchmark.
struct Size {
  std::int64_t n_col, n_row, threads;
  explicit Size(const benchmark::State& state) : n_col(state.range(0)), n_row(state.range(1)), threads(state.range(2)) {}
  [[nodiscard]] std::int64_t all() const { return n_col * n_row; }
};

inline void sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"C", "rows", "threads"})->ArgsProduct({{768, 1024, 2048}, {1, 256}, {1, 2}})->UseRealTime();
}

// floats: read and written per call. operations: multiply-adds count as two; 0: not printed.
inline void report(benchmark::State& state, std::int64_t floats_moved, std::int64_t operations = 0) {
  const auto rate = [&](std::int64_t n) {
    return benchmark::Counter(static_cast<double>(n), benchmark::Counter::kIsIterationInvariantRate);
  };
  state.counters["bytes/s"] = rate(4 * floats_moved);
  if (operations != 0) state.counters["flop/s"] = rate(operations);
}

}  // namespace rwkv::bench
