// SPDX-License-Identifier: Apache-2.0
// The functions of cuBLASLt that are used, as a table: filled from the library when it is first wanted, or by a test. Declared
// here, so that building needs no cuBLAS; numbers and layouts are those of cublasLt.h.
#pragma once
#include <cuda_runtime_api.h>
#include <library_types.h>

#include <cstddef>
#include <cstdint>

namespace rwkv::cuda {

struct CublasLt {
  enum class Status : int {
    success = 0,
    not_initialized = 1,
    alloc_failed = 3,
    invalid_value = 7,
    arch_mismatch = 8,
    execution_failed = 13,
    internal_error = 14,
    not_supported = 15
  };
  enum class ComputeType : int { f32 = 68 };
  enum class DescAttribute : int { transpose_a = 3, transpose_b = 4, epilogue = 7, bias_pointer = 8 };
  enum class Transpose : int { no = 0, yes = 1 };
  enum class Epilogue : int { none = 1, relu = 2, bias = 4, relu_bias = 6 };
  enum class LayoutAttribute : int { batch_count = 5, batch_stride = 6 };  // int32_t, int64_t (numbers)
  enum class PreferenceAttribute : int {
    max_workspace_bytes = 1,  // size_t
    min_alignment_a = 5,      // uint32_t (bytes), 256 unless it is set
    min_alignment_b = 6,
    min_alignment_c = 7,
    min_alignment_d = 8
  };

  using Handle = void*;
  using Desc = void*;
  using Layout = void*;
  using Preference = void*;
  struct Algorithm {
    std::uint64_t data[8];
  };
  struct Heuristic {
    Algorithm algorithm;
    std::size_t workspace_bytes;
    Status status;
    float waves;
    int reserved[4];
  };

  Status (*create)(Handle*);
  Status (*destroy)(Handle);
  Status (*desc_create)(Desc*, ComputeType, cudaDataType_t scale_type);
  Status (*desc_destroy)(Desc);
  Status (*desc_set)(Desc, DescAttribute, const void* value, std::size_t bytes);
  Status (*layout_create)(Layout*, cudaDataType_t, std::uint64_t n_row, std::uint64_t n_col, std::int64_t leading_dimension);
  Status (*layout_destroy)(Layout);
  Status (*layout_set)(Layout, LayoutAttribute, const void* value, std::size_t bytes);
  Status (*preference_create)(Preference*);
  Status (*preference_destroy)(Preference);
  Status (*preference_set)(Preference, PreferenceAttribute, const void* value, std::size_t bytes);
  Status (*heuristic)(Handle, Desc, Layout a, Layout b, Layout c, Layout d, Preference, int n_wanted, Heuristic*, int* n_found);
  // d = alpha op(a) op(b) + beta c, all column-major; alpha and beta on the host.
  Status (*matmul)(Handle, Desc, const void* alpha, const void* a, Layout, const void* b, Layout, const void* beta,
                   const void* c, Layout, void* d, Layout, const Algorithm*, void* workspace, std::size_t workspace_bytes,
                   cudaStream_t);
};

}  // namespace rwkv::cuda
