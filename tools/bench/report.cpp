// SPDX-License-Identifier: Apache-2.0
#include "bench/report.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "bench/machine.h"
#include "message.h"

namespace rwkv::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kMiB = 1 << 20;

// Five significant digits: more would be noise.
double rounded(double x) {
  if (x == 0 || !std::isfinite(x)) return 0;
  const double unit = std::pow(10.0, std::floor(std::log10(std::fabs(x))) - 4);
  return unit >= 1 ? std::round(x / unit) * unit : std::round(x / unit) / std::round(1 / unit);
}

template <class... Values>
std::string format(const char* pattern, Values... values) {
  std::string text(static_cast<std::size_t>(std::snprintf(nullptr, 0, pattern, values...)), ' ');
  std::snprintf(text.data(), text.size() + 1, pattern, values...);
  return text;
}

std::string line(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

// A rate with as many digits as it deserves: 1234, 123, 12.3, 1.23
std::string rate(double x) { return format(x >= 99.95 ? "%.0f" : x >= 9.995 ? "%.1f" : "%.2f", x); }

std::string heading(const Subject& s) {
  std::string placement = s.placement;
  for (char& c : placement)
    if (c == '\n') c = ';';
  return message("model     ", s.model, "\nmachine   ", s.machine, "\nstrategy  ", s.strategy, ", on ", placement, "\n");
}

std::string limits_text(const Subject& s) {
  if (s.on_card) return "a copy within the card (read and written) and of fp16 products on its tensor cores";
  return format("plain reading and of %s multiply-adds in registers with as many threads",
                s.arithmetic == Arithmetic::bf16 ? "bf16" : "fp32");
}

std::string size_text(const Result& r) {
  if (r.batch > 1 || r.what == "batch")
    return format("%lld x %lld tokens", static_cast<long long>(r.batch), static_cast<long long>(r.tokens));
  return format("%lld tokens", static_cast<long long>(r.tokens));
}

std::string row(const Result& r) {
  if (r.what == "load") {
    return format("load      %.2f s (%.2f to %.2f) to the first token's logits, peak memory %.0f MiB\n", r.seconds.median,
                  r.seconds.min, r.seconds.max, r.peak_rss_mib->median);
  }
  const std::string range = message(rate(r.tok_s.min), " to ", rate(r.tok_s.max));
  return format("%-8s  %-16s%8s  %-18s%8s of %-6s%9s of %-7s%5.0f %%  %s\n", r.what.c_str(), size_text(r).c_str(),
                rate(r.tok_s.median).c_str(), range.c_str(), rate(r.gb_s).c_str(), rate(r.limit_gb_s).c_str(),
                rate(r.gflop_s).c_str(), rate(r.limit_gflop_s).c_str(), 100 * r.share,
                r.bandwidth_bound ? "bandwidth" : "arithmetic") +
         (r.zero_share ? format("          %.1f %% of the squared ReLU is zero: those rows of ffn.value are not read\n",
                                100 * *r.zero_share)
                       : "");
}

std::string explanation(const Subject& s) {
  std::string text = format(
      "\nMedians, smallest and largest sample. A token alone reads %.1f MB of weights: all %.1f MB but the embedding table, of "
      "which\n"
      "one row; its state of %.2f MB is not counted. GB/s and GFLOP/s are of weights and of their multiply-adds, the limits "
      "those of\n"
      "%s, read before and after every sample.\n"
      "A step of decode or batch draws the likeliest next token of each sequence, where the logits lie.\n"
      "share: the speed, of what the tighter limit allows. The last column is that limit.\n",
      static_cast<double>(s.step_bytes) / 1e6, static_cast<double>(s.weight_bytes) / 1e6,
      static_cast<double>(s.state_bytes) / 1e6, limits_text(s).c_str());
  if (!s.on_card && s.step_bytes < 2 * s.cache_bytes)
    text += "These weights may stay in the last-level cache: their share of the memory's bandwidth says little.\n";
  if (s.synthetic) text += "load is the time to make the weights: measure a file to know the time to read one.\n";
  return text;
}

Json head(const Subject& s) {
  return {{"machine", s.machine}, {"model", s.model},    {"strategy", s.strategy},
          {"threads", s.threads}, {"drawing", "greedy"}, {"results", Json::array()}};
}

Json result_json(const Result& r) {
  if (r.what == "load") {
    return {{"what", r.what}, {"seconds", rounded(r.seconds.median)}, {"peak_rss_mib", rounded(r.peak_rss_mib->median)}};
  }
  Json json = {{"what", r.what},
               {"tokens", r.tokens},
               {"batch", r.batch},
               {"tok_s", rounded(r.tok_s.median)},
               {"bytes_per_token", std::llround(r.bytes_per_token)},
               {"state_bytes_per_token", std::llround(r.state_bytes_per_token)},
               {"gb_s", rounded(r.gb_s)},
               {"limit_gb_s", rounded(r.limit_gb_s)},
               {"gflop_s", rounded(r.gflop_s)},
               {"limit_gflop_s", rounded(r.limit_gflop_s)},
               {"share", rounded(r.share)},
               {"seconds", rounded(r.seconds.median)}};
  if (r.zero_share) json["zero_share"] = rounded(*r.zero_share);
  return json;
}

// Of the first or last tenth of the points.
double mean_seconds(std::span<const LongPoint> points) {
  double sum = 0;
  for (const LongPoint& p : points) sum += p.seconds_per_token;
  return sum / static_cast<double>(points.size());
}

double milliseconds_to_read(const LongPoint& p, const LongRun& run) { return p.transformer.cache_bytes / run.limit_gb_s / 1e6; }

}  // namespace

