// SPDX-License-Identifier: Apache-2.0
// Named tensors of a checkpoint to typed weights on a device. With memory that only counts it checks that all are there, and
// weights have sizes but no values: the same code that loads a block says what a block needs.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "fnv1a.h"
#include "kernels/tensor.h"
#include "plan/plan.h"
#include "weights/quantize.h"
#include "weights/staging.h"
#include "weights/weight_memory.h"

namespace rwkv {

// A size that the tensor decides: the rank of a low-rank matrix.
constexpr std::int64_t kAnySize = -1;

// What loading a whole model gathers.
struct LoadLog {
  std::set<std::string, std::less<>> used;  // names of tensors
  std::vector<std::string> problems;        // "missing blocks.0.ln0.weight, expected [64]"
  std::int64_t weight_bytes = 0;
  std::atomic<std::int64_t> bytes_read = 0;
  std::uint64_t fingerprint = kFnv1aStart;  // FNV-1a of all vectors: the same for every type of weights
  Staging staging;
  std::function<void(std::int64_t bytes_read)> progress;  // called by the loading thread only; may throw
};

class WeightLoader {
 public:
  // Loads on all threads of the memory's device.
  WeightLoader(const Checkpoint& file, LoadLog& log, const Placement& placement, WeightMemory& memory)
      : file_(file), log_(log), device_(memory.device()), placement_(placement), memory_(memory) {}

  // Prepended to every name: "blocks.3.".
  void set_prefix(std::string prefix) { prefix_ = std::move(prefix); }

  // Without the dimensions of size 1; empty: no such tensor.
  [[nodiscard]] std::vector<std::int64_t> shape(std::string_view name) const;
  [[nodiscard]] bool has(std::string_view name) const { return file_.find(prefix_ + std::string(name)) != nullptr; }

  // float32 on the device, row-major; dimensions of size 1 do not count. `change` is applied to every value.
  const float* vector(std::string_view name, const std::vector<std::int64_t>& shape, float (*change)(float) = nullptr);
  // The same on the host; zeros when checking.
  std::vector<float> host_vector(std::string_view name, const std::vector<std::int64_t>& shape);
  // Uploads values that were made on the host.
  const float* upload(std::span<const float> values);

  // [n_out, n_in] as stored, in the placement's type.
  Matrix matrix(std::string_view name, std::int64_t n_out, std::int64_t n_in);
  // The same, transposed for inputs with many zeros.
  Matrix input_major(std::string_view name, std::int64_t n_out, std::int64_t n_in);
  // The same, never quantised.
  Matrix table(std::string_view name, std::int64_t n_row, std::int64_t n_col);
  // Stored [n_in, n_out] (times x from the right), or [parts, n_in, n_out]: transposed, never quantised.
  Matrix low_rank(std::string_view name, std::int64_t n_in, std::int64_t n_out, std::int64_t part = 0, std::int64_t parts = 1);

 private:
  enum class Layout { output_major, input_major };
  // Writes rows [first, first + n) of a matrix in its type to `out`, in host memory. Called by several threads.
  using FillRows = std::function<void(std::int64_t first, std::int64_t n, std::byte* out)>;

  const TensorInfo* expect(std::string_view name, const std::vector<std::int64_t>& shape);
  void use_parts_of(const TensorInfo& tensor);
  void report() const;
  void each_part(std::int64_t n, std::int64_t at_once, const PartTask& task);
  std::vector<float> read_floats(const TensorInfo& tensor);
  void read_as(DType type, const TensorInfo& tensor, std::int64_t first, std::int64_t n, std::byte* out);
  void convert(const TensorInfo& tensor, DType from, const void* in, DType to, void* out, std::int64_t n) const;
  std::byte* allocate(std::int64_t bytes);
  Matrix allocate_matrix(DType type, std::int64_t n_out, std::int64_t n_in, Layout layout);
  void store(const Matrix& matrix, std::int64_t first, std::int64_t n, const std::byte* rows);
  Matrix load_rows(DType type, std::int64_t n_out, std::int64_t n_in, Layout layout, const FillRows& fill);
  Matrix load_quantized(const TensorInfo& tensor, std::int64_t n_out, std::int64_t n_in, Layout layout);
  Matrix load_i4(const TensorInfo& tensor, std::int64_t n_out, std::int64_t n_in, Layout layout);
  Matrix load_matrix(std::string_view name, std::int64_t n_out, std::int64_t n_in, Layout layout);
  Matrix load_table(std::string_view name, std::int64_t n_row, std::int64_t n_col, Layout layout);
  FillRows rows_of(const TensorInfo& tensor, std::int64_t n_in, DType type);
  FillRows rows_of_i8(const TensorInfo& tensor, std::int64_t n_in, DType type);
  FillRows rows_of_i4(const TensorInfo& tensor, std::int64_t n_in, DType type);
  void read_i4(const TensorInfo& tensor, std::int64_t first, std::int64_t n, std::uint8_t* q, std::uint16_t* scale);
  QuantizedVectors quantized_vectors(const std::string& name, std::int64_t n_out, std::int64_t n_in);
  const float* upload_rounded(std::vector<float> values);

  const Checkpoint& file_;
  LoadLog& log_;
  Device* device_;  // null: checks only
  Placement placement_;
  WeightMemory& memory_;
  std::string prefix_;
};

// How a tensor of a file is quantised: what rwkv-convert stores beside it tells.
[[nodiscard]] Quantization quantization_of(const Checkpoint& file, const TensorInfo& tensor);

// Throws CheckpointError with the first ten problems of `log`, if it has any.
void require_complete(const Checkpoint& file, const LoadLog& log);

}  // namespace rwkv
