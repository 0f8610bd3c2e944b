// SPDX-License-Identifier: Apache-2.0
// Many numbers from one type to another on the host, with the instruction set of this machine: the results of half.h.
#pragma once
#include <cstdint>

#include "kernels/tensor.h"

namespace rwkv {

// One pair of types. in, out: [n], aligned to their elements, apart from each other; little-endian as in files. Returns whether
// an infinity or a NaN may be among the results of f32 or bf16 to f16: a number beyond 65504 has become one, or was one
// already.
using Convert = bool (*)(const void* in, void* out, std::int64_t n);

// f32, f16 and bf16 to each other; the same type is a copy.
[[nodiscard]] Convert converter(DType from, DType to);

}  // namespace rwkv
