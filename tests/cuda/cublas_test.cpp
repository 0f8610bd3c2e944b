// SPDX-License-Identifier: Apache-2.0
// Products by cuBLASLt against double-precision loops, and what happens where it is not there. RWKV_TINY_CUBLAS is the folder
// of the libraries made from tiny_cublas.cpp.
#include "kernels/cuda/cublas.h"

#include <dlfcn.h>

#include <string>

#include "cuda/device_matmul.h"
#include "cuemu/conformance/cublas.h"
#include "kernels/cuda/product.h"

namespace rwkv::test {
namespace {

using cuda::Cublas, cuda::CublasLt;

int n_heuristic = 0, n_matmul = 0;  // calls of the library

// cublas() with counters.
std::optional<CublasLt> open_counted() {
  static const CublasLt real = cublas();
  if (real.create == nullptr) return std::nullopt;
  CublasLt counted = real;
  counted.heuristic = [](auto... arguments) { return ++n_heuristic, real.heuristic(arguments...); };
  counted.matmul = [](auto... arguments) { return ++n_matmul, real.matmul(arguments...); };
  n_heuristic = n_matmul = 0;
  return counted;
}
bool is_missing() { return cublas().create == nullptr; }

// The same, but of its products the first, third, fifth ... end like this.
CublasLt::Status ending;
std::optional<CublasLt> open_failing() {
  auto failing = open_counted();
  if (!failing) return std::nullopt;
  static const auto multiply = failing->matmul;
  failing->matmul = [](auto... arguments) { return n_matmul % 2 == 0 ? (++n_matmul, ending) : multiply(arguments...); };
  return failing;
}

constexpr std::int64_t kAnyWork = 0;

struct Case {
  std::int64_t n_row, n_out, n_in;
  Activation activation = Activation::none;
  bool biased = false, add = false, gated = false;
};

void expect_plain(Cublas& cublas, DType type, Case c, Layout layout, int n_call = 1) {
  c.n_in = valid_n_in(type, c.n_in), c.n_out = valid_n_out(type, c.n_out, layout);
  const Weight w = stored(type, c.n_out, c.n_in, 3, layout);
  const auto x = floats(c.n_row * c.n_in, 4), bias = floats(c.n_out, 5), gate = floats(c.n_row * c.n_out, 6);
  const auto before = c.add ? floats(c.n_row * c.n_out, 7) : nans(c.n_row * c.n_out);
  auto out = before;
  const MatMul op{.x = rows(x, c.n_in),
                  .weight = w.matrix,
                  .out = rows(out, c.n_out),
                  .bias = c.biased ? bias.data() : nullptr,
                  .activation = c.activation,
                  .add = c.add,
                  .gate = c.gated ? gate.data() : nullptr};
  const int before_it = n_matmul;
  matmul(op, &cublas);
  EXPECT_EQ(n_matmul, before_it + n_call);
  ASSERT_NO_FATAL_FAILURE(expect_product(rounding(), op, w, before)) << "layout " << layout;
}

// Rows of W of 16 bytes and of the result are all that it asks for.
constexpr Case kCases[] = {{65, 24, 8},
                           {70, 8, 72},
                           {67, 24, 40, Activation::relu_squared},
                           {66, 1032, 16, Activation::sigmoid, true},
                           {65, 40, 24, Activation::none, false, true},
                           {71, 32, 32, Activation::tanh, true, true},
                           {68, 16, 56, Activation::none, false, true, true}};

TEST(CudaCublas, EqualsPlainLoopsWithAllThatFollowsASum) {
  if (is_missing()) GTEST_SKIP() << "skipped: no cuBLASLt";
  Cublas cublas(open_counted, kAnyWork);
  for (const DType type : kTypes) {
    if (!cuda::has_tensor_cores(type, 65)) continue;
    for (const Case& c : kCases) {
      for (const Layout layout : kLayouts) ASSERT_NO_FATAL_FAILURE(expect_plain(cublas, type, c, layout));
    }
  }
}

// 17 of the same rows of x and others, also of i8, beside some that are not for cuBLAS: rows of 18 bytes, a result
// of rows of 12, fp32.
void expect_plain_group(Cublas& cublas) {
  std::vector<Weight> weights;
  std::vector<std::vector<float>> x, out;
  std::vector<MatMul> group;
  const auto shared = floats(66 * 32, 1);
  int n_expected = 0;
  for (int i = 0; i < 24; ++i) {
    const DType type = i < 17 ? DType::f16 : i < 20 ? DType::bf16 : i == 22 ? DType::i8 : i == 23 ? DType::f32 : DType::f16;
    const std::int64_t n_row = i % 6 == 5 ? 67 : 66, n_in = i == 20 ? 9 : 32, n_out = i == 21 ? 11 : 8 + 4 * (i % 3) * 2;
    weights.push_back(stored(type, n_out, n_in, 10 + i, i % 4 == 3 ? kInputMajor : kOutputMajor));
    x.push_back(n_row == 66 && n_in == 32 ? shared : floats(n_row * n_in, 40 + i));
    out.push_back(nans(n_row * n_out));
    group.push_back({.x = rows(x[i], n_in), .weight = weights[i].matrix, .out = rows(out[i], n_out)});
    if ((i < 20 || i == 22) && cuda::has_tensor_cores(type, 65)) ++n_expected;
  }
  for (std::size_t i = 0; i < group.size(); ++i) {
    if (x[i].size() == shared.size()) group[i].x.data = const_cast<float*>(shared.data());
  }
  n_matmul = 0;
  matmul(group, &cublas);
  EXPECT_EQ(n_matmul, n_expected);
  for (int i = 0; i < 24; ++i) ASSERT_NO_FATAL_FAILURE(expect_product(rounding(), group[i], weights[i])) << "matrix " << i;
}

TEST(CudaCublas, GroupOfProductsOfTheSameAndOfOtherRows) {
  if (is_missing()) GTEST_SKIP() << "skipped: no cuBLASLt";
  Cublas cublas(open_counted, kAnyWork);
  expect_plain_group(cublas);
}

TEST(CudaCublas, FewRowsAndLittleWorkAreNotForIt) {
  Cublas any(open_counted, kAnyWork), large(open_counted, 65 * 24 * 8 + 1);
  const Weight w = stored(DType::f16, 24, 8, 1);
  for (const std::int64_t n_row : {1, 64, 65}) {
    const auto x = floats(n_row * 8, 2), out = nans(n_row * 24);
    const MatMul op{.x = rows(x, 8), .weight = w.matrix, .out = rows(out, 24)};
    n_matmul = 0;
    matmul(op, n_row == 65 ? &large : &any);
    EXPECT_EQ(n_matmul, 0);
    ASSERT_NO_FATAL_FAILURE(expect_product(rounding(), op, w));
  }
}

TEST(CudaCublas, ItsHeuristicIsAskedOnceForAShape) {
  if (is_missing()) GTEST_SKIP() << "skipped: no cuBLASLt";
  Cublas cublas(open_counted, kAnyWork);
  for (int i = 0; i < 3; ++i) {
    for (const std::int64_t n_row : {65, 66}) expect_plain(cublas, DType::f16, {n_row, 8, 16}, kOutputMajor);
  }
  EXPECT_EQ(n_heuristic, 2);
  EXPECT_EQ(n_matmul, 6);
}

// More shapes than are kept.
TEST(CudaCublas, PlansOfManyShapesAreForgotten) {
  if (is_missing()) GTEST_SKIP() << "skipped: no cuBLASLt";
  Cublas cublas(open_counted, kAnyWork);
  const auto plan = [&](int n_row) { return cublas.plan(nullptr, {DType::f16, false, n_row, 8, 8, 32, 8}); };
  const auto first = plan(65);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(plan(65), first);
  for (int n_row = 66; n_row < 66 + 512; ++n_row) ASSERT_NE(plan(n_row), nullptr);
  EXPECT_EQ(n_heuristic, 513);
  EXPECT_NE(plan(65), nullptr);
  EXPECT_EQ(n_heuristic, 514);
}

// Its largest number decides how a row of x is scaled for float16; add and gate see nothing of that.
TEST(CudaCublas, RowsOfXMayBeTinyHugeZeroOrNan) {
  if (is_missing()) GTEST_SKIP() << "skipped: no cuBLASLt";
  Cublas cublas(open_counted, kAnyWork);
  const Weight w = stored(DType::f16, 12, 72, 51);
  auto x = floats(70 * 72, 52);
  constexpr float kSizes[] = {1.0f, 0x1p-100f, 0x1p100f, 0.0f, 0x1p20f};
  for (std::int64_t i = 0; i < std::ssize(x); ++i) x[i] = bf16_to_f32(f32_to_bf16(x[i])) * kSizes[i / 72 % 5];
  const auto before = floats(70 * 12, 53);
  for (const bool add : {false, true}) {
    auto out = before;
    const MatMul op{.x = rows(x, 72), .weight = w.matrix, .out = rows(out, 12), .add = add};
    matmul(op, &cublas);
    ASSERT_NO_FATAL_FAILURE(expect_product({}, op, w, before));
  }
  x[3 * 72 + 5] = std::numeric_limits<float>::quiet_NaN();
  auto out = before;
  matmul({.x = rows(x, 72), .weight = w.matrix, .out = rows(out, 12), .add = true}, &cublas);
  for (int i = 0; i < 70 * 12; ++i) ASSERT_EQ(std::isnan(out[i]), i / 12 == 3) << i;
}

// A capture opens no library, but uses what is open.
TEST(CudaCublas, ReplayOfAGraphIsBitEqual) {
  if (is_missing()) GTEST_SKIP() << "skipped: no cuBLASLt";
  cudaStream_t stream = nullptr;
  cuda::check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  {
    Uploads upload;
    Cublas cublas(open_counted, kAnyWork);
    cuda::Scratch scratch;
    const Weight w = stored(DType::f16, 40, 64, 62);
    auto x = floats(66 * 64, 61), before = floats(66 * 40, 63);
    const DeviceArray<float> out(before);
    const MatMul op{.x = {upload(x.data(), std::ssize(x)), 66, 64},
                    .weight = on_device(upload, w.matrix),
                    .out = {out.data(), 66, 40},
                    .add = true};
    const auto captured = [&] {
      cudaGraph_t graph = nullptr;
      cuda::check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
      const int n_before = n_matmul;
      cuda::matmul(stream, scratch, {&op, 1}, &cublas);
      cuda::check(cudaStreamEndCapture(stream, &graph));
      return std::pair(graph, n_matmul - n_before);
    };
    { const auto use = scratch.use(stream, 1 << 20); }
    const auto [without, n_without] = captured();
    EXPECT_EQ(n_without, 0);
    cuda::check(cudaGraphDestroy(without));
    cuda::matmul(stream, scratch, {&op, 1}, &cublas);
    const auto eager = out.values();
    cuda::check(cudaMemcpy(out.data(), before.data(), before.size() * sizeof(float), cudaMemcpyHostToDevice));
    cuda::check(cudaDeviceSynchronize());  // the stream does not wait for the copy
    const auto [graph, n_captured] = captured();
    EXPECT_EQ(n_captured, 1);
    cudaGraphExec_t replay = nullptr;
    cuda::check(cudaGraphInstantiate(&replay, graph, 0));
    cuda::check(cudaGraphLaunch(replay, stream));
    EXPECT_EQ(out.values(), eager);
    cuda::check(cudaGraphExecDestroy(replay));
    cuda::check(cudaGraphDestroy(graph));
  }
  cuda::check(cudaStreamDestroy(stream));
}

// Without a library, one that does not start, one that can multiply nothing: our own kernels.
TEST(CudaCublas, OurKernelsMultiplyWithoutIt) {
  static int n_destroyed;
  n_destroyed = 0;
  const auto cannot_create = []() -> std::optional<CublasLt> {
    CublasLt api{};
    api.create = [](CublasLt::Handle*) { return CublasLt::Status::not_initialized; };
    return api;
  };
  const auto has_no_plan = []() -> std::optional<CublasLt> {
    CublasLt api = cublas();
    if (api.create == nullptr) return std::nullopt;
    api.heuristic = [](auto...) { return CublasLt::Status::not_supported; };
    static const auto destroy = api.destroy;
    api.destroy = [](CublasLt::Handle handle) { return ++n_destroyed, destroy(handle); };
    return api;
  };
  for (const Cublas::Open open : {Cublas::Open([]() -> std::optional<CublasLt> { return std::nullopt; }),
                                  Cublas::Open(cannot_create), Cublas::Open(has_no_plan)}) {
    Cublas cublas(open, kAnyWork);
    const Weight w = stored(DType::f16, 24, 40, 1);
    const auto x = floats(66 * 40, 2), out = nans(66 * 24);
    const MatMul op{.x = rows(x, 40), .weight = w.matrix, .out = rows(out, 24)};
    for (int i = 0; i < 2; ++i) matmul(op, &cublas);
    ASSERT_NO_FATAL_FAILURE(expect_product(rounding(), op, w));
  }
  EXPECT_EQ(n_destroyed, is_missing() ? 0 : 1);
}

// It is asked once for a shape that it refuses, whatever follows its sum.
TEST(CudaCublas, OurKernelsMultiplyWhatItRefuses) {
  if (is_missing()) GTEST_SKIP() << "skipped: no cuBLASLt";
  for (const auto status : {CublasLt::Status::not_supported, CublasLt::Status::arch_mismatch, CublasLt::Status::alloc_failed}) {
    ending = status;
    Cublas cublas(open_failing, kAnyWork);
    expect_plain_group(cublas);
  }
  for (const DType type : kTypes) {
    if (!cuda::has_tensor_cores(type, 65)) continue;
    Cublas cublas(open_failing, kAnyWork);  // i8 and i4 are shapes of f16
    for (const Case& c : kCases) {
      n_matmul = 0;
      for (const int n_call : {1, 0}) ASSERT_NO_FATAL_FAILURE(expect_plain(cublas, type, c, kOutputMajor, n_call));
    }
  }
}

TEST(CudaCublas, OtherFailuresAreErrorsThatNameThem) {
  if (is_missing()) GTEST_SKIP() << "skipped: no cuBLASLt";
  const std::pair<CublasLt::Status, const char*> cases[] = {
      {CublasLt::Status::execution_failed, "CUDA: cublasLtMatmul: CUBLAS_STATUS_EXECUTION_FAILED"},
      {CublasLt::Status(77), "CUDA: cublasLtMatmul: status 77"}};
  for (const auto& [status, expected] : cases) {
    ending = status;
    Cublas cublas(open_failing, kAnyWork);
    const Weight w = stored(DType::f16, 24, 40, 1);
    const auto x = floats(66 * 40, 2), out = nans(66 * 24);
    try {
      matmul({.x = rows(x, 40), .weight = w.matrix, .out = rows(out, 24)}, &cublas);
      ADD_FAILURE() << expected;
    } catch (const DeviceError& error) {
      EXPECT_STREQ(error.what(), expected);
    }
  }
}

TEST(CudaCublas, TheFirstLibraryWithEveryFunctionIsOpened) {
  const std::string folder = RWKV_TINY_CUBLAS;
  const std::string incomplete = folder + "/libtiny_cublas_incomplete.so", complete = folder + "/libtiny_cublas.so";
  const char* const none[] = {"libthere_is_no_such_library.so.13", incomplete.c_str()};
  EXPECT_FALSE(cuda::open_cublas(none).has_value());
  const char* const last[] = {none[0], none[1], complete.c_str()};
  const auto api = cuda::open_cublas(last);
  ASSERT_TRUE(api.has_value());
  void* const p = nullptr;
  int n = 0;
  const CublasLt::Status found[] = {api->create(nullptr),
                                    api->destroy(p),
                                    api->desc_create(nullptr, CublasLt::ComputeType::f32, CUDA_R_32F),
                                    api->desc_destroy(p),
                                    api->desc_set(p, CublasLt::DescAttribute::epilogue, p, 0),
                                    api->layout_create(nullptr, CUDA_R_32F, 1, 1, 1),
                                    api->layout_destroy(p),
                                    api->layout_set(p, CublasLt::LayoutAttribute::batch_count, p, 0),
                                    api->preference_create(nullptr),
                                    api->preference_destroy(p),
                                    api->preference_set(p, CublasLt::PreferenceAttribute::max_workspace_bytes, p, 0),
                                    api->heuristic(p, p, p, p, p, p, p, 0, nullptr, &n),
                                    api->matmul(p, p, p, p, p, p, p, p, p, p, nullptr, p, nullptr, nullptr, 0, nullptr)};
  for (int i = 0; i < 13; ++i) EXPECT_EQ(static_cast<int>(found[i]), i + 1);
}

// What it is called, and that it has every function. Whether it starts is for a card to show: Cublas in the conformance suite.
TEST(CudaCublas, ThatOfThisMachineIsOpened) {
  bool is_there = false;
  for (const char* const name : {"libcublasLt.so.12", "libcublasLt.so.13"}) {
    is_there |= dlopen(name, RTLD_LAZY) != nullptr;  // to stay: what it keeps is no leak while it is there
  }
  if (!is_there) GTEST_SKIP() << "skipped: no cuBLASLt";
  EXPECT_TRUE(cuda::open_cublas().has_value());
}

}  // namespace
}  // namespace rwkv::test
