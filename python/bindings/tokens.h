// SPDX-License-Identifier: Apache-2.0
// Token ids from Python objects.
#pragma once
#include <pybind11/pybind11.h>
#include <rwkv/model.h>

#include <vector>

namespace rwkv::python {

// An integer, a list, tuple, range or other sequence of integers, or a one-dimensional array of any integer type.
// Throws TypeError for anything else, TokenError for ids beyond 32 bits and for None.
[[nodiscard]] std::vector<Token> tokens_from(pybind11::handle object);

// One integer.
[[nodiscard]] Token token_from(pybind11::handle object);

}  // namespace rwkv::python
