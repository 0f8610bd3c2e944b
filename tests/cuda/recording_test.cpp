// SPDX-License-Identifier: Apache-2.0
// Recordings of a CUDA device: what they hold, what they leave alone, and that a replay is the same to the last bit.
#include "kernels/cuda/recording.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "kernels/buffer.h"
#include "kernels/cuda/device.h"
#include "kernels/plain_matmul.h"
#include "kernels/values.h"

#ifdef CUEMU
#include "cuemu/cuemu.h"
#endif

namespace rwkv::test {
namespace {

using cuda::CudaDevice;

constexpr std::int64_t kIn = 300, kOut = 70;

// x -> norm(x) -> its product with an input-major matrix, whose launches share the device's scratch memory.
class Work {
 public:
  explicit Work(CudaDevice& device, std::int64_t n_row = 1, std::int64_t n_in = kIn)
      : device_(device), n_row_(n_row), n_in_(n_in) {
    const Weight w = stored(DType::f16, kOut, n_in, 1, kInputMajor);
    matrix_ = w.matrix;
    matrix_.data = put(w.half);
    weight_ = put(floats(n_in, 2)), bias_ = put(floats(n_in, 3));
    x_ = put(nans(n_row * n_in)), h_ = put(nans(n_row * n_in)), out_ = put(nans(n_row * kOut)), copy_ = put(nans(n_row * kOut));
  }

  void set_x(std::uint32_t seed) {
    const auto x = floats(n_row_ * n_in_, seed);
    device_.upload(x_, x.data(), x.size() * sizeof(float));
    clear();
  }
  void run() const {
    const CommonKernels& kernels = device_.kernels().common;
    kernels.layer_norm(device_, {{x_, n_row_, n_in_}, weight_, bias_, 1e-5f, {h_, n_row_, n_in_}});
    const MatMul product{.x = {h_, n_row_, n_in_}, .weight = matrix_, .out = {out_, n_row_, kOut}};
    kernels.matmul(device_, {&product, 1});
    device_.copy(copy_, out_, n_row_ * kOut * sizeof(float));
  }
  [[nodiscard]] std::vector<float> result() const {
    std::vector<float> values(n_row_ * kOut);
    device_.download(values.data(), copy_, values.size() * sizeof(float));
    return values;
  }
  std::vector<float> run_on(std::uint32_t seed) {
    set_x(seed);
    run();
    return result();
  }
  std::vector<float> replay_on(std::uint32_t seed, Recording& recording) {
    set_x(seed);
    recording.replay();
    return result();
  }
  [[nodiscard]] std::unique_ptr<Recording> record() {
    return device_.record([this] { run(); });
  }

 private:
  void clear() {
    const auto nothing = nans(n_row_ * kOut);
    device_.upload(copy_, nothing.data(), nothing.size() * sizeof(float));
  }
  template <class T>
  T* put(const std::vector<T>& values) {
    buffers_.emplace_back(device_, values.size() * sizeof(T));
    device_.upload(buffers_.back().data(), values.data(), values.size() * sizeof(T));
    return static_cast<T*>(buffers_.back().data());
  }

