// SPDX-License-Identifier: Apache-2.0
// Loading on several threads: every pair of types against the plain conversion, and what happens when it fails.
#include "weights/weight_loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <random>
#include <thread>

#include "checkpoint/file_checkpoint.h"
#include "kernels/cpu/device.h"
#include "kernels/half.h"

namespace rwkv::test {
namespace {

// The CPU, also as if its memory were elsewhere; counts its memory.
class WatchedDevice final : public Device {
 public:
  explicit WatchedDevice(bool host = true) : host_(host) {}
  ~WatchedDevice() override { EXPECT_EQ(held, 0); }
  [[nodiscard]] std::string name() const override { return cpu_.name(); }
  [[nodiscard]] const KernelTable& kernels() const override { return cpu_.kernels(); }
  [[nodiscard]] bool is_host() const noexcept override { return host_; }
  [[nodiscard]] int ordinal() const noexcept override { return 0; }
  [[nodiscard]] std::int64_t available_memory() const override { return cpu_.available_memory(); }
  [[nodiscard]] void* allocate(std::size_t bytes) override {
    held += static_cast<std::int64_t>(bytes);
    return cpu_.allocate(bytes);
  }
  void release(void* memory, std::size_t bytes) noexcept override {
    held -= static_cast<std::int64_t>(bytes);
    cpu_.release(memory, bytes);
  }
  void upload(void* device, const void* host, std::size_t bytes) override { cpu_.upload(device, host, bytes); }
  void upload_rows(void* device, std::size_t stride, const void* host, std::size_t row_bytes, std::size_t n_row) override {
    cpu_.upload_rows(device, stride, host, row_bytes, n_row);
  }
  void download(void* host, const void* device, std::size_t bytes) override { cpu_.download(host, device, bytes); }
  void copy(void* to, const void* from, std::size_t bytes) override { cpu_.copy(to, from, bytes); }
  void receive(void* to, Device& other, const void* from, std::size_t bytes) override { cpu_.receive(to, other, from, bytes); }
  void synchronize() override {}
  [[nodiscard]] std::unique_ptr<CopyQueue> copy_queue() override { return nullptr; }
  void reserve_scratch(std::size_t) override {}
  void parallel_for(std::int64_t n, const std::function<void(std::int64_t)>& task) override { cpu_.parallel_for(n, task); }

  std::int64_t held = 0;  // bytes

