// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/table.h"

#include "kernels/cuda/device.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/norm.h"
#include "kernels/cuda/norm_shift.h"
#include "kernels/cuda/rwkv4.h"
#include "kernels/cuda/rwkv5.h"
#include "kernels/cuda/rwkv6.h"
#include "kernels/cuda/rwkv7.h"
#include "kernels/cuda/sample.h"

namespace rwkv::cuda {
namespace {

// Kernels are only called with the device whose table they are in.
CudaDevice& cuda_device(Device& device) { return static_cast<CudaDevice&>(device); }

// on_stream<layer_norm>: layer_norm(stream, op) as an entry of the table, layer_norm(device, op).
template <auto launch>
struct OnStream;
template <class... Operands, void (*launch)(cudaStream_t, Operands...)>
struct OnStream<launch> {
  static void run(Device& device, Operands... operands) {
    const CudaDevice& card = cuda_device(device);
    const CurrentDevice current(card.ordinal());
    launch(card.stream(), operands...);
  }
};
template <auto launch>
constexpr auto on_stream = &OnStream<launch>::run;

void matmul_on_card(Device& device, std::span<const MatMul> group) {
  CudaDevice& card = cuda_device(device);
  const CurrentDevice current(card.ordinal());
  matmul(card.stream(), card.scratch(), group, &card.cublas());
}

std::size_t scratch_bytes_on_card(Device& device, const MatMul& op) {
  const CurrentDevice current(cuda_device(device).ordinal());
  return scratch_bytes(op);
}

void sample_on_card(Device& device, const Sample& op) {
  CudaDevice& card = cuda_device(device);
  const CurrentDevice current(card.ordinal());
  sample(card.stream(), card.scratch(), op);
}

constexpr Rwkv4Kernels kRwkv4{.wkv = on_stream<wkv4>};
constexpr Rwkv5Kernels kRwkv5{.wkv = on_stream<linear_attention>};
constexpr Rwkv6Kernels kRwkv6{.decay = on_stream<decay>, .wkv = on_stream<linear_attention>};
constexpr Rwkv7Kernels kRwkv7{.delta_rule = on_stream<delta_rule>};

}  // namespace

// Products of 2,048 x 2,048 are 128 tiles then, as many as large cards have multiprocessors.
constexpr std::int64_t kRoundRows = 1024;

// A version whose kernels are not there yet is null.
const KernelTable& table() {
  static const KernelTable table{.name = "CUDA",
                                 .rounds_x = true,
                                 .round_rows = kRoundRows,
                                 .half_states = true,
                                 .common = {.embed = on_stream<embed>,
                                            .layer_norm = on_stream<layer_norm>,
                                            .norm_shift = on_stream<norm_shift>,
                                            .matmul = matmul_on_card,
                                            .head_norm = on_stream<head_norm>,
                                            .scratch_bytes = scratch_bytes_on_card,
                                            .sample = sample_on_card},
                                 .rwkv4 = &kRwkv4,
                                 .rwkv5 = &kRwkv5,
                                 .rwkv6 = &kRwkv6,
                                 .rwkv7 = &kRwkv7};
  return table;
}

}  // namespace rwkv::cuda
