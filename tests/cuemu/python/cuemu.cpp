// SPDX-License-Identifier: Apache-2.0
// The Python module `cuemu`: what tests can set and ask of the emulator. It lies in the library of rwkvcpp._core, to be that
// one's emulator.
#include <pybind11/pybind11.h>

#include "cuemu/cuemu.h"

PYBIND11_MODULE(cuemu, m) {
  m.def("take_report", &cuemu::take_report);
  m.def("leaks", &cuemu::leaks);
  m.def("limit_memory", [](std::size_t bytes) { cuemu::config().device_memory = bytes; });
  m.def("limit_allocations", [](std::int64_t n) { cuemu::config().allocations_left = n; });
  // Copies to the device and from it, and waits for it, so far.
  m.def("traffic", [] {
    const cuemu::Counts& n = cuemu::counts();
    return pybind11::make_tuple(n.uploads, n.downloads, n.waits);
  });
}
