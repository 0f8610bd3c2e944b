// SPDX-License-Identifier: Apache-2.0
// An emulated machine that a test may change.
#pragma once
#include "cuda/engine/engine.h"
#include "cuemu/cuemu.h"

namespace rwkv::test {

// Put back at the end.
class CudaMachine : public testing::Test {
 protected:
  ~CudaMachine() override { cuemu::config() = before_; }

  // What loading says; "" if it succeeds.
  template <class Expected>
  static std::string error_of(const std::string& strategy, const char* file = "random-v7") {
    try {
      const Model model(model_file(file), strategy);
      return "";
    } catch (const Expected& error) {
      return error.what();
    }
  }

 private:
  const cuemu::Config before_ = cuemu::config();
};

}  // namespace rwkv::test
