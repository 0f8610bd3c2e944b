// SPDX-License-Identifier: Apache-2.0
#include "bench/machine.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "message.h"

namespace rwkv::bench {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kKiB = 1024, kMiB = kKiB * kKiB, kGiB = kMiB * kKiB;

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// A field of a file with lines of the form "name : value".
std::string field(const char* path, std::string_view name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(':');
    if (!line.starts_with(name) || colon == std::string::npos) continue;
    const auto start = line.find_first_not_of(" \t", colon + 1);
    return start == std::string::npos ? "" : line.substr(start);
  }
  return {};
}

// Of "32768 kB" in /proc/meminfo.
std::int64_t memory_field(std::string_view name) {
  const std::string text = field("/proc/meminfo", name);
  return text.empty() ? 0 : std::strtoll(text.c_str(), nullptr, 10) * kKiB;
}

}  // namespace

int usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::int64_t last_level_cache_bytes() {
  int last_level = 0;
  std::map<std::string, std::int64_t> caches;  // of that level, by the list of the CPUs that share it
  std::error_code ignored;
  for (const auto& cpu : fs::directory_iterator("/sys/devices/system/cpu", ignored)) {
    for (const auto& index : fs::directory_iterator(cpu.path() / "cache", ignored)) {
      const int level = std::atoi(first_line(index.path() / "level").c_str());
      const std::int64_t kib = std::atoll(first_line(index.path() / "size").c_str());  // "32768K"
      if (level < last_level || kib <= 0) continue;
      if (level > last_level) caches.clear();
      last_level = level;
      caches[first_line(index.path() / "shared_cpu_list")] = kib * kKiB;
    }
  }
  std::int64_t bytes = 0;
  for (const auto& [cpus, size] : caches) bytes += size;
  return bytes > 0 ? bytes : std::max<std::int64_t>(0, sysconf(_SC_LEVEL3_CACHE_SIZE));
}

std::int64_t available_bytes() {
  const std::int64_t machine = memory_field("MemAvailable");
  std::ifstream limit("/sys/fs/cgroup/memory.max"), used("/sys/fs/cgroup/memory.current");  // of a container
  std::int64_t most = 0, now = 0;
  return limit >> most && used >> now ? std::min(machine, std::max<std::int64_t>(0, most - now)) : machine;
}

std::int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

std::string machine_text() {
  std::string cpu = field("/proc/cpuinfo", "model name");
  if (cpu.empty()) cpu = "unknown CPU";
  const int cores = usable_cores();
  std::string text = message(printable(cpu), ", ", cores, cores == 1 ? " core" : " cores");
  if (const std::int64_t cache = last_level_cache_bytes(); cache > 0)
    text += message(", ", cache / kMiB, " MiB last-level cache");
  return text + message(", ", (memory_field("MemTotal") + kGiB / 2) / kGiB, " GiB");
}

}  // namespace rwkv::bench