Subject subject_of(const LoadedModel& loaded, const Options& options, int threads) {
  const std::string placement = loaded.model.placement();
  return {.machine = machine_text() + (loaded.on_card() ? ", " + placement.substr(0, placement.find('\n')) : ""),
          .model = loaded.text(),
          .strategy = options.strategy.starts_with("auto") ? to_text(loaded.impl->placements.front()) : options.strategy,
          .threads = threads,
          .on_card = loaded.on_card(),
          .placement = placement,
          .arithmetic = loaded.arithmetic(),
          .step_bytes = loaded.cost.step_bytes,
          .weight_bytes = loaded.model.weight_bytes(),
          .state_bytes = loaded.model.state_bytes(),
          .cache_bytes = last_level_cache_bytes(),
          .synthetic = options.synthetic.has_value()};
}

std::string results_table(const Subject& subject, const std::vector<Result>& results) {
  std::string text = heading(subject) + "\n" + std::string(31, ' ') +
                     "tok/s  (smallest, largest)  GB/s of limit    GFLOP/s of limit    share  limit\n";
  for (const Result& result : results) text += row(result);
  return text + explanation(subject);
}

std::string results_json(const Subject& subject, const std::vector<Result>& results) {
  Json json = head(subject);
  for (const Result& result : results) json["results"].push_back(result_json(result));
  return line(json);
}

std::string long_table(const Subject& subject, const LongRun& run) {
  std::string text =
      heading(subject) +
      "\n     token      tok/s  us/token  memory MiB   state MiB |  KV cache MiB  ms to read it  attention MFLOP\n";
  const std::size_t n = run.points.size(), stride = std::max<std::size_t>(1, n / 10);
  for (std::size_t i = stride - 1; i < n; i += stride) {
    const LongPoint& p = run.points[i];
    text += format("%10lld %10.0f  %8.1f  %10.2f  %10.3f | %13.1f  %13.2f  %15.1f\n", static_cast<long long>(p.tokens),
                   1 / p.seconds_per_token, 1e6 * p.seconds_per_token, static_cast<double>(p.resident_bytes) / kMiB,
                   static_cast<double>(p.state_bytes) / kMiB, p.transformer.cache_bytes / kMiB, milliseconds_to_read(p, run),
                   p.transformer.attention_flops / 1e6);
  }
  const std::size_t tenth = std::max<std::size_t>(1, n / 10);
  const std::span<const LongPoint> all(run.points);
  text += format("\nSpeed of the last tenth: %.1f %% of the first. Memory since the first point: %+.2f MiB.\n",
                 100 * mean_seconds(all.first(tenth)) / mean_seconds(all.last(tenth)),
                 static_cast<double>(all.back().resident_bytes - all.front().resident_bytes) / kMiB);
  return text + format(
                    "Right of the bar, computed: a transformer of the same depth L and width C after t tokens. KV cache: 2 L C "
                    "t values of\n"
                    "2 bytes, read completely for every token (here at %.1f GB/s, the memory's bandwidth); attention: 4 L C t "
                    "operations\n"
                    "per token (2 L C t multiply-adds: q k, then the sum of values).\n",
                    run.limit_gb_s);
}

std::string long_json(const Subject& subject, const LongRun& run) {
  Json json = head(subject);
  for (const LongPoint& p : run.points) {
    json["results"].push_back({{"what", "long"},
                               {"tokens", p.tokens},
                               {"tok_s", rounded(1 / p.seconds_per_token)},
                               {"rss_mib", rounded(static_cast<double>(p.resident_bytes) / kMiB)},
                               {"state_bytes", p.state_bytes},
                               {"kv_cache_bytes", std::llround(p.transformer.cache_bytes)},
                               {"attention_flop", std::llround(p.transformer.attention_flops)},
                               {"limit_gb_s", rounded(run.limit_gb_s)}});
  }
  return line(json);
}

}  // namespace rwkv::bench
