// SPDX-License-Identifier: Apache-2.0
// Large products of more than 64 rows of x with f16 and bf16 matrices by cuBLASLt. An estimated 80% of the tensor cores' dense
// peak on Hopper, which our mma.sync cannot reach; on cards before it the two are closer.
//
// gemm.cu's first launch makes one plane of 16-bit numbers of x (4 bytes read, 2 written each) and its last does what follows
// a sum (8 to 12 bytes of each number of the result, mostly in the L2 cache; an estimated 10 to 20% of a product's time for
// n_in 4096 to 2048). bf16 has no scale, so that products without activation and gate, such as att.output, need no last
// launch.
//
// Up to 64 rows a tile of ours has all of x: W is read once, and a group of products is one launch. So are products of few
// multiply-adds, the low-rank ones, of any number of rows: 2^28 take some 1 us, as much as a launch.
#include "kernels/cuda/gemm_cublas.h"

#include <algorithm>
#include <utility>

#include "kernels/cuda/product.h"

namespace rwkv::cuda {
namespace {

std::size_t aligned(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

bool finishes(const MatMul& op) {
  return op.weight.type == DType::f16 || op.bias || op.gate || op.activation != Activation::none;
}
// Where the library writes: what is in out is still wanted then.
bool sums_apart(const MatMul& op) { return finishes(op) && op.add; }

std::size_t sums_bytes(const MatMul& op) {
  return sums_apart(op) ? aligned(static_cast<std::size_t>(op.x.n_row * op.weight.n_out) * sizeof(float)) : 0;
}

std::size_t workspace_bytes(const std::vector<PlannedMatMul>& group) {
  std::size_t most = 0;
  for (const PlannedMatMul& planned : group) most = std::max(most, planned.plan->workspace_bytes());
  return aligned(most);
}

// Products of one type.
void launch_type(cudaStream_t stream, Cublas& cublas, std::span<PlannedMatMul> group, std::byte*& scratch, void* workspace) {
  Products products{};
  for (const auto& [op, plan] : group) {
    Product& p = products.product[products.n++];
    p = to_product(*op);
    p.scratch = std::exchange(scratch, scratch + aligned(gemm_plane_bytes(*op)));
    p.sums = sums_apart(*op) ? reinterpret_cast<float*>(std::exchange(scratch, scratch + sums_bytes(*op))) : p.out;
  }
  const DType type = group.front().op->weight.type;
  gemm_narrow(stream, type, products);
  for (std::size_t i = 0; i < group.size(); ++i) {
    auto& [op, plan] = group[i];
    Product& p = products.product[i];
    if (!cublas.multiply(stream, *plan, p.w, p.scratch, p.sums, op->add && !finishes(*op), workspace)) plan = nullptr;
    p.parts = plan && finishes(*op) ? 1 : 0;
  }
  gemm_finish(stream, type, products);
}

}  // namespace

std::shared_ptr<const CublasPlan> plan_cublas(cudaStream_t stream, Cublas& cublas, const MatMul& op) {
  const Matrix& w = op.weight;
  if (w.type != DType::f16 && w.type != DType::bf16) return nullptr;
  if (op.x.n_row <= kMostRowsOfBatch || op.x.n_row * w.n_out * w.n_in < cublas.least_work()) return nullptr;
  const Product p = to_product(op);
  const bool aligned_out = reinterpret_cast<std::uintptr_t>(p.out) % 16 == 0 && w.n_out % 4 == 0;
  if (!p.aligned || !aligned_out || !has_gemm(w.type)) return nullptr;
  return cublas.plan(stream, {.type = w.type,
                              .input_major = w.input_major,
                              .n_row = p.n_row,
                              .n_in = p.n_in,
                              .n_out = p.n_out,
                              .x_stride = gemm_x_stride(op)});
}

std::size_t gemm_cublas_bytes(const std::vector<PlannedMatMul>& group) {
  std::size_t bytes = workspace_bytes(group);
  for (const PlannedMatMul& planned : group) bytes += aligned(gemm_plane_bytes(*planned.op)) + sums_bytes(*planned.op);
  return bytes;
}

void gemm_cublas(cudaStream_t stream, Cublas& cublas, std::vector<PlannedMatMul>& group, std::byte* scratch) {
  void* const workspace = std::exchange(scratch, scratch + workspace_bytes(group));
  for (std::span left(group); !left.empty();) {
    const auto next = std::ranges::find_if(
        left, [&](const PlannedMatMul& planned) { return planned.op->weight.type != left.front().op->weight.type; });
    const auto n = std::min<std::size_t>(static_cast<std::size_t>(next - left.begin()), kMostProducts);
    launch_type(stream, cublas, left.first(n), scratch, workspace);
    left = left.subspan(n);
  }
}

}  // namespace rwkv::cuda