 private:
  cpu::CpuDevice cpu_{4};
  bool host_;
};

float element(FileType type, const std::byte* in) {
  double d = 0;
  float f = 0;
  std::uint16_t h = 0;
  std::memcpy(type == FileType::f64   ? static_cast<void*>(&d)
              : type == FileType::f32 ? static_cast<void*>(&f)
                                      : &h,
              in, static_cast<std::size_t>(bytes_of(type)));
  switch (type) {
    case FileType::f64:
      return static_cast<float>(d);
    case FileType::f32:
      return f;
    case FileType::f16:
      return f16_to_f32(h);
    default:
      return bf16_to_f32(h);
  }
}

std::vector<std::byte> stored_as(FileType type, const std::vector<double>& values) {
  std::vector<std::byte> out;
  const auto append = [&](auto x) {
    const auto bytes = std::as_bytes(std::span(&x, 1));
    out.insert(out.end(), bytes.begin(), bytes.end());
  };
  for (const double x : values) {
    if (type == FileType::f64) append(x);
    if (type == FileType::f32) append(static_cast<float>(x));
    if (type == FileType::f16) append(f32_to_f16(static_cast<float>(x)));
    if (type == FileType::bf16) append(f32_to_bf16(static_cast<float>(x)));
  }
  return out;
}

struct File {
  std::vector<std::byte> bytes;
  std::unique_ptr<Checkpoint> checkpoint;
};

// A checkpoint of one tensor "w" of random numbers.
File file_of(FileType type, std::vector<std::int64_t> shape, std::vector<std::int64_t> stride = {}) {
  std::int64_t count = 1;
  for (std::size_t i = 0; i < shape.size(); ++i)
    count = stride.empty() ? count * shape[i] : std::max(count, shape[i] * stride[i]);
  std::mt19937 rng(3);
  std::normal_distribution<double> normal(0, 0.1);
  std::vector<double> values(count);
  for (double& x : values) x = normal(rng);
  File file{stored_as(type, values), nullptr};
  Inventory inventory{"test", {{{"w", type, std::move(shape)}, 0, std::move(stride)}}, {}};
  file.checkpoint = std::make_unique<FileCheckpoint>("file", std::make_unique<MemorySource>(file.bytes), std::move(inventory));
  return file;
}

Placement placement(DType type) {
  Placement p{};
  p.type = type;
  return p;
}

// What one element becomes in the weight's type, as bits.
std::uint32_t plain(FileType from, DType to, const std::byte* in) {
  const float x = element(from, in);
  if (to == DType::f32) return std::bit_cast<std::uint32_t>(x);
  return to == DType::f16 ? f32_to_f16(x) : f32_to_bf16(x);
}

// place(m, n): the element of the file that belongs at [m, n].
template <class Place>
void expect_plain(const Matrix& found, const File& file, const Place& place) {
  const FileType from = file.checkpoint->tensors()[0].type;
  const std::int64_t size = bytes_of(found.type);
  for (std::int64_t i = 0; i < found.n_out * found.n_in; ++i) {
    const std::int64_t at = found.input_major ? place(i % found.n_out, i / found.n_out) : place(i / found.n_in, i % found.n_in);
    std::uint32_t bits = 0;
    std::memcpy(&bits, static_cast<const std::byte*>(found.data) + i * size, static_cast<std::size_t>(size));
    ASSERT_EQ(bits, plain(from, found.type, &file.bytes[at * bytes_of(from)]))
        << name_of(from) << " to " << name_of(found.type) << " [" << found.n_out << ", " << found.n_in << "] " << i;
  }
}

constexpr FileType kStored[] = {FileType::f64, FileType::f32, FileType::f16, FileType::bf16};
constexpr DType kWeights[] = {DType::f32, DType::f16, DType::bf16};

constexpr std::size_t kEnough = std::size_t{64} << 20;

template <class Visit>
void for_all_types(const Visit& visit) {
  for (const bool host : {true, false}) {
    for (const FileType from : kStored) {
      for (const DType to : kWeights) visit(host, from, to);
    }
  }
}

// From one element to several parts of both sizes.
TEST(WeightLoader, MatricesEqualThePlainConversionForAllTypes) {
  for (const auto& [n_out, n_in] : {std::pair(1, 1), std::pair(37, 53), std::pair(611, 333), std::pair(1801, 1203)}) {
    for_all_types([n_out = n_out, n_in = n_in](bool host, FileType from, DType to) {
      const File file = file_of(from, {n_out, n_in});
      WatchedDevice device(host);
      const Buffer buffer(device, kEnough);
      WeightMemory memory(device, buffer);
      LoadLog log;
      WeightLoader load(*file.checkpoint, log, placement(to), memory);
      for (const bool input_major : {false, true}) {
        log.bytes_read = log.weight_bytes = 0;
        const Matrix w = input_major ? load.input_major("w", n_out, n_in) : load.matrix("w", n_out, n_in);
        EXPECT_EQ(w.input_major, input_major);
        ASSERT_NO_FATAL_FAILURE(expect_plain(w, file, [n_in](std::int64_t m, std::int64_t n) { return m * n_in + n; }));
        EXPECT_EQ(log.bytes_read, std::ssize(file.bytes));
        EXPECT_EQ(log.weight_bytes, n_out * n_in * bytes_of(to));
      }
    });
  }
}

TEST(WeightLoader, QuantisedMatricesHaveTheSameNumbersInBothLayouts) {
  const File file = file_of(FileType::f32, {611, 333});
  WatchedDevice device;
  const Buffer buffer(device, kEnough);
  WeightMemory memory(device, buffer);
  LoadLog log;
  Placement placement;
  placement.quantization = Quantization::i8;
  WeightLoader load(*file.checkpoint, log, placement, memory);
  const Matrix a = load.matrix("w", 611, 333), b = load.input_major("w", 611, 333);
  const auto *const q = static_cast<const std::uint8_t*>(a.data), *const t = static_cast<const std::uint8_t*>(b.data);
  for (std::int64_t m = 0; m < 611; ++m) {
    for (std::int64_t n = 0; n < 333; ++n) ASSERT_EQ(q[m * 333 + n], t[n * 611 + m]);
    ASSERT_EQ(a.mx[m], b.mx[m]);
    ASSERT_EQ(a.rx[m], b.rx[m]);
  }
}

TEST(WeightLoader, StridedViewsEqualThePlainConversionForAllTypes) {
  for_all_types([](bool host, FileType from, DType to) {
    const File file = file_of(from, {401, 303}, {1, 411});  // column-major with gaps
    WatchedDevice device(host);
    const Buffer buffer(device, kEnough);
    WeightMemory memory(device, buffer);
    LoadLog log;
    const Matrix w = WeightLoader(*file.checkpoint, log, placement(to), memory).matrix("w", 401, 303);
    ASSERT_NO_FATAL_FAILURE(expect_plain(w, file, [](std::int64_t m, std::int64_t n) { return m + 411 * n; }));
  });
}

TEST(WeightLoader, LowRankMatricesAreTheTransposedPlainConversion) {
  for_all_types([](bool host, FileType from, DType to) {
    for (const auto& [n_in, n_out] : {std::pair(1, 1), std::pair(33, 64), std::pair(701, 97), std::pair(90, 1805)}) {
      const File file = file_of(from, {3, n_in, n_out});
      WatchedDevice device(host);
      const Buffer buffer(device, kEnough);
      WeightMemory memory(device, buffer);
      LoadLog log;
      WeightLoader load(*file.checkpoint, log, placement(to), memory);
      for (std::int64_t part = 0; part < 3; ++part) {
        const Matrix w = load.low_rank("w", n_in, n_out, part, 3);
        ASSERT_EQ(w.n_out, n_out);
        ASSERT_NO_FATAL_FAILURE(expect_plain(
            w, file, [&, rows = n_in, cols = n_out](std::int64_t m, std::int64_t n) { return (part * rows + n) * cols + m; }));
      }
    }
  });
}

// A checkpoint whose reads fail from some element on, with the number of the first element that was asked for.
class FailingCheckpoint final : public Checkpoint {
 public:
  explicit FailingCheckpoint(std::int64_t from) : from_(from) { tensors_ = {{"w", FileType::f16, {4096, 4096}}}; }
  void read(const TensorInfo&, std::int64_t first, std::span<float>) const override { fail(first); }
  void read_bytes(const TensorInfo&, std::int64_t first, std::span<std::uint8_t>) const override { fail(first); }
  void read_stored(const TensorInfo&, std::int64_t first, std::span<std::byte>) const override {
    if (first == from_) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // parts behind it fail before
    if (first >= from_) fail(first);
  }

