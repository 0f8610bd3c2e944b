// SPDX-License-Identifier: Apache-2.0
// DeviceArray: arrays on their device, handed to other libraries by DLPack.
#include <pybind11/stl.h>

#include <optional>

#include "arrays.h"
#include "dlpack.h"

namespace rwkv::python {
namespace {

dlpack::Device device_of(const DeviceArray& array) {
  return {array.device == DeviceArray::Kind::cpu ? dlpack::kCpu : dlpack::kCuda, array.ordinal};
}

// What a capsule points to: the tensor, and what its pointers point to. Deleted by the tensor's deleter, in any thread and
// without the GIL: nothing here is Python's.
template <class Managed>
struct Export {
  DeviceArray array;
  std::vector<std::int64_t> strides;
  Managed managed{};

  explicit Export(const DeviceArray& exported) : array(exported), strides(array.shape.size(), 1) {
    for (std::size_t i = strides.size(); i-- > 1;) strides[i - 1] = strides[i] * array.shape[i];
    managed.tensor = {
        .data = array.data,
        .device = device_of(array),
        .n_dim = static_cast<std::int32_t>(strides.size()),
        .type = {dlpack::kFloat, static_cast<std::uint8_t>(array.type == DeviceArray::Type::float16 ? 16 : 32), 1},
        .shape = array.shape.data(),
        .strides = strides.data(),
        .byte_offset = 0};
    managed.context = this;
    managed.deleter = [](Managed* self) { delete static_cast<Export*>(self->context); };
  }
};

// A consumer that takes the tensor over renames the capsule; of all others this is the end.
template <class Managed>
void destroy(PyObject* capsule) {
  if (!PyCapsule_IsValid(capsule, Managed::kName)) return;
  auto* const managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule, Managed::kName));
  managed->deleter(managed);
}

template <class Managed>
py::object capsule_of(std::unique_ptr<Export<Managed>> exported) {
  const auto capsule = py::reinterpret_steal<py::object>(PyCapsule_New(&exported->managed, Managed::kName, &destroy<Managed>));
  if (!capsule) throw py::error_already_set();
  exported.release();
  return capsule;
}

std::string device_name(const DeviceArray& array) {
  return array.device == DeviceArray::Kind::cpu ? "cpu" : "cuda:" + std::to_string(array.ordinal);
}

[[noreturn]] void refuse(const std::string& why) {
  PyErr_SetString(PyExc_BufferError, why.c_str());
  throw py::error_already_set();
}

// Nothing is left to do on any stream: see Model::forward and State::device_arrays().
void check_stream(const DeviceArray& array, const std::optional<std::int64_t>& stream) {
  if (!stream) return;
  if (array.device == DeviceArray::Kind::cpu) throw ArgumentError("stream must be None for memory of the CPU");
  if (*stream < -1 || *stream == 0) {
    throw ArgumentError("stream is " + std::to_string(*stream) +
                        "; it must be None, -1, 1 (the default stream), 2 (that of the thread) or a stream's address");
  }
}

using Pair = std::pair<std::int64_t, std::int64_t>;

py::object to_dlpack(const DeviceArray& array, std::optional<std::int64_t> stream, std::optional<Pair> max_version,
                     std::optional<Pair> dl_device, std::optional<bool> copy) {
  check_stream(array, stream);
  const dlpack::Device device = device_of(array);
  if (dl_device && *dl_device != Pair(device.type, device.id))
    refuse("the array is on " + device_name(array) + " and stays there");
  if (copy.value_or(false)) refuse("the array is given without a copy; copy what it becomes");
  if (!max_version || max_version->first < 1) return capsule_of(std::make_unique<Export<dlpack::ManagedTensor>>(array));
  auto exported = std::make_unique<Export<dlpack::ManagedTensorVersioned>>(array);
  exported->managed.major = 1;
  exported->managed.minor = 0;
  return capsule_of(std::move(exported));
}

}  // namespace

py::dtype dtype_of(const DeviceArray& array) { return py::dtype(array.type == DeviceArray::Type::float16 ? "e" : "f"); }

void register_device_array(py::module_& m) {
  using Array = Held<DeviceArray>;
  py::class_<Array, std::shared_ptr<Array>> type(m, "DeviceArray",
                                                 R"(An array where the device that computed it keeps it: of a state, or logits.

It holds numbers for other libraries, which take them without a copy by DLPack: torch.from_dlpack(array), numpy.from_dlpack(array) for
memory of the CPU. An array of a state is the state: forward() advances it, and writing changes it. On a card forward() returns when
its work is done; other libraries must have done theirs on the array before it is called (torch.cuda.synchronize()).

>>> array = rwkvcpp.load_demo().new_state().device_arrays()[1]
>>> array
DeviceArray(shape=(3, 64, 64), dtype=float32, device=cpu)
>>> import numpy
>>> numpy.from_dlpack(array).shape
(3, 64, 64)
)",
                                                 py::is_final(), plain_type());
  type.def_property_readonly(
          "shape", [](const Array& self) { return py::tuple(py::cast(self.shape)); }, "Of the array, which has no gaps.")
      .def_property_readonly(
          "dtype", [](const Array& self) { return dtype_of(self); }, "float32 or float16, as NumPy's type.")
      .def_property_readonly(
          "device", [](const Array& self) { return device_name(self); }, R"("cpu" or "cuda:0" ...)")
      .def(
          "__dlpack_device__",
          [](const Array& self) {
            const dlpack::Device device = device_of(self);
            return py::make_tuple(static_cast<int>(device.type), device.id);
          },
          "__dlpack_device__(self, /)\n--\n\n")
      .def(
          "__dlpack__",
          [](const Array& self, std::optional<std::int64_t> stream, std::optional<Pair> max_version,
             std::optional<Pair> dl_device,
             std::optional<bool> copy) { return to_dlpack(self, stream, max_version, dl_device, copy); },
          py::kw_only(), py::arg("stream") = py::none(), py::arg("max_version") = py::none(), py::arg("dl_device") = py::none(),
          py::arg("copy") = py::none(), "__dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None)\n--\n\n")
      .def("__repr__", [](const Array& self) {
        return "DeviceArray(shape=" + std::string(py::str(py::tuple(py::cast(self.shape)))) +
               ", dtype=" + std::string(py::str(dtype_of(self))) + ", device=" + device_name(self) + ")";
      });
  refuse_pickle(type);
}

}  // namespace rwkv::python
