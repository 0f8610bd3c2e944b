// SPDX-License-Identifier: Apache-2.0
// Models on a CUDA device: which can run, and their logits and states beside those of the CPU.
#pragma once
#include "golden/golden.h"
#include "kernels/cuda/table.h"

namespace rwkv::test {

inline bool runs_on_cuda(int version) {
  const KernelTable& table = cuda::table();
  const void* const kernels[] = {table.rwkv4, table.rwkv5, table.rwkv6, table.rwkv7};
  return kernels[version - 4] != nullptr;
}

// One golden model of each version.
struct VersionModel {
  int version;
  const char* file;
};
inline constexpr VersionModel kVersionModels[] = {{4, "random-v4"}, {5, "random-v5.2"}, {6, "random-v6"}, {7, "random-v7"}};
inline std::ostream& operator<<(std::ostream& out, const VersionModel& model) { return out << model.file; }

inline std::string version_name(const testing::TestParamInfo<VersionModel>& info) {
  return "V" + std::to_string(info.param.version);
}

struct Result {
  std::vector<float> logits;  // [tokens, n_vocab]
  std::vector<std::vector<float>> state;
  std::size_t n_vocab = 0;
};

inline std::vector<std::vector<float>> values(const State& state) {
  std::vector<std::vector<float>> all;
  for (auto& array : state.arrays()) all.push_back(std::move(array.values));
  return all;
}

inline Result result_of(const std::string& file, const std::string& strategy, std::span<const Token> tokens,
                        std::vector<std::size_t> lengths) {
  const Model model(model_file(file), strategy);
  State state = model.new_state();
  auto logits = feed(model, state, tokens, std::move(lengths));
  return {std::move(logits), values(state), static_cast<std::size_t>(model.config().n_vocab)};
}

}  // namespace rwkv::test

// Ends a test of a version that has no kernels yet.
#define RWKV_SKIP_UNLESS_CUDA_RUNS(version) \
  if (!runs_on_cuda(version)) GTEST_SKIP() << "skipped: CUDA has no kernels for RWKV-" << (version)