 private:
  [[noreturn]] static void fail(std::int64_t first) { throw FileError(std::to_string(first), 5); }
  std::int64_t from_;
};

TEST(WeightLoader, TheErrorIsTheFirstPartsWhateverTheThreadsDo) {
  for (int round = 0; round < 20; ++round) {
    const FailingCheckpoint file(5 << 20);
    WatchedDevice device;
    const Buffer buffer(device, kEnough);
    WeightMemory memory(device, buffer);
    LoadLog log;
    try {
      WeightLoader(file, log, placement(DType::f16), memory).matrix("w", 4096, 4096);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const FileError& error) {
      ASSERT_EQ(error.what(), std::to_string(5 << 20));
    }
  }
}

TEST(WeightLoader, ProgressIsCalledByTheLoadingThreadAndGrows) {
  const File file = file_of(FileType::bf16, {4096, 2048});
  WatchedDevice device;
  const Buffer buffer(device, kEnough);
  WeightMemory memory(device, buffer);
  LoadLog log;
  std::int64_t last = 0, calls = 0;
  log.progress = [&, caller = std::this_thread::get_id()](std::int64_t done) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    EXPECT_GE(done, last);
    last = done;
    ++calls;
  };
  WeightLoader load(*file.checkpoint, log, placement(DType::f32), memory);
  load.matrix("w", 4096, 2048);
  EXPECT_EQ(last, 4096 * 2048 * 2);
  EXPECT_GT(calls, 1);

