// SPDX-License-Identifier: Apache-2.0
// Products of more than 64 rows of x: x becomes 16-bit numbers, W is multiplied by cuBLASLt where it is large and the library
// is there, else by gemm.cu, and a last launch does what follows a sum. The first and the last are one launch for a whole
// group, 4 bytes read and 2 written of each number of x, 8 to 12 bytes of each of the result, mostly in the second-level cache:
// an estimated 10 to 20% of a product's time for n_in 4096 to 2048. bf16 has no scale, so that products without activation and
// gate, such as att.output, need no last launch.
//
// W of i8 and i4 is widened to float16 (widen.cu) and multiplied as f16 is, x with one plane of 11 bits: a row of the result
// has an error of some 2^-12 of the root of the sum of its terms' squares, at most 2^-10 of their sizes' sum. Not more than 32
// MiB are widened at a time: large matrices come in slices of n_out, one after the other in the same memory, which stays in the
// cache.
//
// cuBLASLt reaches an estimated 80% of the tensor cores' dense peak on Hopper, which our mma.sync cannot; on cards before it
// the two are closer. Products of few multiply-adds, the low-rank ones, are ours, one launch for all: 2^28 take some 1 us, as
// much as a launch. Up to 64 rows a tile of ours has all of x and W is read once (gemm_batch.cu).
#include "kernels/cuda/many_rows.h"

#include <algorithm>
#include <utility>

#include "kernels/i4.h"

