// SPDX-License-Identifier: Apache-2.0
// The keyword arguments of sampling, shared by Sampler and Pipeline.
#pragma once
#include "bindings.h"

namespace rwkv::python {

// Throws TypeError, or ArgumentError for a seed that is not in [0, 2^64).
[[nodiscard]] SamplingOptions sampling_options(float temperature, float top_p, int top_k, float min_p, double alpha_presence,
                                               double alpha_frequency, double alpha_decay, py::handle token_ban,
                                               py::handle seed);

// For def(): the names and defaults of sampling_options()'s arguments but the last two.
#define RWKV_SAMPLING_ARGUMENTS                                                                           \
  py::arg("temperature") = 1.0f, py::arg("top_p") = 0.85f, py::arg("top_k") = 0, py::arg("min_p") = 0.0f, \
  py::arg("alpha_presence") = 0.2, py::arg("alpha_frequency") = 0.2, py::arg("alpha_decay") = 0.996

}  // namespace rwkv::python
