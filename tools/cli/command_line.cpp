// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.h"

#include "cli/exit_codes.h"
#include "cli/suggest.h"
#include "message.h"

namespace rwkv::cli {
namespace {

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const auto& name : option->get_snames()) names.push_back("-" + name);
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::string unexpected(const CLI::App& app, const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  if (!name.starts_with('-')) return message("unexpected argument \"", printable(name), "\"");
  const std::string meant = nearest(name, option_names(app));
  return message("unknown option ", printable(name), meant.empty() ? "" : "; did you mean " + meant + "?");
}

}  // namespace

bool parse_command_line(CLI::App& app, int argc, const char* const* argv) {
  app.set_help_flag("-h,--help", "Print this list and exit");
  app.set_version_flag("--version", std::string(RWKV_VERSION), "Print the version and exit");
  app.get_formatter()->column_width(36);
  try {
    app.parse(argc, argv);
    return true;
  } catch (const CLI::Success& wanted) {  // --help, --version
    app.exit(wanted);
    return false;
  } catch (const CLI::ExtrasError& e) {
    const auto words = app.remaining();
    throw UsageError(words.empty() ? e.what() : unexpected(app, words.front()));
  } catch (const CLI::ParseError& e) {
    throw UsageError(e.what());
  }
}

}  // namespace rwkv::cli