  log.progress = [](std::int64_t) { throw std::runtime_error("enough"); };
  EXPECT_THROW(load.matrix("w", 4096, 2048), std::runtime_error);
}

// All ways to load "w" of [64, 96] and [96], in order.
std::vector<Matrix> load_all(WeightLoader& load, const File& vector_file, LoadLog& log, WeightMemory& memory, Placement p) {
  const std::vector<Matrix> all = {load.matrix("w", 64, 96), load.input_major("w", 64, 96), load.table("w", 64, 96),
                                   load.low_rank("w", 64, 96)};
  WeightLoader(*vector_file.checkpoint, log, p, memory).vector("w", {97});
  return all;
}

TEST(WeightLoader, CountingTakesAsManyBytesAsLoadingAndGivesTheSameSizes) {
  const File file = file_of(FileType::f32, {64, 96}), vector_file = file_of(FileType::f32, {97});
  for (const DType type : kWeights) {
    for (const Quantization quantization : {Quantization::none, Quantization::i8, Quantization::i4}) {
      Placement p = placement(type);
      p.quantization = quantization;
      WatchedDevice device;
      const Buffer buffer(device, kEnough);
      WeightMemory counting, loading(device, buffer);
      LoadLog counted, loaded;
      WeightLoader count(*file.checkpoint, counted, p, counting), load(*file.checkpoint, loaded, p, loading);
      const auto expected = load_all(count, vector_file, counted, counting, p);
      const auto found = load_all(load, vector_file, loaded, loading, p);
      EXPECT_EQ(counting.used(), loading.used());
      EXPECT_GE(counting.used(), static_cast<std::size_t>(counted.weight_bytes));
      EXPECT_EQ(counted.weight_bytes, loaded.weight_bytes);
      for (std::size_t i = 0; i < found.size(); ++i) {
        EXPECT_EQ(expected[i].type, found[i].type);
        EXPECT_EQ(expected[i].n_out, found[i].n_out);
        EXPECT_EQ(expected[i].n_in, found[i].n_in);
        EXPECT_EQ(expected[i].input_major, found[i].input_major);
      }
    }
  }
}

TEST(WeightLoader, AnImageHoldsTheSameBytesAsTheDevice) {
  const File file = file_of(FileType::f32, {64, 96}), vector_file = file_of(FileType::f32, {97});
  for (const bool host : {true, false}) {
    for (const Quantization quantization : {Quantization::none, Quantization::i8, Quantization::i4}) {
      Placement p = placement(DType::f16);
      p.quantization = quantization;
      WatchedDevice device(host);
      const Buffer there(device, 1 << 20), untouched(device, 1 << 20);
      std::memset(there.data(), 7, there.bytes());
      std::memset(untouched.data(), 7, untouched.bytes());
      std::vector<std::byte> image(1 << 20, std::byte{7});
      WeightMemory direct(device, there), imaged(device, untouched, image.data());
      for (WeightMemory* const memory : {&direct, &imaged}) {
        LoadLog log;
        WeightLoader load(*file.checkpoint, log, p, *memory);
        const auto all = load_all(load, vector_file, log, *memory, p);
        EXPECT_EQ(all[0].data, memory == &direct ? there.data() : untouched.data());
      }
      EXPECT_EQ(std::memcmp(image.data(), there.data(), image.size()), 0);
      const auto* const first = static_cast<const std::byte*>(untouched.data());
      EXPECT_TRUE(std::all_of(first, first + untouched.bytes(), [](std::byte b) { return b == std::byte{7}; }));
    }
  }
}

TEST(WeightMemory, GivesAlignedPiecesThatDoNotOverlapAndNoMoreThanThereIs) {
  WatchedDevice device;
  const Buffer buffer(device, kEnough);
  WeightMemory memory(device, buffer);
  std::uintptr_t end = reinterpret_cast<std::uintptr_t>(buffer.data());
  std::mt19937 rng(4);
  for (int i = 0; i < 300; ++i) {
    const std::size_t bytes = 1 + rng() % (1 << 17);
    const auto at = reinterpret_cast<std::uintptr_t>(memory.take(bytes));
    EXPECT_EQ(at % 64, 0u);
    EXPECT_GE(at, end);
    end = at + bytes;
  }
  EXPECT_LE(end, reinterpret_cast<std::uintptr_t>(buffer.data()) + buffer.bytes());
  EXPECT_THROW(static_cast<void>(memory.take(kEnough)), std::logic_error);
}

}  // namespace
}  // namespace rwkv::test
