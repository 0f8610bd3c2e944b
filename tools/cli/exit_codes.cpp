// SPDX-License-Identifier: Apache-2.0
#include "cli/exit_codes.h"

#include <rwkv/error.h>

#include <cstdio>
#include <new>

namespace rwkv::cli {
namespace {

ExitCode say(std::string_view program, const char* what, ExitCode code) noexcept {
  std::fprintf(stderr, "%.*s: %s\n", int(program.size()), program.data(), what);
  return code;
}

ExitCode say_usage(std::string_view program, const char* what) noexcept {
  say(program, what, kUsage);
  std::fprintf(stderr, "%.*s --help lists the options\n", int(program.size()), program.data());
  return kUsage;
}

}  // namespace

ExitCode report_exception(std::string_view program) noexcept {
  try {
    throw;
  } catch (const Interrupted&) {
    return kInterrupted;
  } catch (const OutputClosed&) {
    return kFailed;
  } catch (const UsageError& e) {
    return say_usage(program, e.what());
  } catch (const StrategyError& e) {
    return say(program, e.what(), kUsage);
  } catch (const ArgumentError& e) {
    return say(program, e.what(), kUsage);
  } catch (const FileError& e) {
    return say(program, e.what(), kFile);
  } catch (const CheckpointError& e) {
    return say(program, e.what(), kFile);
  } catch (const TokenizerError& e) {
    return say(program, e.what(), kFile);
  } catch (const StateError& e) {
    return say(program, e.what(), kFile);
  } catch (const OutOfMemoryError& e) {
    return say(program, e.what(), kMemory);
  } catch (const std::bad_alloc&) {
    return say(program, "out of memory", kMemory);
  } catch (const std::exception& e) {
    return say(program, e.what(), kFailed);
  } catch (...) {
    return say(program, "unknown failure", kFailed);
  }
}

}  // namespace rwkv::cli
