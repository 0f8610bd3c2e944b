// SPDX-License-Identifier: Apache-2.0
// rwkv-generate: text from a prompt, a conversation, or a model file's description. Manual: docs/cli.md.
#include "cli/chat.h"
#include "cli/exit_codes.h"
#include "cli/generate.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "devices.h"

namespace rwkv::cli {
namespace {

ExitCode run_info(const Options& options) {
  const auto path = model_path(options);
  const CheckpointInfo info = inspect(path);
  Output output(Output::Filter::automatic);
  output.write(options.json ? info_json(path, info) : info_table(path, info));
  return kDone;
}

ExitCode run_list_devices() {
  Output output(Output::Filter::automatic);
  for (const std::string& line : list_devices()) output.write(line + "\n");
  return kDone;
}

ExitCode run(const Options& options) {
  if (options.list_devices) return run_list_devices();
  if (options.info) return run_info(options);
  note_interrupts();
  return options.chat ? run_chat(options) : run_generate(options);
}

}  // namespace
}  // namespace rwkv::cli

int main(int argc, char** argv) {
  using namespace rwkv::cli;
  try {
    const auto options = parse_options(argc, argv);
    return options ? run(*options) : kDone;
  } catch (...) {
    return report_exception("rwkv-generate");
  }
}
