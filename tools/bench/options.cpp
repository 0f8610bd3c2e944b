// SPDX-License-Identifier: Apache-2.0
#include "bench/options.h"

#include <algorithm>
#include <charconv>

#include "bench/synthetic.h"
#include "cli/command_line.h"
#include "cli/exit_codes.h"
#include "cli/suggest.h"
#include "message.h"

namespace rwkv::bench {
namespace {

constexpr std::int64_t kMostTokens = std::int64_t{1} << 40, kMostPrompt = 1 << 20, kMostSequences = 4096;

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

void check_synthetic(const std::string& name) {
  const auto names = synthetic_names();
  if (std::ranges::find(names, name) != names.end()) return;
  const std::string meant = cli::nearest(name, names);
  throw cli::UsageError(message("--synthetic: there is no \"", printable(name), "\"",
                                meant.empty() ? "" : "; did you mean " + meant + "?", " There are ", joined(names)));
}

// "1024" or "32x1024"; 0 sequences or tokens: none.
Prompts parse_prompts(const std::string& text) {
  const auto number = [&](std::string_view digits, std::int64_t most) {
    std::int64_t n = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
    if (error != std::errc() || end != digits.data() + digits.size() || n < 0 || n > most) {
      throw cli::UsageError(message("--prefill: \"", printable(text), "\" is no length of a prompt (at most ", kMostPrompt,
                                    ") like 1024, nor several prompts (at most ", kMostSequences, ") like 32x1024"));
    }
    return n;
  };
  const auto x = text.find('x');
  const std::string_view all = text;
  if (x == std::string::npos) return {1, number(all, kMostPrompt)};
  return {number(all.substr(0, x), kMostSequences), number(all.substr(x + 1), kMostPrompt)};
}

}  // namespace

std::optional<Options> parse_options(int argc, const char* const* argv) {
  Options o;
  CLI::App app("Measures a model's speed beside this machine's limits. The table or JSON goes to stdout.", "rwkv-bench");
  const auto value = [&](const char* names, const char* unit, auto& target, const char* text) {
    return app.add_option(names, target, text)->option_text(unit);
  };
  auto* model = value("-m,--model", "FILE", o.model, "A .pth or .safetensors file; the bundled demo model without it");
  value("--synthetic", "NAME", o.synthetic, "Random weights of a published model's shape, made in memory: v7-0.4b")
      ->excludes(model);
  value("--strategy", "TEXT", o.strategy, "Device and number format, \"cpu fp16\" (docs/strategy.md)")->capture_default_str();
  value("-t,--threads", "N", o.threads, "CPU threads; 0: one per core")->check(CLI::Range(0, 4096));
  app.add_flag("--fp16-state", o.fp16_state, "Keep states on CUDA devices in float16: half the memory of a sequence");
  auto* decode = value("--decode", "N", o.decode, "Tokens of a decode sample; 0: none");
  decode->check(CLI::Range(std::int64_t{0}, kMostTokens))->capture_default_str();
  std::vector<std::string> prefill_texts;
  auto* prefill = value("--prefill", "N,BxN", prefill_texts, "Lengths of prompts, or B prompts together; 0: none [64,256,512]");
  prefill->delimiter(',');
  auto* batch = value("--batch", "N,N", o.batch, "Sequences that decode together; 0: none [1,4,16]");
  batch->check(CLI::Range(std::int64_t{0}, kMostSequences))->delimiter(',');
  auto* repeat = value("--repeat", "N", o.repeat, "Samples of which medians are taken");
  repeat->check(CLI::Range(1, 10'000))->capture_default_str();
  value("--long", "N", o.long_tokens, "Instead: time and memory along N tokens, beside a transformer's")
      ->check(CLI::Range(std::int64_t{1}, kMostTokens))
      ->excludes(decode)
      ->excludes(prefill)
      ->excludes(batch)
      ->excludes(repeat);
  app.add_flag("--json", o.json, "Print one JSON object instead of the table");
  value("--plot", "FILE.png", o.plot, "Draw it, too; needs python3 with matplotlib");
  if (!cli::parse_command_line(app, argc, argv)) return {};
  if (o.synthetic) check_synthetic(*o.synthetic);
  if (!prefill_texts.empty()) o.prefill.clear();
  std::ranges::transform(prefill_texts, std::back_inserter(o.prefill), parse_prompts);
  std::erase_if(o.prefill, [](const Prompts& p) { return p.sequences * p.tokens == 0; });
  std::erase(o.batch, 0);
  return o;
}

}  // namespace rwkv::bench
