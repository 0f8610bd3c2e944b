// SPDX-License-Identifier: Apache-2.0
// A kernel like any other, so that streams, graphs, TSan and the checks of pointers treat it as one.
#include "cuemu/fake_cublas.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/launch.h"

namespace cuemu {
namespace {

using rwkv::cuda::CublasLt;
using Status = CublasLt::Status;

struct Desc {
  CublasLt::Transpose transpose_a = CublasLt::Transpose::no, transpose_b = CublasLt::Transpose::no;
  CublasLt::Epilogue epilogue = CublasLt::Epilogue::none;
  const void* bias = nullptr;
};
struct Layout {
  cudaDataType_t type;
  std::int64_t n_row, n_col, leading_dimension;
  std::int32_t batch_count = 1;
  std::int64_t batch_stride = 0;
};
struct Preference {
  std::size_t max_workspace_bytes = 0;
  std::uint32_t alignment[4] = {256, 256, 256, 256};
};
// What an Algorithm holds.
struct Plan {
  std::uint64_t number;  // 1 for the first of the heuristic, 2 for the second
  std::uint64_t workspace_bytes;
  std::uint32_t alignment[4];
};
static_assert(sizeof(Plan) <= sizeof(CublasLt::Algorithm));
constexpr std::size_t kWorkspace = 1024;  // of plan 1

__device__ float load(const void* p, cudaDataType_t type, std::int64_t i) {
  if (type == CUDA_R_16F) return __half2float(static_cast<const __half*>(p)[i]);
  if (type == CUDA_R_16BF) return __bfloat162float(static_cast<const __nv_bfloat16*>(p)[i]);
  return static_cast<const float*>(p)[i];
}
__device__ void store(void* p, cudaDataType_t type, std::int64_t i, float x) {
  if (type == CUDA_R_16F) {
    static_cast<__half*>(p)[i] = __float2half(x);
  } else if (type == CUDA_R_16BF) {
    static_cast<__nv_bfloat16*>(p)[i] = __float2bfloat16(x);
  } else {
    static_cast<float*>(p)[i] = x;
  }
}

struct Product {
  Desc desc;
  float alpha, beta;
  const void *a, *b, *c;
  void* d;
  Layout la, lb, lc, ld;
  float* workspace;
};

// A thread computes a number of d.
__global__ void multiply(Product p) {
  const std::int64_t at = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x, batch = blockIdx.y;
  if (p.workspace && at == 0) p.workspace[batch % (kWorkspace / 4)] = p.alpha;  // so that TSan sees who else uses it
  if (at >= p.ld.n_row * p.ld.n_col) return;
  const std::int64_t row = at % p.ld.n_row, column = at / p.ld.n_row;
  const bool ta = p.desc.transpose_a == CublasLt::Transpose::yes, tb = p.desc.transpose_b == CublasLt::Transpose::yes;
  const std::int64_t n = ta ? p.la.n_row : p.la.n_col;
  float sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t in_a = ta ? row * p.la.leading_dimension + i : i * p.la.leading_dimension + row;
    const std::int64_t in_b = tb ? i * p.lb.leading_dimension + column : column * p.lb.leading_dimension + i;
    sum += load(p.a, p.la.type, batch * p.la.batch_stride + in_a) * load(p.b, p.lb.type, batch * p.lb.batch_stride + in_b);
  }
  sum *= p.alpha;
  if (p.beta != 0) {
    sum += p.beta * load(p.c, p.lc.type, batch * p.lc.batch_stride + column * p.lc.leading_dimension + row);
  }
  const int epilogue = static_cast<int>(p.desc.epilogue);
  if (epilogue & static_cast<int>(CublasLt::Epilogue::bias)) sum += load(p.desc.bias, p.ld.type, row);
  if (epilogue & static_cast<int>(CublasLt::Epilogue::relu)) sum = fmaxf(sum, 0.0f);
  store(p.d, p.ld.type, batch * p.ld.batch_stride + column * p.ld.leading_dimension + row, sum);
}

template <class T>
Status create(void** p) {
  *p = new T;
  return Status::success;
}
template <class T>
Status destroy(void* p) {
  delete static_cast<T*>(p);
  return Status::success;
}
template <class T>
Status set(T& member, const void* value, std::size_t bytes) {
  if (bytes != sizeof member) return Status::invalid_value;
  std::memcpy(&member, value, bytes);
  return Status::success;
}

Status desc_create(void** p, CublasLt::ComputeType compute, cudaDataType_t scale) {
  if (compute != CublasLt::ComputeType::f32 || scale != CUDA_R_32F) return Status::not_supported;
  return create<Desc>(p);
}
Status desc_set(void* p, CublasLt::DescAttribute attribute, const void* value, std::size_t bytes) {
  Desc& desc = *static_cast<Desc*>(p);
  switch (attribute) {
    case CublasLt::DescAttribute::transpose_a:
      return set(desc.transpose_a, value, bytes);
    case CublasLt::DescAttribute::transpose_b:
      return set(desc.transpose_b, value, bytes);
    case CublasLt::DescAttribute::epilogue:
      return set(desc.epilogue, value, bytes);
    case CublasLt::DescAttribute::bias_pointer:
      return set(desc.bias, value, bytes);
  }
  return Status::invalid_value;
}
Status layout_create(void** p, cudaDataType_t type, std::uint64_t n_row, std::uint64_t n_col, std::int64_t leading) {
  if (type != CUDA_R_32F && type != CUDA_R_16F && type != CUDA_R_16BF) return Status::not_supported;
  *p = new Layout{type, static_cast<std::int64_t>(n_row), static_cast<std::int64_t>(n_col), leading};
  return Status::success;
}
Status layout_set(void* p, CublasLt::LayoutAttribute attribute, const void* value, std::size_t bytes) {
  Layout& layout = *static_cast<Layout*>(p);
  return attribute == CublasLt::LayoutAttribute::batch_count ? set(layout.batch_count, value, bytes)
                                                             : set(layout.batch_stride, value, bytes);
}
Status preference_set(void* p, CublasLt::PreferenceAttribute attribute, const void* value, std::size_t bytes) {
  Preference& preference = *static_cast<Preference*>(p);
  if (attribute == CublasLt::PreferenceAttribute::max_workspace_bytes) return set(preference.max_workspace_bytes, value, bytes);
  const int operand = static_cast<int>(attribute) - static_cast<int>(CublasLt::PreferenceAttribute::min_alignment_a);
  return operand < 0 || operand > 3 ? Status::invalid_value : set(preference.alignment[operand], value, bytes);
}

Status check_shapes(const Desc& desc, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
  const bool ta = desc.transpose_a == CublasLt::Transpose::yes, tb = desc.transpose_b == CublasLt::Transpose::yes;
  const std::int64_t m = ta ? a.n_col : a.n_row, k = ta ? a.n_row : a.n_col, n = tb ? b.n_row : b.n_col;
  for (const Layout* layout : {&a, &b, &c, &d}) {
    if (layout->n_row <= 0 || layout->n_col <= 0 || layout->leading_dimension < layout->n_row) return Status::invalid_value;
    if (layout->batch_count != d.batch_count) return Status::invalid_value;
  }
  if (k != (tb ? b.n_col : b.n_row) || d.n_row != m || d.n_col != n || c.n_row != m || c.n_col != n)
    return Status::invalid_value;
  if (a.type != b.type || c.type != d.type || (d.type != a.type && d.type != CUDA_R_32F)) return Status::not_supported;
  return Status::success;
}

Status heuristic(void*, void* desc, void* a, void* b, void* c, void* d, void* p, int n_wanted, CublasLt::Heuristic* results,
                 int* n_found) {
  const auto layout = [](void* l) -> const Layout& { return *static_cast<Layout*>(l); };
  *n_found = 0;
  const Status status = check_shapes(*static_cast<Desc*>(desc), layout(a), layout(b), layout(c), layout(d));
  if (status != Status::success) return status;
  const Preference& preference = *static_cast<Preference*>(p);
  for (std::uint64_t number : {1, 2}) {
    const std::size_t workspace = number == 1 ? kWorkspace : 0;
    if (*n_found == n_wanted || workspace > preference.max_workspace_bytes) continue;
    Plan plan{number, workspace, {}};
    std::copy_n(preference.alignment, 4, plan.alignment);
    CublasLt::Heuristic& result = results[(*n_found)++] = {};
    std::memcpy(&result.algorithm, &plan, sizeof plan);
    result.workspace_bytes = workspace;
    result.waves = 1.0f;
  }
  return Status::success;
}

Status matmul(void*, void* desc, const void* alpha, const void* a, void* la, const void* b, void* lb, const void* beta,
              const void* c, void* lc, void* d, void* ld, const CublasLt::Algorithm* algorithm, void* workspace,
              std::size_t workspace_bytes, cudaStream_t stream) {
  const auto layout = [](void* l) -> const Layout& { return *static_cast<Layout*>(l); };
  const Product product{*static_cast<Desc*>(desc),
                        *static_cast<const float*>(alpha),
                        *static_cast<const float*>(beta),
                        a,
                        b,
                        c,
                        d,
                        layout(la),
                        layout(lb),
                        layout(lc),
                        layout(ld),
                        static_cast<float*>(workspace)};
  const Status status = check_shapes(product.desc, product.la, product.lb, product.lc, product.ld);
  if (status != Status::success || algorithm == nullptr) return status;
  Plan plan;
  std::memcpy(&plan, algorithm, sizeof plan);
  const void* const operands[] = {a, b, c, d};
  for (int i = 0; i < 4; ++i) {
    if (reinterpret_cast<std::uintptr_t>(operands[i]) % std::max(plan.alignment[i], 1u) != 0) return Status::not_supported;
  }
  if (plan.number == 0 || workspace_bytes < plan.workspace_bytes || (plan.workspace_bytes > 0 && workspace == nullptr)) {
    return Status::invalid_value;
  }
  const std::int64_t n = product.ld.n_row * product.ld.n_col;
  const dim3 grid(static_cast<unsigned>((n + 127) / 128), static_cast<unsigned>(product.ld.batch_count));
  rwkv::cuda::launch({grid, 128, 0, stream}, multiply, product);
  return Status::success;
}

}  // namespace

rwkv::cuda::CublasLt fake_cublas() {
  return {create<int>, destroy<int>,       desc_create,         destroy<Desc>,  desc_set,  layout_create, destroy<Layout>,
          layout_set,  create<Preference>, destroy<Preference>, preference_set, heuristic, matmul};
}

}  // namespace cuemu
