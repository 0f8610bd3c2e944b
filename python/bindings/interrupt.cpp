// SPDX-License-Identifier: Apache-2.0
#include "interrupt.h"

#include <pybind11/gil_safe_call_once.h>
#include <pybind11/pybind11.h>

#include <chrono>

namespace rwkv::python {
namespace {

namespace py = pybind11;
using Clock = std::chrono::steady_clock;

constexpr auto kInterval = std::chrono::milliseconds(20);

bool in_main_thread() {
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> storage;
  const py::object& main_thread =
      storage.call_once_and_store_result([] { return py::object(py::module_::import("threading").attr("main_thread")); })
          .get_stored();
  return main_thread().attr("ident").cast<unsigned long>() == PyThread_get_thread_ident();
}

}  // namespace

Poll poll_signals() {
  if (!in_main_thread()) return {};
  return [last = Clock::now()]() mutable {
    const auto now = Clock::now();
    if (now - last < kInterval) return;
    last = now;
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  };
}

}  // namespace rwkv::python