  CudaDevice& device_;
  std::int64_t n_row_, n_in_;
  std::vector<Buffer> buffers_;
  Matrix matrix_;
  float *weight_, *bias_, *x_, *h_, *out_, *copy_;
};

TEST(CudaRecording, RunsNothingUntilItIsReplayedOnWhatLiesThereThen) {
  CudaDevice device(0, 1);
  Work work(device);
  const auto first = work.run_on(10), second = work.run_on(11);
  work.set_x(10);
  const auto recording = work.record();
  ASSERT_TRUE(recording);
  EXPECT_TRUE(std::isnan(work.result()[0]));
  EXPECT_EQ(work.replay_on(11, *recording), second);
  EXPECT_EQ(work.replay_on(10, *recording), first);
  EXPECT_EQ(work.run_on(11), second);  // the device's stream is not captured any more
}

TEST(CudaRecording, KeepsScratchMemoryThatWasOutgrown) {
  CudaDevice device(0, 1);
  Work work(device), larger(device, 8, 5000);
  const auto expected = work.run_on(10);
  const auto recording = work.record();
  ASSERT_TRUE(recording);
  larger.run_on(10);
  EXPECT_EQ(work.replay_on(10, *recording), expected);
}

// The memory of matvec_parts would have to grow.
TEST(CudaRecording, OfWorkThatNeverRanIsNoneAndLeavesTheDeviceUsable) {
  CudaDevice device(0, 1);
  Work work(device);
  EXPECT_FALSE(work.record());
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  const auto expected = work.run_on(10);
  const auto recording = work.record();
  ASSERT_TRUE(recording);
  EXPECT_EQ(work.replay_on(10, *recording), expected);
}

TEST(CudaRecording, LeavesAloneWhatOtherThreadsDoMeanwhile) {
  CudaDevice device(0, 1);
  Work work(device), other(device);
  const auto expected = work.run_on(10), expected_of_other = other.run_on(12);
  std::vector<float> meanwhile;
  const auto recording = device.record([&] {
    work.run();
    std::thread([&] {
      const Buffer buffer(device, 1000);
      meanwhile = other.run_on(12);
    }).join();
    work.run();
  });
  ASSERT_TRUE(recording);
  EXPECT_EQ(meanwhile, expected_of_other);
  other.set_x(13);
  EXPECT_EQ(work.replay_on(10, *recording), expected);
  EXPECT_TRUE(std::isnan(other.result()[0]));
}

TEST(CudaRecording, EndsWithWhatTheWorkThrows) {
  CudaDevice device(0, 1);
  Work work(device);
  const auto expected = work.run_on(10);
  EXPECT_THROW(static_cast<void>(device.record([&] {
                 work.run();
                 throw std::length_error("of the work");
               })),
               std::length_error);
  EXPECT_EQ(work.run_on(10), expected);
}

// It would run once, when recorded.
TEST(CudaRecording, RefusesTheHostsMemory) {
  CudaDevice device(0, 1);
  const Buffer buffer(device, 4);
  int number = 0;
  EXPECT_THROW(static_cast<void>(device.record([&] { device.upload(buffer.data(), &number, 4); })), std::logic_error);
  EXPECT_THROW(static_cast<void>(device.record([&] { device.download(&number, buffer.data(), 4); })), std::logic_error);
  device.upload(buffer.data(), &number, 4);
}

// Another thread's launches that share the scratch memory are never on both sides of a replay. One that did not wait would be
// seen soon; there is no time at which this fails wrongly.
TEST(CudaRecording, WaitsUntilTheScratchMemoryIsFree) {
  CudaDevice device(0, 1);
  Work work(device);
  const auto expected = work.run_on(10);
  const auto recording = work.record();
  ASSERT_TRUE(recording);
  work.set_x(10);
  std::atomic<bool> replayed = false;
  std::thread other;
  {
    const auto use = device.scratch().use(device.stream(), 1);
    other = std::thread([&] {
      recording->replay();
      replayed = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_FALSE(replayed);
  }
  other.join();
  EXPECT_EQ(work.result(), expected);
}

TEST(CudaRecording, IsReplayedBesideOtherThreads) {
  CudaDevice device(0, 1);
  std::vector<std::vector<float>> found(3), expected(3);
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      Work work(device);
      expected[i] = work.run_on(10 + i);
      const auto recording = work.record();
      ASSERT_TRUE(recording);
      for (int n = 0; n < 20; ++n) {
        const bool replays = (i + n) % 2 == 0;
        found[i] = replays ? work.replay_on(10 + i, *recording) : work.run_on(10 + i);
        ASSERT_EQ(found[i], expected[i]) << n;
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

#ifdef CUEMU
TEST(CudaRecording, WithoutMemoryForItIsNone) {
  CudaDevice device(0, 1);
  Work work(device);
  const auto expected = work.run_on(10);
  for (const std::int64_t left : {0, 1}) {
    cuemu::config().allocations_left = left;
    EXPECT_FALSE(work.record()) << left;
    cuemu::config().allocations_left = INT64_MAX;
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
    EXPECT_EQ(work.run_on(10), expected) << left;
  }
}

TEST(CudaRecording, OfAnotherCardThanTheThreadsCurrentOneWorks) {
  CudaDevice device(1, 1);
  Work work(device);
  const auto expected = work.run_on(10);
  auto recording = work.record();
  ASSERT_TRUE(recording);
  EXPECT_EQ(work.replay_on(10, *recording), expected);
  int current = -1;
  cuda::check(cudaGetDevice(&current));
  EXPECT_EQ(current, 0);
}
#endif

}  // namespace
}  // namespace rwkv::test
