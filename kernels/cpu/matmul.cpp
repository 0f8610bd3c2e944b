// SPDX-License-Identifier: Apache-2.0
// out = activation(x W^T + bias) for a group of matrices: y[r, m] = sum_n x[r, n] W[m, n], float32 sums. A task takes some
// columns of the output, that is rows of W; of an input-major matrix and few rows of x, some rows of W^T.
#include <span>
#include <vector>

#include "kernels/cpu/device.h"
#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matmul.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/few_rows-inl.h"
#include "kernels/cpu/many_rows-inl.h"
#include "kernels/cpu/many_rows_bf16-inl.h"
#include "kernels/cpu/parts_bf16-inl.h"
#include "kernels/cpu/turned_bf16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {
namespace {

// Columns [first, first + kFewColumns) for few rows.
void multiply_few(const Product& p, std::int64_t first) {
  if (p.digits.n > 0) return digit_rows(p, first);
  with_load(p.op->weight.type, [&](auto load) HWY_ATTR { few_rows<decltype(load)>(p, first); });
}

void multiply(const Product& p, std::int64_t task) {
  const std::int64_t first = task * p.columns(), end = std::min(first + p.columns(), p.op->weight.n_out);
  if (p.in_parts()) return p.bf16 ? add_part_bf16(p, task) : add_part(p, task);
  if (p.turned()) return turned_bf16(p, first);
  if (p.bf16) return many_rows_bf16(p, first);
  if (p.panels) {
    if (p.op->weight.type == DType::i4) return many_rows<LoadI4>(p, first);
    return with_load(p.op->weight.type, [&](auto load) HWY_ATTR { many_rows<decltype(load)>(p, first); });
  }
  for (std::int64_t column = first; column < end; column += kFewColumns) multiply_few(p, column);
}

void add_parts(const Product& p, std::int64_t task) {
  if (p.bf16) return finish_parts_bf16(p, task * kBf16Block);
  finish_parts(p, task);
}

// Calls body(product, task) for all tasks of all products, `count(product)` of each.
template <class Count, class Body>
void for_all(ThreadPool& pool, std::span<const Product> products, const Count& count, const Body& body) {
  std::int64_t all = 0;
  for (const Product& p : products) all += count(p);
  pool.parallel_for(all, [&](std::int64_t task) {
    const Product* p = products.data();
    for (; task >= count(*p); ++p) task -= count(*p);
    body(*p, task);
  });
}

// Gives every product its part of the scratch memory; those with the same panels share them.
void place(std::span<Product> products, std::byte* memory) {
  for (Product& p : products) {
    if (p.in_parts()) p.sums = reinterpret_cast<float*>(memory);
    memory += p.sum_bytes();
    if (!p.has_panels()) continue;
    const auto same =
        std::ranges::find_if(products, [&](const Product& other) { return other.panels && other.same_panels(p); });
    p.packs = same == products.end();
    p.panels = p.packs ? memory : same->panels;
    if (p.packs) memory += p.n_panels() * p.panel_bytes();
  }
}

void matmul(Device& device, std::span<const MatMul> group) {
  auto& cpu = static_cast<CpuDevice&>(device);
  ThreadPool& pool = cpu.pool();
  std::vector<Product> products(group.begin(), group.end());
  std::int64_t bytes = 0;
  for (const Product& p : products) bytes += p.scratch_bytes();
  Buffer scratch = bytes ? cpu.take_scratch(static_cast<std::size_t>(bytes)) : Buffer();
  place(products, static_cast<std::byte*>(scratch.data()));
  for_all(
      pool, products, [](const Product& p) { return p.packs ? p.n_panels() : 0; }, pack_panel);
  for_all(
      pool, products, [](const Product& p) { return p.tasks(); }, multiply);
  for_all(
      pool, products, [](const Product& p) { return p.finishing_tasks(); }, add_parts);
  if (bytes) cpu.give_scratch(std::move(scratch));
}

MatMulKernels kernels() { return {matmul, hwy::TargetName(HWY_TARGET), kernel_for_bf16() != nullptr}; }

}  // namespace
}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rwkv::cpu {
HWY_EXPORT(kernels);
MatMulKernels matmul_kernels() { return HWY_DYNAMIC_DISPATCH(kernels)(); }
}  // namespace rwkv::cpu
#endif
