// SPDX-License-Identifier: Apache-2.0
// WKV of RWKV-7 of CUDA for a test's inputs (kernels/plain_rwkv7.h).
#pragma once
#include "cuda/device_array.h"
#include "cuda/device_slot.h"
#include "kernels/cuda/rwkv7.h"
#include "kernels/plain_rwkv7.h"

namespace rwkv::test {

// The inputs on the device.
class DeviceWkv7 {
 public:
  explicit DeviceWkv7(const WkvInputs& in, DType state = DType::f32) : in_(in), s_(in.ragged.arrays[0], state), out_(in.out) {}

  [[nodiscard]] Batch batch() const { return {in_.ragged.n_seq(), in_.ragged.n_row(), offsets_.data()}; }
  [[nodiscard]] Wkv7 op() const {
    const auto rows = [&](const DeviceArray<float>& x) { return Rows{x.data(), in_.ragged.n_row(), in_.att}; };
    return {in_.att / in_.size, rows(r_), rows(w_), rows(k_), rows(v_), rows(kk_), rows(b_), s_.states(), rows(out_)};
  }
  void read(WkvInputs& in) const { in.out = out_.values(), in.ragged.arrays[0] = s_.values(); }

 private:
  const WkvInputs& in_;
  DeviceArray<std::int32_t> offsets_{in_.ragged.offsets};
  DeviceArray<float> r_{in_.r}, w_{in_.w}, k_{in_.k}, v_{in_.v}, kk_{in_.kk}, b_{in_.b};
  DeviceSlot s_;
  DeviceArray<float> out_;
};

}  // namespace rwkv::test
