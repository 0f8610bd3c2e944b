// SPDX-License-Identifier: Apache-2.0
#include "bench/plot.h"

#include <rwkv/error.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "message.h"

namespace rwkv::bench {
namespace {

namespace fs = std::filesystem;

// Beside the program's installation, which may have been moved, or in the source tree.
fs::path script() {
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  for (const fs::path& place : {(program.parent_path() / RWKV_PLOT_RELATIVE).lexically_normal(), fs::path(RWKV_PLOT_SOURCE)})
    if (fs::is_regular_file(place, ignored)) return place;
  throw Error("--plot: bench_plot.py is not installed");
}

// Runs `python3 script argument` with `input` as its stdin. Its exit status; -1: it could not be run.
int run_script(const fs::path& argument, std::string_view input) {
  const std::string path = script().string(), word = argument.string();
  const char* const command[] = {"python3", path.c_str(), word.c_str(), nullptr};
  int ends[2];
  if (pipe(ends) != 0) throw Error("--plot: no pipe to python3");
  const pid_t child = fork();
  if (child < 0) throw Error("--plot: no process for python3");
  if (child == 0) {
    dup2(ends[0], STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);  // stdout is for the table or the JSON
    close(ends[0]);
    close(ends[1]);
    execvp(command[0], const_cast<char* const*>(command));
    _exit(127);
  }
  close(ends[0]);
  auto* const before = std::signal(SIGPIPE, SIG_IGN);  // a script that has failed reads nothing
  while (!input.empty()) {
    const ssize_t n = write(ends[1], input.data(), input.size());
    if (n <= 0) break;
    input.remove_prefix(static_cast<std::size_t>(n));
  }
  std::signal(SIGPIPE, before);
  close(ends[1]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

void check_plotting() {
  const int status = run_script("--check", {});
  if (status == 127) throw Error("--plot needs python3");
  if (status != 0) throw Error("--plot needs matplotlib: python3 -m pip install matplotlib");
}

void plot(const std::string& json, const fs::path& picture) {
  if (run_script(fs::absolute(picture), json) != 0) throw Error(message(printable(picture.string()), ": could not be drawn"));
}

}  // namespace rwkv::bench
