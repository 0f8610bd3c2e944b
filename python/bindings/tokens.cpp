// SPDX-License-Identifier: Apache-2.0
#include "tokens.h"

#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

namespace rwkv::python {
namespace {

namespace py = pybind11;

constexpr Py_ssize_t kItemsBetweenSignals = 1 << 16;

[[noreturn]] void refuse(py::handle object) {
  if (object.is_none()) throw TokenError("tokens is None; to continue a text, pass the token that was sampled");
  if (py::isinstance<py::str>(object)) throw py::type_error("tokens are ids, not text: see Tokenizer.encode()");
  throw py::type_error("tokens must be integers: an int, a list, tuple or range of them, or an integer array; found " +
                       std::string(py::str(py::type::of(object).attr("__name__"))));
}

// Ids beyond 32 bits are out of any vocabulary; the message names them as they are.
Token checked(py::handle original, long long id) {
  if (id < std::numeric_limits<Token>::min() || id > std::numeric_limits<Token>::max()) {
    throw TokenError("token " + std::string(py::str(original)) + " is outside the vocabulary of any model");
  }
  return static_cast<Token>(id);
}

// A buffer that is released at the end of its scope.
class Buffer {
 public:
  explicit Buffer(py::handle object) {
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_RECORDS_RO) != 0) throw py::error_already_set();
  }
  ~Buffer() { PyBuffer_Release(&view_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  const Py_buffer& operator*() const { return view_; }

 private:
  Py_buffer view_;
};

template <class T>
std::vector<Token> read(const Py_buffer& view) {
  std::vector<Token> tokens(static_cast<std::size_t>(view.shape[0]));
  const char* from = static_cast<const char*>(view.buf);
  for (Token& token : tokens) {
    T id;
    std::memcpy(&id, from, sizeof id);
    from += view.strides[0];
    if (!std::in_range<Token>(id)) throw TokenError("token " + std::to_string(id) + " is outside the vocabulary of any model");
    token = static_cast<Token>(id);
  }
  return tokens;
}

template <class Signed>
std::vector<Token> read(const Py_buffer& view, bool is_signed) {
  return is_signed ? read<Signed>(view) : read<std::make_unsigned_t<Signed>>(view);
}

// The struct module's letters of integers. Their size is the item's: "l" has 4 or 8 bytes.
std::vector<Token> from_buffer(py::handle object) {
  const Buffer buffer(object);
  const Py_buffer& view = *buffer;
  const std::string format = view.format ? view.format : "B";
  const std::size_t letter = format.find_first_not_of("@=<>");
  const bool is_signed = format.find_first_of("bhilqn") != std::string::npos;
  if (letter == std::string::npos || format.size() != letter + 1 ||
      (!is_signed && format.find_first_of("BHILQN") == std::string::npos)) {
    throw py::type_error("tokens must be integers; found an array of format \"" + format + "\"");
  }
  if (format.starts_with('>') && view.itemsize > 1) {  // the other byte order
    const py::object array = py::module_::import("numpy").attr("asarray")(object);
    return from_buffer(array.attr("astype")(array.attr("dtype").attr("newbyteorder")("=")));
  }
  if (view.ndim == 0) return {token_from(object)};
  if (view.ndim != 1) {
    throw py::type_error("tokens must have one dimension, found " + std::to_string(view.ndim) +
                         "; forward_batch() takes several texts");
  }
  switch (view.itemsize) {
    case 1:
      return read<std::int8_t>(view, is_signed);
    case 2:
      return read<std::int16_t>(view, is_signed);
    case 4:
      return read<std::int32_t>(view, is_signed);
    default:
      return read<std::int64_t>(view, is_signed);
  }
}

// A list or a tuple. An item's __index__ may change a list while it is read: ask for the size again, and hold the item.
std::vector<Token> from_list(py::handle list) {
  std::vector<Token> tokens;
  tokens.reserve(static_cast<std::size_t>(PySequence_Fast_GET_SIZE(list.ptr())));
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(list.ptr()); ++i) {
    tokens.push_back(token_from(py::reinterpret_borrow<py::object>(PySequence_Fast_GET_ITEM(list.ptr(), i))));
  }
  return tokens;
}

// Anything else with a length and items. Neither is believed: the length may be absurd.
std::vector<Token> from_sequence(py::handle object) {
  const Py_ssize_t size = PySequence_Size(object.ptr());
  if (size < 0) throw py::error_already_set();
  std::vector<Token> tokens;
  for (Py_ssize_t i = 0; i < size; ++i) {
    if (i % kItemsBetweenSignals == 0 && PyErr_CheckSignals() != 0) throw py::error_already_set();
    const auto item = py::reinterpret_steal<py::object>(PySequence_GetItem(object.ptr(), i));
    if (!item) throw py::error_already_set();
    tokens.push_back(token_from(item));
  }
  return tokens;
}

}  // namespace

Token token_from(py::handle object) {
  if (PyLong_Check(object.ptr())) {
    int overflow = 0;
    const long long id = PyLong_AsLongLongAndOverflow(object.ptr(), &overflow);
    if (id == -1 && PyErr_Occurred()) throw py::error_already_set();
    return checked(object, overflow != 0 ? std::numeric_limits<long long>::max() : id);
  }
  if (!PyIndex_Check(object.ptr())) refuse(object);
  const auto integer = py::reinterpret_steal<py::object>(PyNumber_Index(object.ptr()));
  if (!integer) throw py::error_already_set();
  return token_from(integer);
}

std::vector<Token> tokens_from(py::handle object) {
  if (PyLong_Check(object.ptr())) return {token_from(object)};
  if (PyObject_CheckBuffer(object.ptr())) {
    return PySequence_Check(object.ptr()) ? from_buffer(object) : std::vector{token_from(object)};  // else a NumPy scalar
  }
  if (PyList_Check(object.ptr()) || PyTuple_Check(object.ptr())) return from_list(object);
  if (object.is_none() || py::isinstance<py::str>(object)) refuse(object);
  if (py::hasattr(object, "__array__")) {  // tensors of other libraries
    return tokens_from(py::module_::import("numpy").attr("asarray")(object));
  }
  if (PyIndex_Check(object.ptr())) return {token_from(object)};
  if (PySequence_Check(object.ptr()) && !PyDict_Check(object.ptr())) return from_sequence(object);
  refuse(object);
}

}  // namespace rwkv::python
