// SPDX-License-Identifier: Apache-2.0
// Products with the matrices of a block and the head, of one row (decode) to 256 (a prompt). Traffic counts the weights alone.
#include <tuple>

#include "kernel_bench.h"
#include "kernels/buffer.h"
#include "kernels/i4.h"

namespace rwkv::bench {
namespace {

// Matrices that lie one after the other in memory larger than most caches: as in a model, all others are read before one is
// read again. Every byte is the same, scales of i4 included: a weight is about 0.05 (fp32, bf16), 1.3 (fp16), or a 61.
class Weights {
 public:
  explicit Weights(const Matrix& shape) : matrix_(shape), bytes_(shape.n_out * shape.n_in * bytes_of(shape.type)) {
    if (shape.type == DType::i4) bytes_ = shape.n_out * shape.n_in / kI4Group * (kI4GroupBytes + 2);
    if (shape.type == DType::i8) matrix_.mx = matrix_.rx = matrix_.my = matrix_.ry = scales_.data();
  }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }
  [[nodiscard]] Matrix next() {
    const std::byte* const data = memory_ + turn_++ % (kMemory / bytes_) * bytes_;
    matrix_.data = data;
    if (matrix_.type == DType::i4)
      matrix_.scale = reinterpret_cast<const std::uint16_t*>(data + matrix_.n_out * matrix_.n_in / 2);
    return matrix_;
  }

 private:
  static constexpr std::int64_t kMemory = std::int64_t{1} << 30;
  static Buffer filled() {
    Buffer memory(device(1), kMemory);
    std::fill_n(static_cast<std::byte*>(memory.data()), kMemory, std::byte{0x3d});
    return memory;
  }
  static const std::byte* all() {
    static const Buffer memory = filled();
    return static_cast<const std::byte*>(memory.data());
  }

  Matrix matrix_;
  const std::byte* memory_ = all();
  std::int64_t bytes_, turn_ = 0;
  Floats scales_ = floats(65536, 0.001f, 0.002f);
};

// No input is zero: every weight is read.
void matmul(benchmark::State& state, DType type) {
  const std::int64_t n_out = state.range(0), n_in = state.range(1), n_row = state.range(3);
  Weights weights({.type = type, .n_out = n_out, .n_in = n_in, .input_major = state.range(2) != 0});
  auto x = floats(n_row * n_in, 0.1f), out = floats(n_row * n_out);
  cpu::CpuDevice& on = device(state.range(4));
  for (auto _ : state) {
    const MatMul op{.x = rows(x, n_in), .weight = weights.next(), .out = rows(out, n_out)};
    on.kernels().common.matmul(on, {&op, 1});
  }
  report(state, weights.bytes() / 4, 2 * n_row * n_out * n_in);
}

// Those of v7-0.4b: att.key, ffn.key, ffn.value, head.
void shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"out", "in", "input_major", "rows", "threads"})->UseRealTime();
  for (const auto& [n_out, n_in, input_major] :
       {std::tuple{1024, 1024, 0}, {4096, 1024, 0}, {1024, 4096, 1}, {65536, 1024, 0}}) {
    for (const int n_row : {1, 2, 4, 8, 16, 32, 256}) {
      for (const int threads : {1, 2}) benchmark->Args({n_out, n_in, input_major, n_row, threads});
    }
  }
}
BENCHMARK_CAPTURE(matmul, fp32, DType::f32)->Apply(shapes);
BENCHMARK_CAPTURE(matmul, fp16, DType::f16)->Apply(shapes);
BENCHMARK_CAPTURE(matmul, bf16, DType::bf16)->Apply(shapes);
BENCHMARK_CAPTURE(matmul, i8, DType::i8)->Apply(shapes);
BENCHMARK_CAPTURE(matmul, i4, DType::i4)->Apply(shapes);

}  // namespace
}  // namespace rwkv::bench

BENCHMARK_MAIN();
