// SPDX-License-Identifier: Apache-2.0
// Bandwidth: a copy within the card, bytes read and written. Arithmetic, fp16 with float32 sums, the faster of two: mma.sync on
// registers, 2 * 16 * 8 * 16 operations each, kChains at once per warp, two blocks of 8 warps per multiprocessor; and a square
// product by cuBLASLt, which has instructions that are faster from sm_90 on.
#include "kernels/cuda/limits.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "kernels/cuda/cublas.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/owned.h"
#include "kernels/cuda/product.h"
#include "kernels/cuda/ptx.h"

namespace rwkv::cuda {
namespace {

constexpr int kThreads = 256, kBlocksPerMultiprocessor = 2, kChains = 8;
constexpr double kOperations = 2.0 * 16 * 8 * 16;  // of an mma
constexpr std::size_t kMostBytes = std::size_t{256} << 20;
constexpr std::chrono::milliseconds kTime{5};  // launching takes microseconds

// Numbers that are not zero, as tensor cores are faster with zeros (less power, higher clocks). `out` [threads]: what keeps
// the loop.
__global__ void __launch_bounds__(kThreads) multiply_add(float* out, int rounds) {
  const unsigned seed = 0x3c00'3800u + (threadIdx.x & 0x3fu) * 0x0003'0001u;  // halves of 0.5 to 1.2
  const unsigned a[4] = {seed, seed ^ 0x0010'0020u, seed ^ 0x8000'0000u, seed ^ 0x0000'8000u},
                 b[2] = {seed, seed ^ 0x8000'8000u};
  float d[kChains][4] = {};
  for (int i = 0; i < rounds; ++i) {
    UNROLL
    for (int chain = 0; chain < kChains; ++chain) mma_m16n8k16<__half>(d[chain], a, b);
  }
  float sum = 0.0f;
  UNROLL
  for (int chain = 0; chain < kChains; ++chain) sum += d[chain][0] + d[chain][1] + d[chain][2] + d[chain][3];
  out[blockIdx.x * kThreads + threadIdx.x] = sum;
}

// Halves of both signs, 0.5 to 2 in size: what is all alike is multiplied faster than weights are.
__global__ void __launch_bounds__(kThreads) fill(std::uint16_t* out, std::size_t n) {
  for (std::size_t i = std::size_t{blockIdx.x} * kThreads + threadIdx.x; i < n; i += std::size_t{gridDim.x} * kThreads) {
    const unsigned mixed = static_cast<unsigned>(i) * 0x9e3779b1u ^ static_cast<unsigned>(i >> 7) * 0x85ebca6bu;
    out[i] = static_cast<std::uint16_t>(0x3800u + (mixed >> 16 & 0x87ffu));
  }
}

// How often per second the stream does what give(n) gives it n times.
template <class Give>
double rate(const Stream& stream, const Give& give) {
  using Clock = std::chrono::steady_clock;
  give(1);  // code is loaded at its first use
  for (int n = 1;; n *= 4) {
    stream.synchronize();
    const auto start = Clock::now();
    give(n);
    stream.synchronize();
    const auto taken = Clock::now() - start;
    if (taken >= kTime) return n / std::chrono::duration<double>(taken).count();
  }
}

int attribute(cudaDeviceAttr name, int ordinal) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, name, ordinal));
  return value;
}

class LimitReader {
 public:
  explicit LimitReader(int ordinal)
      : blocks_(kBlocksPerMultiprocessor * attribute(cudaDevAttrMultiProcessorCount, ordinal)),
        bytes_(copied_bytes(ordinal)),
        from_(bytes_),
        to_(bytes_),
        sums_(sizeof(float) * blocks_ * kThreads),
        side_(static_cast<int>(std::sqrt(static_cast<double>(bytes_ / 4))) / 64 * 64),
        plan_(cublas_.plan(stream_.get(), {DType::f16, false, side_, side_, side_, side_, side_})),
        workspace_(plan_ ? plan_->workspace_bytes() : 0) {
    launch({dim3(blocks_), dim3(kThreads), 0, stream_.get()}, fill, static_cast<std::uint16_t*>(from_.data()), bytes_ / 2);
  }

  [[nodiscard]] DeviceLimits read() {
    const double copies = rate(stream_, [&](int n) {
      for (int i = 0; i < n; ++i) {
        check(cudaMemcpyAsync(to_.data(), from_.data(), bytes_, cudaMemcpyDeviceToDevice, stream_.get()));
      }
    });
    const double rounds = rate(stream_, [&](int n) {
      launch({dim3(blocks_), dim3(kThreads), 0, stream_.get()}, multiply_add, static_cast<float*>(sums_.data()), n);
    });
    const double warps = static_cast<double>(blocks_) * kThreads / 32;
    return {.bytes_per_second = 2.0 * static_cast<double>(bytes_) * copies,
            .flops_per_second = std::max(rounds * warps * kChains * kOperations, product())};
  }

 private:
  // Operations per second; 0 without cuBLASLt, or if it refuses. Both matrices lie in from_.
  [[nodiscard]] double product() {
    const auto* const w = static_cast<const std::uint16_t*>(from_.data());
    const auto multiply = [&] {
      return cublas_.multiply(stream_.get(), *plan_, w, w + std::int64_t{side_} * side_, static_cast<float*>(to_.data()), false,
                              workspace_.data());
    };
    if (!plan_ || !multiply()) return 0.0;
    const double products = rate(stream_, [&](int n) {
      for (int i = 0; i < n; ++i) static_cast<void>(multiply());
    });
    return products * 2.0 * std::pow(side_, 3);
  }

  // Four times the second-level cache, so that most of it comes from memory; at most an eighth of what is free.
  static std::size_t copied_bytes(int ordinal) {
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total));
    const std::size_t cache = attribute(cudaDevAttrL2CacheSize, ordinal);
    return std::min({std::max(4 * cache, std::size_t{1} << 20), kMostBytes, free / 8});
  }

  int blocks_;
  std::size_t bytes_;
  Stream stream_;
  Memory from_, to_, sums_;
  int side_;  // of the matrices
  Cublas cublas_;
  std::shared_ptr<const CublasPlan> plan_;
  Memory workspace_;
};

}  // namespace

std::function<DeviceLimits()> limit_reader(int ordinal) {
  const CurrentDevice current(ordinal);
  // Released, as it was made, while the card is the current one.
  const std::shared_ptr<LimitReader> reader(new LimitReader(ordinal), [ordinal](LimitReader* made) {
    const CurrentDevice card(ordinal);
    delete made;
  });
  return [reader, ordinal] {
    const CurrentDevice card(ordinal);
    return reader->read();
  };
}

}  // namespace rwkv::cuda
