// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/table.h"

#include "kernels/cuda/device.h"
#include "kernels/cuda/norm.h"
#include "kernels/cuda/pointwise.h"

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

}  // namespace

// A version whose kernels are not there yet is null.
const KernelTable& table() {
  static const KernelTable table{.name = "CUDA",
                                 .rounds_x = false,
                                 .common = {.embed = on_stream<embed>,
                                            .layer_norm = on_stream<layer_norm>,
                                            .matmul = nullptr,
                                            .token_shift = on_stream<token_shift>,
                                            .head_norm = on_stream<head_norm>},
                                 .rwkv4 = nullptr,
                                 .rwkv5 = nullptr,
                                 .rwkv6 = nullptr,
                                 .rwkv7 = nullptr};
  return table;
}

}  // namespace rwkv::cuda