namespace rwkv::cuda {
namespace {

std::size_t aligned(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

// What W is multiplied as.
DType number_of(DType type) { return type == DType::bf16 ? DType::bf16 : DType::f16; }
bool widens(const Product& p) { return p.type == DType::i8 || p.type == DType::i4; }

std::size_t widened_bytes_of(const Product& p) {
  return widens(p) ? aligned(static_cast<std::size_t>(std::int64_t{p.n_out} * p.n_in) * sizeof(std::uint16_t)) : 0;
}

// So many columns have at most `most_widened` bytes, in whole tiles of kernels and groups of i4.
int slice_of(const Product& p, std::size_t most_widened) {
  constexpr int kStep = 128;
  const auto rows = static_cast<std::int64_t>(most_widened / sizeof(std::uint16_t)) / p.n_in;
  const auto most = static_cast<int>(std::clamp<std::int64_t>(rows / kStep * kStep, kStep, p.n_out + kStep));
  if (!widens(p) || p.n_out <= most) return p.n_out;
  return divided_up(divided_up(p.n_out, divided_up(p.n_out, most)), kStep) * kStep;
}

// Columns [first, first + n) of the result.
Product columns_of(const Product& p, int first, int n) {
  Product slice = p;
  const std::int64_t at = p.input_major ? first : std::int64_t{first} * p.n_in;
  slice.w = static_cast<const std::byte*>(p.w) + bytes_of(p.type, at);
  slice.n_out = n;
  slice.out += first;
  if (p.sums) slice.sums += first;
  if (p.bias) slice.bias += first;
  if (p.gate) slice.gate += first;
  if (p.type == DType::i8) slice.mx += first, slice.rx += first;
  if (p.type == DType::i4) slice.scale += p.input_major ? at : at / kI4Group;
  return slice;
}

// As it is multiplied, W of i8 and i4 being float16 at `widened`.
Product as_multiplied(Product p, void* widened) {
  if (!widens(p)) return p;
  p.type = DType::f16, p.w = widened;
  p.aligned = (p.input_major ? p.n_out : p.n_in) % 8 == 0;
  return p;
}

template <class Body>
void for_slices(const Product& p, int slice, const Body& body) {
  for (int first = 0; first < p.n_out; first += slice) body(columns_of(p, first, std::min(slice, p.n_out - first)));
}

bool finishes(const Product& p) {
  return number_of(p.type) == DType::f16 || p.bias || p.gate || p.activation != Activation::none;
}

// Launches for products that have the same kind_of(product), for each kind.
template <class KindOf, class Launch>
void for_kinds(std::vector<Product> left, const KindOf& kind_of, const Launch& launch) {
  while (!left.empty()) {
    Products products{};
    const auto kind = kind_of(left.front());
    std::erase_if(left, [&](const Product& p) {
      if (products.n == kMostProducts || kind_of(p) != kind) return false;
      products.product[products.n++] = p;
      return true;
    });
    launch(products);
  }
}

std::shared_ptr<const CublasPlan> plan_of(cudaStream_t stream, Cublas& cublas, const Product& p) {
  const bool aligned_out = reinterpret_cast<std::uintptr_t>(p.out) % 16 == 0 && p.out_stride % 4 == 0;
  if (!p.aligned || !aligned_out) return nullptr;
  return cublas.plan(stream, {.type = p.type,
                              .input_major = p.input_major,
                              .n_row = p.n_row,
                              .n_in = p.n_in,
                              .n_out = p.n_out,
                              .x_stride = gemm_x_stride(p),
                              .out_stride = p.out_stride});
}

}  // namespace

void ManyRows::add(const MatMul& op) {
  Many many{.op = &op, .product = to_product(op), .slice = 0, .kept_sums = 0, .plans = {}};
  Product& p = many.product;
  many.slice = slice_of(p, most_widened_);
  if (cublas_ && op.x.n_row * op.weight.n_out * op.weight.n_in >= cublas_->least_work()) {
    for_slices(p, many.slice,
               [&](const Product& slice) { many.plans.push_back(plan_of(stream_, *cublas_, as_multiplied(slice, nullptr))); });
    if (std::ranges::count(many.plans, nullptr) > 0) many.plans.clear();
  }
  if (many.plans.empty()) {
    p.parts = gemm_parts(columns_of(p, 0, many.slice));
    many.kept_sums = p.parts > 1 ? p.parts : 0;
  } else {
    p.parts = 1;
    many.kept_sums = finishes(p) && p.add ? 1 : 0;  // what is in out is still wanted
  }
  group_.push_back(std::move(many));
}

bool ManyRows::uses_cublas() const {
  return std::ranges::any_of(group_, [](const Many& many) { return !many.plans.empty(); });
}

std::size_t ManyRows::sums_bytes(const Many& many) {
  return aligned(static_cast<std::size_t>(std::int64_t{many.product.n_row} * many.product.n_out * many.kept_sums) *
                 sizeof(float));
}

std::size_t ManyRows::widened_bytes() const {
  std::size_t all = 0, largest = 0;
  for (const Many& many : group_) {
    for_slices(many.product, many.slice, [&](const Product& slice) {
      all += widened_bytes_of(slice), largest = std::max(largest, widened_bytes_of(slice));
    });
  }
  return std::max(std::min(all, most_widened_), largest);
}

std::size_t ManyRows::workspace_bytes() const {
  std::size_t most = 0;
  for (const Many& many : group_) {
    for (const auto& plan : many.plans) most = std::max(most, plan->workspace_bytes());
  }
  return aligned(most);
}

std::size_t ManyRows::bytes() const {
  std::size_t bytes = aligned(widened_bytes()) + workspace_bytes();
  for (const Many& many : group_) bytes += aligned(gemm_x_bytes(many.product)) + sums_bytes(many);
  return bytes;
}

std::vector<const MatMul*> ManyRows::launch(std::byte* scratch) const {
  std::vector<const MatMul*> refused;
  const std::span widened(scratch, aligned(widened_bytes()));
  void* const workspace = scratch + widened.size();
  scratch += widened.size() + workspace_bytes();
  for (const DType type : {DType::f16, DType::bf16}) {
    std::vector<const Many*> of_type;
    for (const Many& many : group_) {
      if (number_of(many.product.type) == type) of_type.push_back(&many);
    }
    for (std::span<const Many* const> left(of_type); !left.empty();) {
      const auto n = std::min<std::size_t>(left.size(), kMostProducts);
      launch_type(type, left.first(n), scratch, widened, workspace, refused);
      left = left.subspan(n);
    }
  }
  return refused;
}

void ManyRows::launch_type(DType type, std::span<const Many* const> group, std::byte*& scratch, std::span<std::byte> widened,
                           void* workspace, std::vector<const MatMul*>& refused) const {
  Products products{};
  for (const Many* const many : group) {
    Product& p = products.product[products.n++];
    p = many->product;
    p.scratch = std::exchange(scratch, scratch + aligned(gemm_x_bytes(p)));
    if (many->kept_sums > 0) {
      p.sums = reinterpret_cast<float*>(std::exchange(scratch, scratch + sums_bytes(*many)));
    } else if (!many->plans.empty() && finishes(p)) {
      p.sums = p.out;
    }
  }
  gemm_narrow(stream_, type, products);
  std::vector<Slice> slices;
  for (std::size_t i = 0; i < group.size(); ++i) {
    auto plan = group[i]->plans.begin();
    for_slices(products.product[i], group[i]->slice, [&](const Product& slice) {
      slices.push_back({slice, plan == group[i]->plans.end() ? nullptr : (plan++)->get(), i});
    });
  }
  std::vector<bool> is_refused(group.size());
  for (std::span<const Slice> left(slices); !left.empty();) {
    left = left.subspan(multiply_first(left, widened, workspace, is_refused));
  }
  for (std::size_t i = 0; i < group.size(); ++i) {
    if (!is_refused[i]) continue;
    products.product[i].sums = nullptr;  // nothing to finish
    refused.push_back(group[i]->op);
  }
  gemm_finish(stream_, type, products);
}

// As many as `widened` has room for, at least one. Returns how many.
std::size_t ManyRows::multiply_first(std::span<const Slice> slices, std::span<std::byte> widened, void* workspace,
                                     std::vector<bool>& refused) const {
  std::vector<Product> stored, ours, multiplied;
  std::size_t used = 0;
  for (const Slice& slice : slices) {
    const std::size_t bytes = widened_bytes_of(slice.product);
    if (used + bytes > widened.size()) break;
    std::byte* const w = widened.data() + used;
    used += bytes;
    multiplied.push_back(as_multiplied(slice.product, w));
    if (!slice.plan) ours.push_back(multiplied.back());
    if (bytes == 0) continue;
    stored.push_back(slice.product);
    stored.back().scratch = w;
  }
  for_kinds(
      stored, [](const Product& p) { return std::pair(p.type, p.input_major); },
      [&](Products& products) { widen(stream_, products.product[0].type, products.product[0].input_major, products); });
  for (std::size_t i = 0; i < multiplied.size(); ++i) {
    const Product& p = multiplied[i];
    if (!slices[i].plan) continue;
    // Of a product in slices, which keeps or finishes its sums, those that were multiplied are made again with the others.
    if (!cublas_->multiply(stream_, *slices[i].plan, p.w, p.scratch, p.sums ? p.sums : p.out, p.add && !p.sums, workspace)) {
      refused[slices[i].of] = true;
    }
  }
  for_kinds(
      ours, [](const Product& p) { return std::pair(p.input_major, gemm_tile_rows(p)); },
      [&](Products& products) {
        const Product& first = products.product[0];
        gemm(stream_, first.type, first.input_major, gemm_tile_rows(first), products);
      });
  return multiplied.size();
}

}  // namespace rwkv::cuda
