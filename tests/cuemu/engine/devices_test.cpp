// SPDX-License-Identifier: Apache-2.0
// What strategies "cuda ..." say on machines of all sorts: without a card, with several, with an old one.
#include "cuemu/engine/machine.h"
#include "devices.h"
#include "message.h"

namespace rwkv::test {
namespace {

TEST_F(CudaMachine, WithoutADriverCudaSaysSoAndAutoTakesTheCpu) {
  cuemu::config().n_device = 0;
  EXPECT_EQ(error_of<DeviceError>("cuda fp16"),
            "strategy asks for cuda, but: no NVIDIA driver; use \"cpu fp32\", \"cpu bf16\" or \"auto\"");
  EXPECT_EQ(Model(model_file("random-v7"), "auto").placement().find("cpu ("), 0u);
  EXPECT_EQ(list_devices().at(1), "cuda: no NVIDIA driver");
}

TEST_F(CudaMachine, CardsThatAreNotThereAreNamedWithThoseThatAre) {
  cuemu::config().n_device = 1;
  EXPECT_NE(error_of<DeviceError>("cuda:1 fp16").find("asks for cuda:1, but: there is only cuda:0;"), std::string::npos);
  cuemu::config().n_device = 3;
  EXPECT_NE(error_of<DeviceError>("cuda:3 fp16").find("asks for cuda:3, but: there are only cuda:0 to cuda:2;"),
            std::string::npos);
}

TEST_F(CudaMachine, DevicesAreListedWithTheirFreeMemory) {
  const auto lines = list_devices();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].find("cpu ("), 0u) << lines[0];
  EXPECT_EQ(lines[1], "cuda:0 (Emulated GPU, sm_90), 8192 MiB free");
  EXPECT_EQ(lines[2], "cuda:1 (Emulated GPU, sm_90), 8192 MiB free");
}

TEST_F(CudaMachine, CardsOlderThanTheBinarysCodeAreRefused) {
  cuemu::config().sm = 70;
  EXPECT_NE(error_of<DeviceError>("cuda fp16").find("cuda:0 (Emulated GPU, sm_70): the card is too old; sm_75"),
            std::string::npos);
}

TEST_F(CudaMachine, CardsThatTheBuildHasNoCodeForAreRefused) {
  cuemu::config().code = 0;
  std::thread([] {  // which has asked for no card's code yet
    EXPECT_NE(error_of<DeviceError>("cuda fp16").find("cuda:0 (Emulated GPU, sm_90): this build has no kernels for the card ("),
              std::string::npos);
    EXPECT_NE(list_devices().at(1).find("this build has no kernels for the card"), std::string::npos);
  })
      .join();
}

TEST_F(CudaMachine, VersionsWithoutKernelsAreRefusedByNameAndAutoTakesTheCpu) {
  for (const VersionModel& model : kVersionModels) {
    const std::string expected =
        runs_on_cuda(model.version) ? "" : message("cuda:0 (Emulated GPU, sm_90) cannot run RWKV-", model.version);
    EXPECT_EQ(error_of<DeviceError>("cuda fp32", model.file), expected);
    const std::string placement = Model(model_file(model.file), "auto").placement();
    EXPECT_EQ(placement.find("cpu ("), 0u) << placement;
  }
}

TEST_F(CudaMachine, TwoCardsShareTheLayers) {
  for (const VersionModel& version : kVersionModels) {
    auto tokens = load_golden(version.file).tokens;
    tokens.resize(13);
    const std::vector<std::size_t> lengths = {3, 1, 9};
    const Result expected = result_of(version.file, "cuda fp16", tokens, lengths);
    for (const char* split : {"cuda fp16 -> cuda:1 fp16", "cuda:1 fp16 *1 -> cuda fp16 *2 -> cuda:1 fp16"}) {
      cuemu::config().peer_access = !cuemu::config().peer_access;
      const Result found = result_of(version.file, split, tokens, lengths);
      EXPECT_EQ(found.logits, expected.logits) << split;  // the same launches
      EXPECT_EQ(found.state, expected.state) << split;
    }
  }
}

// A card is waited for at the end only: the host asks for the next rows while these are on their way.
TEST_F(CudaMachine, CardsHandRowsOverWithoutTheHost) {
  const std::pair<const char*, int> cases[] = {{"random-v6", 1}, {"random-v7", 2}};  // x; v_first too
  for (const auto& [file, n_copy] : cases) {
    const Model model(model_file(file), "cuda fp16 *2 -> cuda:1 fp16");
    State state = model.new_state();
    for (int n = 0; n < 2; ++n) {
      static_cast<void>(state.arrays());  // ends what was asked for before
      const cuemu::Counts before = cuemu::counts();
      model.forward(std::vector<Token>(5, 7), state, {});
      const cuemu::Counts after = cuemu::counts();
      EXPECT_EQ(after.copies - before.copies, n_copy) << file;
      EXPECT_EQ(after.downloads - before.downloads, 0) << file;
      EXPECT_EQ(after.waits - before.waits, 2) << file;
    }
  }
}

}  // namespace
}  // namespace rwkv::test
