// SPDX-License-Identifier: Apache-2.0
// Products of more than 64 rows of x by tensor cores: cuBLASLt's, or ours (gemm.cu).
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "kernels/cuda/cublas.h"
#include "kernels/cuda/product.h"

namespace rwkv::cuda {

// Those of a group, which do not depend on each other.
class ManyRows {
 public:
  // Bytes of W that are widened at a time: most second-level caches that are worth it have as much room.
  static constexpr std::size_t kMostWidened = std::size_t{32} << 20;

  // cublas: null for our own kernels only. It and the stream have to be there until the launch.
  ManyRows(cudaStream_t stream, Cublas* cublas, std::size_t most_widened = kMostWidened)
      : stream_(stream), cublas_(cublas), most_widened_(most_widened) {}

  void add(const MatMul& op);

  [[nodiscard]] bool uses_cublas() const;
  [[nodiscard]] std::size_t bytes() const;
  // scratch: of bytes(), aligned to 256. Returns what cuBLASLt refused: its results are still to be made.
  [[nodiscard]] std::vector<const MatMul*> launch(std::byte* scratch) const;

 private:
  // One product, in slices of the result's columns so that each slice's W can be widened at once.
  struct Many {
    const MatMul* op;
    Product product;                                       // without scratch and sums
    int slice;                                             // columns
    int kept_sums;                                         // [n_row, n_out] each, beside out
    std::vector<std::shared_ptr<const CublasPlan>> plans;  // of each slice; empty: gemm.cu multiplies
  };
  struct Slice {
    Product product;  // its W as it is stored
    const CublasPlan* plan;
    std::size_t of;  // number of the product
  };

  [[nodiscard]] static std::size_t sums_bytes(const Many& many);
  [[nodiscard]] std::size_t widened_bytes() const;
  [[nodiscard]] std::size_t workspace_bytes() const;
  void launch_type(DType type, std::span<const Many* const> group, std::byte*& scratch, std::span<std::byte> widened,
                   void* workspace, std::vector<const MatMul*>& refused) const;
  [[nodiscard]] std::size_t multiply_first(std::span<const Slice> slices, std::span<std::byte> widened, void* workspace,
                                           std::vector<bool>& refused) const;

  cudaStream_t stream_;
  Cublas* cublas_;
  std::size_t most_widened_;
  std::vector<Many> group_;
};

}  // namespace rwkv::cuda
