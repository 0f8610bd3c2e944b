// SPDX-License-Identifier: Apache-2.0
#include "arrays.h"

namespace rwkv::python {

Floats make_array(const std::vector<std::int64_t>& shape) {
  return Floats(std::vector<py::ssize_t>(shape.begin(), shape.end()));
}

std::span<float> values_of(Floats& array) { return {array.mutable_data(), static_cast<std::size_t>(array.size())}; }

Floats floats_from(py::handle object, const char* what) {
  auto array = py::array_t<float, py::array::c_style | py::array::forcecast>::ensure(object);
  if (array && !object.is_none()) return py::reinterpret_steal<Floats>(array.release());
  PyErr_Clear();
  const bool on_device = py::isinstance<Held<DeviceArray>>(object);
  throw py::type_error(std::string(what) + " must be numbers, found " +
                       std::string(py::str(py::type::of(object).attr("__name__"))) +
                       (on_device ? "; State.to_list() gives copies, and forward() without on_device logits" : ""));
}

std::vector<std::int64_t> shape_of(const py::array& array) { return {array.shape(), array.shape() + array.ndim()}; }

}  // namespace rwkv::python
