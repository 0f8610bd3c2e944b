// SPDX-License-Identifier: Apache-2.0
// One forward of a ragged batch as the blocks see it: the residual stream, the state, scratch rows, and the kernels in short
// form. R rows of all sequences, packed; C = n_embd.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>

#include "arch/architecture.h"
#include "arch/workspace.h"
#include "kernels/kernels.h"

namespace rwkv {

constexpr float kLayerNormEps = 1e-5f;

// A LayerNorm's weights, [C] each.
struct Norm {
  const float* weight = nullptr;
  const float* bias = nullptr;
};

class Pass {
 public:
  // residual: [R, C]; first_v: [R, A], or empty where the version has none.
  // s_type: of the states' S on the device.
  Pass(Device& device, Workspace& workspace, const Poll& poll, const Batch& batch, DType s_type, Rows residual, Rows first_v)
      : x(residual), v_first(first_v), device_(device), workspace_(workspace), poll_(poll), batch_(batch), s_type_(s_type) {}

  const Rows x;        // [R, C], the residual stream
  const Rows v_first;  // [R, A], what layer 0 hands to the others (version 7)

  // Runs one block on its slots of the state: n_slot times n_seq pointers, on the device.
  void run(const Block& block, void* const* slots) {
    slots_ = slots;
    const Workspace::Mark mark = workspace_.mark();
    block.run(*this);
    workspace_.release(mark);
  }

  [[nodiscard]] const KernelTable& kernels() const { return device_.kernels(); }
  [[nodiscard]] Device& device() const { return device_; }
  [[nodiscard]] const Batch& batch() const { return batch_; }
  [[nodiscard]] Workspace& workspace() const { return workspace_; }

  // Slot i of the current block, of float32: [n_seq] pointers.
  [[nodiscard]] float* const* slot(int i) const { return reinterpret_cast<float* const*>(slots_ + i * batch_.n_seq); }

  // The slot of S.
  [[nodiscard]] StateArrays s(int i) const { return {slots_ + i * batch_.n_seq, s_type_}; }

  // Undefined contents; valid until the block ends.
  [[nodiscard]] Rows rows(std::int64_t n_col) { return workspace_.rows(batch_.n_row, n_col); }

  [[nodiscard]] bool polls() const { return static_cast<bool>(poll_); }  // in front of each matrix product
  void matmul(std::span<const MatMul> group) {
    if (poll_) poll_();
    kernels().common.matmul(device_, group);
  }
  void matmul(std::initializer_list<MatMul> group) { matmul(std::span(group.begin(), group.size())); }

  // h = LN(x), mixed with h of the row before: a result per mu [C], of null h itself. difference: [R, C], h' - h.
  template <std::size_t kCount>
  [[nodiscard]] std::array<Rows, kCount> norm_shift(const Norm& norm, int last_x_slot, const float* const (&mu)[kCount],
                                                    float* difference = nullptr) {
    static_assert(kCount <= kMostShifts);
    std::array<Rows, kCount> mixed;
    std::array<NormShift::Output, kCount> outputs;
    for (std::size_t i = 0; i < kCount; ++i) {
      mixed[i] = rows(x.n_col);
      outputs[i] = {mu[i], mixed[i].data};
    }
    kernels().common.norm_shift(device_, batch_,
                                {x, norm.weight, norm.bias, kLayerNormEps, slot(last_x_slot), outputs, difference});
    return mixed;
  }

 private:
  Device& device_;
  Workspace& workspace_;
  const Poll& poll_;
  Batch batch_;
  DType s_type_;
  void* const* slots_ = nullptr;
};

}  // namespace rwkv
