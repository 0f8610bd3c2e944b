// SPDX-License-Identifier: Apache-2.0
// Memory of opening: bounded by the file, whatever the file says; and every failing allocation is survived.
#include "allocations.h"

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <new>

#include "checkpoint_bytes.h"
#include "message.h"

namespace rwkv::test {
namespace {

thread_local bool counting = false;
thread_local std::size_t allocated = 0, alive = 0, most_alive = 0, failing = 0;

void* allocate(std::size_t size) {
  if (counting && ++allocated == failing) throw std::bad_alloc();
  void* const p = std::malloc(std::max<std::size_t>(size, 1));
  if (!p) throw std::bad_alloc();
  if (counting) most_alive = std::max(most_alive, alive += malloc_usable_size(p));
  return p;
}

void release(void* p) noexcept {
  if (counting && p) alive -= std::min(alive, malloc_usable_size(p));
  std::free(p);
}

}  // namespace

Allocations::Allocations(std::size_t fail_at) {
  allocated = alive = most_alive = 0;
  failing = fail_at;
  counting = true;
}
Allocations::~Allocations() { counting = false; }
std::size_t Allocations::count() const { return allocated; }
std::size_t Allocations::peak() const { return most_alive; }

}  // namespace rwkv::test

void* operator new(std::size_t size) { return rwkv::test::allocate(size); }
void* operator new[](std::size_t size) { return rwkv::test::allocate(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept try {
  return rwkv::test::allocate(size);
} catch (const std::bad_alloc&) {
  return nullptr;
}
void operator delete(void* p) noexcept { rwkv::test::release(p); }
void operator delete[](void* p) noexcept { rwkv::test::release(p); }
void operator delete(void* p, std::size_t) noexcept { rwkv::test::release(p); }
void operator delete[](void* p, std::size_t) noexcept { rwkv::test::release(p); }

namespace rwkv::test {
namespace {

TEST(Allocations, EveryFailingAllocationOfOpeningIsReported) {
  for (const auto& file : valid_files()) {
    const std::string bytes = malformed(file);
    std::size_t k = 1;
    for (bool failed = true; failed; ++k) {
      auto source = source_of(bytes);
      const std::string path = "memory";
      failed = false;
      const Allocations allocations(k);
      try {
        (void)open_source(path, std::move(source));
      } catch (const OutOfMemoryError&) {
        failed = true;
      }
    }
    EXPECT_GT(k, 10u) << file;
  }
}

TEST(Allocations, OpeningTakesLittleMoreThanTheHeader) {
  std::string header = "{";
  constexpr int kTensors = 20000;
  for (int i = 0; i < kTensors; ++i)
    header += message(i ? "," : "", "\"blocks.", i, ".att.key.weight\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[", i,
                      ",", i + 1, "]}");
  auto source = source_of(safetensors_bytes(header + "}", std::string(kTensors, 'x')));
  const Allocations allocations;
  EXPECT_EQ(open_source("memory", std::move(source))->tensors().size(), kTensors);
  EXPECT_LT(allocations.peak(), 8 * header.size());
}

// A number in the file is no reason to allocate: the bytes must be there.
TEST(Allocations, HostileFilesAllocateLessThanOneMebibyte) {
  std::size_t files = 0;
  for (const auto& file : std::filesystem::directory_iterator(data("malformed"))) {
    auto source = source_of(read_file(file.path()));
    const Allocations allocations;
    try {
      (void)open_source("memory", std::move(source));
    } catch (const CheckpointError&) {
    }
    EXPECT_LT(allocations.peak(), std::size_t(1) << 20) << file.path();
    ++files;
  }
  EXPECT_GT(files, 200u);
}

}  // namespace
}  // namespace rwkv::test
