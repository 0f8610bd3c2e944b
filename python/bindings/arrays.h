// SPDX-License-Identifier: Apache-2.0
// NumPy arrays of float32.
#pragma once
#include <pybind11/numpy.h>

#include <cstdint>
#include <span>
#include <vector>

#include "bindings.h"

namespace rwkv::python {

using Floats = py::array_t<float, py::array::c_style>;

// Contents undefined.
[[nodiscard]] Floats make_array(const std::vector<std::int64_t>& shape);

[[nodiscard]] std::span<float> values_of(Floats& array);

// Whatever NumPy can turn into float32, copied only if it has to be. Throws TypeError; `what` is for the message.
[[nodiscard]] Floats floats_from(py::handle object, const char* what);

[[nodiscard]] std::vector<std::int64_t> shape_of(const py::array& array);

[[nodiscard]] py::dtype dtype_of(const DeviceArray& array);

}  // namespace rwkv::python
