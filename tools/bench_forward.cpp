// SPDX-License-Identifier: Apache-2.0
// Microseconds of one forward of one token, the median of 2,000 calls: what tools/bench_python.py compares Python with.
#include <rwkv/rwkv.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

int main(int argc, char** argv) try {
  if (argc != 4) {
    std::fprintf(stderr, "usage: bench_forward MODEL STRATEGY THREADS\n");
    return 2;
  }
  const rwkv::Model model(argv[1], argv[2], {.threads = std::stoi(argv[3])});
  rwkv::State state = model.new_state();
  std::vector<float> logits(static_cast<std::size_t>(model.config().n_vocab));
  std::vector<double> times(2000);
  for (double& time : times) {
    const auto start = std::chrono::steady_clock::now();
    const rwkv::Token token = 5;
    model.forward({&token, 1}, state, logits);
    time = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
  }
  std::nth_element(times.begin(), times.begin() + 1000, times.end());
  std::printf("%.2f\n", times[1000]);
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
