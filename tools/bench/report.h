// SPDX-License-Identifier: Apache-2.0
// What was measured: a table for people, one line of JSON for programs.
#pragma once
#include <string>
#include <vector>

#include "bench/loaded_model.h"
#include "bench/long_run.h"
#include "bench/measure.h"

namespace rwkv::bench {

struct Subject {
  std::string machine, model;
  std::string strategy;  // what "auto" stands for here
  int threads;
  bool on_card;
  std::string placement;  // Model::placement()
  Arithmetic arithmetic;
  std::int64_t step_bytes, weight_bytes, state_bytes, cache_bytes;  // cache: the machine's last level
  bool synthetic;
};

[[nodiscard]] Subject subject_of(const LoadedModel& loaded, const Options& options, int threads);

[[nodiscard]] std::string results_table(const Subject& subject, const std::vector<Result>& results);
[[nodiscard]] std::string results_json(const Subject& subject, const std::vector<Result>& results);

[[nodiscard]] std::string long_table(const Subject& subject, const LongRun& run);
[[nodiscard]] std::string long_json(const Subject& subject, const LongRun& run);

}  // namespace rwkv::bench
