// SPDX-License-Identifier: Apache-2.0
// What strategies "cuda ..." say on machines of all sorts: without a card, with several, with too little memory.
#include "cuda/engine/engine.h"
#include "cuemu/cuemu.h"
#include "devices.h"
#include "message.h"

namespace rwkv::test {
namespace {

// Of the emulated machine; put back at the end.
class CudaMachine : public testing::Test {
 protected:
  ~CudaMachine() override { cuemu::config() = before_; }

  // What loading says; "" if it succeeds.
  static std::string error_of(const std::string& strategy, const char* file = "random-v7") {
    try {
      const Model model(model_file(file), strategy);
      return "";
    } catch (const DeviceError& error) {
      return error.what();
    }
  }

 private:
  const cuemu::Config before_ = cuemu::config();
};

TEST_F(CudaMachine, WithoutADriverCudaSaysSoAndAutoTakesTheCpu) {
  cuemu::config().n_device = 0;
  EXPECT_EQ(error_of("cuda fp16"), "strategy asks for cuda, but: no NVIDIA driver; use \"cpu fp32\", \"cpu bf16\" or \"auto\"");
  EXPECT_EQ(Model(model_file("random-v7"), "auto").placement().find("cpu ("), 0u);
  EXPECT_EQ(list_devices().at(1), "cuda: no NVIDIA driver");
}

TEST_F(CudaMachine, CardsThatAreNotThereAreNamedWithThoseThatAre) {
  EXPECT_NE(error_of("cuda:1 fp16").find("asks for cuda:1, but: there is only cuda:0;"), std::string::npos);
  cuemu::config().n_device = 3;
  EXPECT_NE(error_of("cuda:3 fp16").find("asks for cuda:3, but: there are only cuda:0 to cuda:2;"), std::string::npos);
}

TEST_F(CudaMachine, DevicesAreListedWithTheirFreeMemory) {
  cuemu::config().n_device = 2;
  const auto lines = list_devices();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].find("cpu ("), 0u) << lines[0];
  EXPECT_EQ(lines[1], "cuda:0 (Emulated GPU, sm_90), 8192 MiB free");
  EXPECT_EQ(lines[2], "cuda:1 (Emulated GPU, sm_90), 8192 MiB free");
}

TEST_F(CudaMachine, CardsOlderThanTheBinarysCodeAreRefused) {
  cuemu::config().sm = 70;
  EXPECT_NE(error_of("cuda fp16").find("cuda:0 (Emulated GPU, sm_70): the card is too old; sm_75"), std::string::npos);
}

TEST_F(CudaMachine, VersionsWithoutKernelsAreRefusedByNameAndAutoTakesTheCpu) {
  for (const VersionModel& model : kVersionModels) {
    const std::string expected =
        runs_on_cuda(model.version) ? "" : message("cuda:0 (Emulated GPU, sm_90) cannot run RWKV-", model.version);
    EXPECT_EQ(error_of("cuda fp32", model.file), expected);
    const std::string placement = Model(model_file(model.file), "auto").placement();
    EXPECT_EQ(placement.find("cpu ("), 0u) << placement;
  }
}

TEST_F(CudaMachine, TwoCardsShareTheLayers) {
  cuemu::config().n_device = 2;
  for (const VersionModel& version : kVersionModels) {
    const auto tokens = load_golden(version.file).tokens;
    const std::vector<std::size_t> lengths = {3, 1, 19};
    const Result expected = result_of(version.file, "cuda fp16", tokens, lengths);
    for (const char* split : {"cuda fp16 -> cuda:1 fp16", "cuda:1 fp16 *1 -> cuda fp16 *2 -> cuda:1 fp16"}) {
      const Result found = result_of(version.file, split, tokens, lengths);
      EXPECT_EQ(found.logits, expected.logits) << split;  // the same launches
      EXPECT_EQ(found.state, expected.state) << split;
    }
  }
}

TEST_F(CudaMachine, StreamingIsRefusedByName) {
  EXPECT_NE(error_of("cuda fp16 *1+").find("streamed to cuda"), std::string::npos);
}

// After each failure everything is released (the program reports leaks), and the next attempt gets further.
TEST_F(CudaMachine, LoadingFailsCleanlyAtEveryAllocation) {
  for (const VersionModel& model : kVersionModels) {
    if (!runs_on_cuda(model.version)) continue;
    std::int64_t n = 0;
    for (bool loaded = false; !loaded; ++n) {
      ASSERT_LT(n, 1000) << model;
      cuemu::config().allocations_left = n;
      try {
        const Model loading(model_file(model.file), "cuda fp32");
        loaded = true;
      } catch (const OutOfMemoryError& error) {
        EXPECT_NE(std::string(error.what()).find("cuda:0: out of memory allocating"), std::string::npos) << error.what();
      }
    }
    EXPECT_GT(n, 1) << model;
  }
  if (!runs_on_cuda(7)) GTEST_SKIP() << "skipped: CUDA has no kernels for RWKV-7";
}

}  // namespace
}  // namespace rwkv::test
