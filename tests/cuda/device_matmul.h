// SPDX-License-Identifier: Apache-2.0
// Products of matrices and rows on the host by the CUDA backend.
#pragma once
#include <map>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "cuda/device_array.h"
#include "kernels/cuda/code.h"
#include "kernels/cuda/matmul.h"
#include "kernels/plain_matmul.h"

namespace rwkv::test {

// kernels/cuda/matmul.cu, many_rows.cu and digits.h
inline Rounding rounding() {
  const bool has_bf16 = cuda::code_capability() >= 80;
  return {.most_exact = has_bf16 ? 8 : INT64_MAX, .most_in_steps = 4, .rounds_x_for_f16 = true, .most_stored = 64};
}

// Copies of the host's arrays on the device, as long as this lives; null stays null.
class Uploads {
 public:
  template <class T>
  T* operator()(T* host, std::int64_t n) {
    if (!host) return nullptr;
    using Value = std::remove_const_t<T>;
    const auto array = std::make_shared<DeviceArray<Value>>(std::vector<Value>(host, host + n));
    kept_.push_back(array);
    return array->data();
  }

 private:
  std::vector<std::shared_ptr<void>> kept_;
};

inline std::int64_t bytes_of(const Matrix& m) { return rwkv::bytes_of(m.type, m.n_out * m.n_in); }

inline Matrix on_device(Uploads& upload, Matrix m) {
  m.mx = upload(m.mx, m.n_out), m.rx = upload(m.rx, m.n_out), m.my = upload(m.my, m.n_in), m.ry = upload(m.ry, m.n_in);
  m.scale = upload(m.scale, m.n_out * m.n_in / kI4Group);
  m.data = upload(static_cast<const std::uint8_t*>(m.data), bytes_of(m));
  return m;
}

// Products of arrays on the host.
inline void matmul(std::span<const MatMul> group, cuda::Cublas* cublas = nullptr) {
  Uploads upload;
  std::vector<MatMul> ops;
  std::map<const float*, float*> x;  // products of a group may have the same rows
  for (const MatMul& op : group) {
    const std::int64_t n_row = op.x.n_row, n_out = op.weight.n_out;
    ops.push_back(op);
    if (!x[op.x.data]) x[op.x.data] = upload(op.x.data, n_row * op.weight.n_in);
    ops.back().x.data = x[op.x.data];
    ops.back().weight = on_device(upload, op.weight);
    ops.back().out.data = upload(op.out.data, n_row * n_out);
    ops.back().bias = upload(op.bias, n_out);
    ops.back().gate = upload(op.gate, n_row * n_out);
  }
  cuda::Scratch scratch;
  cuda::matmul(nullptr, scratch, ops, cublas);
  cuda::check(cudaDeviceSynchronize());
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const Rows& out = group[i].out;
    cuda::check(cudaMemcpy(out.data, ops[i].out.data, out.n_row * out.n_col * 4, cudaMemcpyDeviceToHost));
  }
}
inline void matmul(const MatMul& op, cuda::Cublas* cublas = nullptr) { matmul({&op, 1}, cublas); }

}  // namespace rwkv::test
