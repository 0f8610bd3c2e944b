// SPDX-License-Identifier: Apache-2.0
// cuBLASLt through the table of kernels/cuda/cublas_api.h, row-major as the engine has its matrices: out = x W^T is
// out^T = W x^T for a library that is column-major.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "cuemu/conformance/cublas.h"
#include "cuemu/conformance/objects.h"
#include "kernels/values.h"

#if __has_include(<cublasLt.h>)
#include <cublasLt.h>
#endif

namespace rwkv::test {
namespace {

using cuda::CublasLt;
using Status = CublasLt::Status;

#if __has_include(<cublasLt.h>)
static_assert(int(CublasLt::Status::not_supported) == CUBLAS_STATUS_NOT_SUPPORTED);
static_assert(int(CublasLt::Status::invalid_value) == CUBLAS_STATUS_INVALID_VALUE);
static_assert(int(CublasLt::Status::alloc_failed) == CUBLAS_STATUS_ALLOC_FAILED);
static_assert(int(CublasLt::Status::arch_mismatch) == CUBLAS_STATUS_ARCH_MISMATCH);
static_assert(int(CublasLt::Status::execution_failed) == CUBLAS_STATUS_EXECUTION_FAILED);
static_assert(int(CublasLt::Status::internal_error) == CUBLAS_STATUS_INTERNAL_ERROR);
static_assert(int(CublasLt::Status::not_initialized) == CUBLAS_STATUS_NOT_INITIALIZED);
static_assert(int(CublasLt::ComputeType::f32) == CUBLAS_COMPUTE_32F);
static_assert(int(CublasLt::Transpose::yes) == CUBLAS_OP_T);
static_assert(int(CublasLt::DescAttribute::transpose_a) == CUBLASLT_MATMUL_DESC_TRANSA);
static_assert(int(CublasLt::DescAttribute::transpose_b) == CUBLASLT_MATMUL_DESC_TRANSB);
static_assert(int(CublasLt::DescAttribute::epilogue) == CUBLASLT_MATMUL_DESC_EPILOGUE);
static_assert(int(CublasLt::DescAttribute::bias_pointer) == CUBLASLT_MATMUL_DESC_BIAS_POINTER);
static_assert(int(CublasLt::Epilogue::none) == CUBLASLT_EPILOGUE_DEFAULT);
static_assert(int(CublasLt::Epilogue::relu) == CUBLASLT_EPILOGUE_RELU);
static_assert(int(CublasLt::Epilogue::bias) == CUBLASLT_EPILOGUE_BIAS);
static_assert(int(CublasLt::Epilogue::relu_bias) == CUBLASLT_EPILOGUE_RELU_BIAS);
static_assert(int(CublasLt::LayoutAttribute::batch_count) == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT);
static_assert(int(CublasLt::LayoutAttribute::batch_stride) == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
static_assert(int(CublasLt::PreferenceAttribute::max_workspace_bytes) == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
static_assert(int(CublasLt::PreferenceAttribute::min_alignment_a) == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
static_assert(int(CublasLt::PreferenceAttribute::min_alignment_d) == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);
static_assert(sizeof(CublasLt::Heuristic) == sizeof(cublasLtMatmulHeuristicResult_t));
static_assert(offsetof(CublasLt::Heuristic, status) == offsetof(cublasLtMatmulHeuristicResult_t, state));
static_assert(sizeof(CublasLt::Algorithm) == sizeof(cublasLtMatmulAlgo_t));
#endif

template <class T>
constexpr cudaDataType_t kType = std::is_same_v<T, __half>          ? CUDA_R_16F
                                 : std::is_same_v<T, __nv_bfloat16> ? CUDA_R_16BF
                                                                    : CUDA_R_32F;

// All that out [R, n_out] = x [R, n_in] W^T + beta out needs.
template <class In, class Out>
class Product {
 public:
  Product(const CublasLt& api, int n_row, int n_in, int n_out, std::uint32_t alignment = 16) : api_(api) {
    check(api.create(&handle_));
    check(api.desc_create(&desc_, CublasLt::ComputeType::f32, CUDA_R_32F));
    const auto transpose = CublasLt::Transpose::yes;
    check(api.desc_set(desc_, CublasLt::DescAttribute::transpose_a, &transpose, sizeof transpose));
    check(api.layout_create(&w_, kType<In>, n_in, n_out, n_in));
    check(api.layout_create(&x_, kType<In>, n_in, n_row, n_in));
    check(api.layout_create(&out_, kType<Out>, n_out, n_row, n_out));
    check(api.preference_create(&preference_));
    const std::size_t most = workspace_bytes();
    check(api.preference_set(preference_, CublasLt::PreferenceAttribute::max_workspace_bytes, &most, sizeof most));
    for (const auto operand :
         {CublasLt::PreferenceAttribute::min_alignment_a, CublasLt::PreferenceAttribute::min_alignment_b,
          CublasLt::PreferenceAttribute::min_alignment_c, CublasLt::PreferenceAttribute::min_alignment_d}) {
      check(api.preference_set(preference_, operand, &alignment, sizeof alignment));
    }
  }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;
  ~Product() {
    api_.preference_destroy(preference_);
    for (void* layout : {w_, x_, out_}) api_.layout_destroy(layout);
    api_.desc_destroy(desc_);
    api_.destroy(handle_);
  }

  static constexpr std::size_t workspace_bytes() { return 1 << 20; }

  CublasLt::Heuristic best() {
    CublasLt::Heuristic result{};
    int n = 0;
    check(api_.heuristic(handle_, desc_, w_, x_, out_, out_, preference_, 1, &result, &n));
    check(n == 1 ? result.status : Status::not_supported);
    return result;
  }
  Status run(const In* w, const In* x, Out* out, float beta, void* workspace, cudaStream_t stream) {
    const float alpha = 1.0f;
    const auto algorithm = best().algorithm;
    return api_.matmul(handle_, desc_, &alpha, w, w_, x, x_, &beta, out, out_, out, out_, &algorithm, workspace,
                       workspace_bytes(), stream);
  }

 private:
  const CublasLt& api_;
  void *handle_ = nullptr, *desc_ = nullptr, *w_ = nullptr, *x_ = nullptr, *out_ = nullptr, *preference_ = nullptr;
};

// tolerance: of an output of size sqrt(n_in), by its type.
template <class In, class Out>
void expect_product(float beta, double tolerance) {
  const CublasLt api = cublas();
  if (api.create == nullptr) GTEST_SKIP() << "skipped: no cuBLASLt";
  constexpr int kRows = 11, kIn = 40, kOut = 24;
  std::vector<In> w, x;
  std::vector<Out> before;
  for (const float f : floats(kOut * kIn, 1)) w.push_back(In(f));
  for (const float f : floats(kRows * kIn, 2)) x.push_back(In(f));
  for (const float f : floats(kRows * kOut, 3)) before.push_back(Out(f));
  const DeviceArray<In> dw(w), dx(x);
  const DeviceArray<Out> out(before);
  const DeviceArray<char> workspace(Product<In, Out>::workspace_bytes());
  Product<In, Out> product(api, kRows, kIn, kOut);
  check(product.run(dw.data(), dx.data(), out.data(), beta, workspace.data(), nullptr));
  const auto found = out.values();
  for (int r = 0; r < kRows; ++r) {
    for (int o = 0; o < kOut; ++o) {
      double sum = beta * static_cast<float>(before[r * kOut + o]);
      for (int i = 0; i < kIn; ++i) sum += double{static_cast<float>(w[o * kIn + i])} * static_cast<float>(x[r * kIn + i]);
      EXPECT_NEAR(static_cast<float>(found[r * kOut + o]), sum, tolerance * (6 + std::abs(sum))) << r << ' ' << o;
    }
  }
}

TEST(Cublas, ProductsOfEveryType) {
  expect_product<float, float>(0, 0x1p-20);
  expect_product<__half, __half>(0, 0x1p-11);
  expect_product<__half, float>(1, 0x1p-20);
  if (sm() < 80) GTEST_SKIP() << "skipped: bfloat16 needs sm_80";
  expect_product<__nv_bfloat16, __nv_bfloat16>(1, 0x1p-8);
  expect_product<__nv_bfloat16, float>(0, 0x1p-20);
}

TEST(Cublas, ProductsInAGraph) {
  const CublasLt api = cublas();
  if (api.create == nullptr) GTEST_SKIP() << "skipped: no cuBLASLt";
  const Stream stream;
  const DeviceArray<float> w(floats(64, 1)), x(floats(64, 2)), out(floats(64, 3)), again(64);
  const DeviceArray<char> workspace(Product<float, float>::workspace_bytes());
  Product<float, float> product(api, 8, 8, 8);
  check(product.run(w.data(), x.data(), again.data(), 0, workspace.data(), stream));  // first: it loads the library's kernel
  const Graph graph(capture(stream, [&] { check(product.run(w.data(), x.data(), out.data(), 0, workspace.data(), stream)); }));
  check(cudaGraphLaunch(graph, stream));
  check(cudaStreamSynchronize(stream));
  EXPECT_EQ(out.values(), again.values());
}

TEST(Cublas, ShapesThatDoNotFitAreRefused) {
  const CublasLt api = cublas();
  if (api.create == nullptr) GTEST_SKIP() << "skipped: no cuBLASLt";
  void* layout = nullptr;
  check(api.layout_create(&layout, CUDA_R_32F, 8, 8, 8));
  std::int32_t wrong_size = 1;
  EXPECT_NE(api.layout_set(layout, CublasLt::LayoutAttribute::batch_stride, &wrong_size, sizeof wrong_size), Status::success);
  check(api.layout_destroy(layout));
}

}  // namespace
}  // namespace rwkv::test
