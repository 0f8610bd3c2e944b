// SPDX-License-Identifier: Apache-2.0
// cuBLASLt where there is one: opened when it is first wanted, never linked. How it multiplies a shape is chosen once.
#pragma once
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "kernels/cuda/cublas_api.h"
#include "kernels/tensor.h"

namespace rwkv::cuda {

// The first of these libraries that the dynamic linker finds and that has every function.
[[nodiscard]] std::optional<CublasLt> open_cublas(std::span<const char* const> names);
// NVIDIA's, that of this runtime's major version first. It stays open until the process ends.
[[nodiscard]] std::optional<CublasLt> open_cublas();

// out [n_row, out_stride] = x W^T, n_out numbers of each row, or out += x W^T: x [n_row, x_stride] and W of the same type, f16
// or bf16, out and sums float32. All begin at multiples of 16 bytes, and so do rows of W and x.
struct CublasShape {
  DType type;
  bool input_major;
  int n_row, n_in, n_out, x_stride, out_stride;
  auto operator<=>(const CublasShape&) const = default;
};

// How a shape is multiplied. Threads may share it.
class CublasPlan {
 public:
  ~CublasPlan();
  CublasPlan(const CublasPlan&) = delete;
  CublasPlan& operator=(const CublasPlan&) = delete;
  [[nodiscard]] std::size_t workspace_bytes() const noexcept { return workspace_bytes_; }

 private:
  friend class Cublas;
  explicit CublasPlan(const CublasLt& api) : api_(api) {}
  [[nodiscard]] bool choose(CublasLt::Handle handle, const CublasShape& shape);  // whether the library can

  const CublasLt& api_;
  CublasLt::Desc desc_ = nullptr;
  CublasLt::Layout w_ = nullptr, x_ = nullptr, out_ = nullptr;
  CublasLt::Algorithm algorithm_{};
  std::size_t workspace_bytes_ = 0;
};

// Of the device that is current in all its calls. Threads may call at once. Where there is no library, or it does not start,
// there is no plan for anything.
class Cublas {
 public:
  using Open = std::optional<CublasLt> (*)();
  // Products of fewer multiply-adds are not for it: kernels/cuda/many_rows.cu.
  static constexpr std::int64_t kLeastWork = std::int64_t{1} << 28;

  explicit Cublas(Open open = open_cublas, std::int64_t least_work = kLeastWork) : open_(open), least_work_(least_work) {}
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;
  ~Cublas();

  [[nodiscard]] std::int64_t least_work() const noexcept { return least_work_; }

  // Null where the library cannot. The stream is that of the product: while it is captured the library is not opened.
  [[nodiscard]] std::shared_ptr<const CublasPlan> plan(cudaStream_t stream, const CublasShape& shape);

  // workspace: of the plan's size, aligned to 256 bytes. False, and nothing has happened, if the library cannot after all: it
  // is not asked again for the shape. Throws DeviceError.
  [[nodiscard]] bool multiply(cudaStream_t stream, const CublasPlan& plan, const void* w, const void* x, float* out, bool add,
                              void* workspace);

 private:
  static constexpr std::size_t kMostPlans = 512;  // prompts have any length, so there are ever more shapes

  void start(cudaStream_t stream);

  const Open open_;
  const std::int64_t least_work_;
  std::mutex lock_;  // of all below
  bool started_ = false;
  std::optional<CublasLt> api_;
  CublasLt::Handle handle_ = nullptr;  // null: there is none
  std::map<CublasShape, std::shared_ptr<const CublasPlan>> plans_;
};

}  // namespace rwkv::cuda
