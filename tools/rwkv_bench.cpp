// SPDX-License-Identifier: Apache-2.0
// rwkv-bench: a model's speed beside the limits of the machine, and along very many tokens. Manual: docs/cli.md.
#include "bench/loaded_model.h"
#include "bench/long_run.h"
#include "bench/machine.h"
#include "bench/measure.h"
#include "bench/options.h"
#include "bench/plot.h"
#include "bench/report.h"
#include "bench/zero_share.h"
#include "cli/exit_codes.h"
#include "cli/terminal.h"

namespace rwkv::bench {
namespace {

struct Written {
  std::string table, json;
};

Written run_results(const Options& o, int threads) {
  std::optional<LoadedModel> loading;
  const auto first_token = [&] {
    loading.emplace(LoadedModel::load(o, threads));
    loading->answer();
  };
  // First: the process is still small, and has no threads that a fork would not copy. Making a synthetic model takes long and
  // says little about loading: once is enough for its memory.
  const Result load = o.synthetic ? measure_load_here(first_token) : measure_load(first_token, o.repeat);
  if (!loading) loading.emplace(LoadedModel::load(o, threads));
  const LoadedModel& loaded = *loading;
  const Text text = o.synthetic ? Text::spread(loaded.model) : Text::of(loaded.model);
  std::vector<Workload> workloads;
  if (o.decode > 0) workloads.push_back(decode(loaded, text, o.decode));
  for (const Prompts& p : o.prefill) workloads.push_back(prefill(loaded, text, p.sequences, p.tokens));
  if (o.decode > 0)
    for (const std::int64_t n : o.batch) workloads.push_back(batch(loaded, text, o.decode, n));

  const auto read_limits = loaded.limit_reader(threads);
  cli::Progress progress("measuring");
  std::int64_t done = 0;
  const auto total = static_cast<std::int64_t>(workloads.size()) * o.repeat;
  std::vector<Result> results;
  for (const Workload& workload : workloads) {
    results.push_back(measure(workload, read_limits, o.repeat, [&] { progress.update(++done, total); }));
    if (workload.what == "decode")
      results.back().zero_share = zero_share(*loaded.impl->devices.front(), [&] { workload.run(workload.steps); });
  }
  progress.clear();
  results.push_back(load);
  const Subject subject = subject_of(loaded, o, threads);
  return {results_table(subject, results), results_json(subject, results)};
}

Written run_long(const Options& o, int threads) {
  const LoadedModel loaded = LoadedModel::load(o, threads);
  cli::Progress progress("measuring");
  const LongRun run =
      long_run(loaded, *o.long_tokens, threads, [&](std::int64_t tokens) { progress.update(tokens, *o.long_tokens); });
  progress.clear();
  const Subject subject = subject_of(loaded, o, threads);
  return {long_table(subject, run), long_json(subject, run)};
}

cli::ExitCode run(const Options& o) {
  if (o.plot) check_plotting();
  const int threads = o.threads > 0 ? o.threads : usable_cores();
  const Written written = o.long_tokens ? run_long(o, threads) : run_results(o, threads);
  cli::Output(cli::Output::Filter::automatic).write(o.json ? written.json : written.table);
  if (o.plot) plot(written.json, *o.plot);
  return cli::kDone;
}

}  // namespace
}  // namespace rwkv::bench

int main(int argc, char** argv) {
  try {
    const auto options = rwkv::bench::parse_options(argc, argv);
    return options ? rwkv::bench::run(*options) : rwkv::cli::kDone;
  } catch (...) {
    return rwkv::cli::report_exception("rwkv-bench");
  }
}
