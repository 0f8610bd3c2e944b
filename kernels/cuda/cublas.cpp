// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cublas.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <string>

#include "kernels/cuda/check.h"

namespace rwkv::cuda {
namespace {

using Status = CublasLt::Status;

// What NVIDIA recommends for Hopper; older cards' algorithms want less.
constexpr std::size_t kMostWorkspace = std::size_t{32} << 20;
constexpr std::uint32_t kAlignment = 16;
constexpr int kCandidates = 4;

bool fill(CublasLt& api, void* library) {
  const auto get = [&](auto& function, const char* name) {
    return (function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name))) != nullptr;
  };
  return get(api.create, "cublasLtCreate") && get(api.destroy, "cublasLtDestroy") &&
         get(api.desc_create, "cublasLtMatmulDescCreate") && get(api.desc_destroy, "cublasLtMatmulDescDestroy") &&
         get(api.desc_set, "cublasLtMatmulDescSetAttribute") && get(api.layout_create, "cublasLtMatrixLayoutCreate") &&
         get(api.layout_destroy, "cublasLtMatrixLayoutDestroy") && get(api.layout_set, "cublasLtMatrixLayoutSetAttribute") &&
         get(api.preference_create, "cublasLtMatmulPreferenceCreate") &&
         get(api.preference_destroy, "cublasLtMatmulPreferenceDestroy") &&
         get(api.preference_set, "cublasLtMatmulPreferenceSetAttribute") &&
         get(api.heuristic, "cublasLtMatmulAlgoGetHeuristic") && get(api.matmul, "cublasLtMatmul");
}

bool ok(Status status) { return status == Status::success; }

// That it has launched nothing, as it cannot multiply this here and now: others may.
bool refuses(Status status) {
  return status == Status::not_supported || status == Status::arch_mismatch || status == Status::alloc_failed;
}

std::string name_of(Status status) {
  switch (status) {
    case Status::not_initialized:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case Status::invalid_value:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case Status::execution_failed:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case Status::internal_error:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    default:
      return "status " + std::to_string(static_cast<int>(status));
  }
}

template <class Attribute, class T>
bool set(Status (*setter)(void*, Attribute, const void*, std::size_t), void* object, Attribute attribute, const T& value) {
  return ok(setter(object, attribute, &value, sizeof value));
}

}  // namespace

std::optional<CublasLt> open_cublas(std::span<const char* const> names) {
  for (const char* const name : names) {
    void* const library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    CublasLt api{};
    if (fill(api, library)) return api;
    dlclose(library);
  }
  return std::nullopt;
}

std::optional<CublasLt> open_cublas() {
  std::array names{"libcublasLt.so.13", "libcublasLt.so.12"};
  if (CUDART_VERSION < 13000) std::swap(names[0], names[1]);
  return open_cublas(names);
}

CublasPlan::~CublasPlan() {
  for (const CublasLt::Layout layout : {w_, x_, out_}) {
    if (layout != nullptr) static_cast<void>(api_.layout_destroy(layout));
  }
  if (desc_ != nullptr) static_cast<void>(api_.desc_destroy(desc_));
}

// The library is column-major: it multiplies out^T [n_out, n_row] = W x^T.
bool CublasPlan::choose(CublasLt::Handle handle, const CublasShape& shape) {
  const cudaDataType_t type = shape.type == DType::f16 ? CUDA_R_16F : CUDA_R_16BF;
  const int w_rows = shape.input_major ? shape.n_out : shape.n_in, w_columns = shape.input_major ? shape.n_in : shape.n_out;
  const auto transpose = shape.input_major ? CublasLt::Transpose::no : CublasLt::Transpose::yes;
  CublasLt::Preference preference = nullptr;
  if (!ok(api_.desc_create(&desc_, CublasLt::ComputeType::f32, CUDA_R_32F)) ||
      !set(api_.desc_set, desc_, CublasLt::DescAttribute::transpose_a, transpose) ||
      !ok(api_.layout_create(&w_, type, w_rows, w_columns, w_rows)) ||
      !ok(api_.layout_create(&x_, type, shape.n_in, shape.n_row, shape.x_stride)) ||
      !ok(api_.layout_create(&out_, CUDA_R_32F, shape.n_out, shape.n_row, shape.out_stride)) ||
      !ok(api_.preference_create(&preference))) {
    return false;
  }
  using P = CublasLt::PreferenceAttribute;
  bool possible = set(api_.preference_set, preference, P::max_workspace_bytes, kMostWorkspace);
  for (const P operand : {P::min_alignment_a, P::min_alignment_b, P::min_alignment_c, P::min_alignment_d}) {
    possible = possible && set(api_.preference_set, preference, operand, kAlignment);
  }
  std::array<CublasLt::Heuristic, kCandidates> found{};
  int n_found = 0;
  possible = possible && ok(api_.heuristic(handle, desc_, w_, x_, out_, out_, preference, kCandidates, found.data(), &n_found));
  static_cast<void>(api_.preference_destroy(preference));
  if (!possible) return false;
  const auto end = found.begin() + std::clamp(n_found, 0, kCandidates);
  const auto best = std::find_if(found.begin(), end, [](const auto& candidate) { return ok(candidate.status); });
  if (best == end) return false;
  algorithm_ = best->algorithm;
  workspace_bytes_ = best->workspace_bytes;
  return true;
}

Cublas::~Cublas() {
  plans_.clear();
  if (handle_ != nullptr) static_cast<void>(api_->destroy(handle_));
}

void Cublas::start(cudaStream_t stream) {
  cudaStreamCaptureStatus capture{};
  check(cudaStreamIsCapturing(stream, &capture));
  if (capture != cudaStreamCaptureStatusNone) return;
  started_ = true;
  api_ = open_();
  if (api_ && !ok(api_->create(&handle_))) handle_ = nullptr;
}

std::shared_ptr<const CublasPlan> Cublas::plan(cudaStream_t stream, const CublasShape& shape) {
  const std::lock_guard lock(lock_);
  if (!started_) start(stream);
  if (handle_ == nullptr) return nullptr;
  if (const auto known = plans_.find(shape); known != plans_.end()) return known->second;
  if (plans_.size() == kMostPlans) plans_.clear();
  const std::shared_ptr<CublasPlan> plan(new CublasPlan(*api_));
  return plans_[shape] = plan->choose(handle_, shape) ? plan : nullptr;
}

bool Cublas::multiply(cudaStream_t stream, const CublasPlan& plan, const void* w, const void* x, float* out, bool add,
                      void* workspace) {
  const float alpha = 1.0f, beta = add ? 1.0f : 0.0f;
  const Status status = api_->matmul(handle_, plan.desc_, &alpha, w, plan.w_, x, plan.x_, &beta, out, plan.out_, out, plan.out_,
                                     &plan.algorithm_, workspace, plan.workspace_bytes_, stream);
  if (ok(status)) return true;
  if (!refuses(status)) throw DeviceError("CUDA: cublasLtMatmul: " + name_of(status));
  const std::lock_guard lock(lock_);
  for (auto& [shape, known] : plans_) {
    if (known.get() == &plan) known = nullptr;
  }
  return false;
}

}  // namespace rwkv::cuda
