// SPDX-License-Identifier: Apache-2.0
// C++ exceptions become those of rwkvcpp/errors.py, with their message.
#include <cerrno>
#include <new>

#include "bindings.h"

namespace rwkv::python {
namespace {

void raise(const char* name, const char* message) { py::set_error(py::module_::import("rwkvcpp.errors").attr(name), message); }

void raise(const FileError& error) {
  const char* const name = error.code == ENOENT ? "MissingFileError" : "FileError";
  const py::object type = py::module_::import("rwkvcpp.errors").attr(name);
  PyErr_SetObject(type.ptr(), py::make_tuple(error.code, error.what()).ptr());
}

void translate(std::exception_ptr error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const FileError& e) {
    raise(e);
  } catch (const CheckpointError& e) {
    raise("CheckpointError", e.what());
  } catch (const StrategyError& e) {
    raise("StrategyError", e.what());
  } catch (const DeviceError& e) {
    raise("DeviceError", e.what());
  } catch (const OutOfMemoryError& e) {
    raise("OutOfMemoryError", e.what());
  } catch (const std::bad_alloc&) {
    raise("OutOfMemoryError", "out of memory");
  } catch (const TokenError& e) {
    raise("TokenError", e.what());
  } catch (const StateError& e) {
    raise("StateError", e.what());
  } catch (const TokenizerError& e) {
    raise("TokenizerError", e.what());
  } catch (const ArgumentError& e) {
    raise("ArgumentError", e.what());
  } catch (const NumericError& e) {
    raise("NumericError", e.what());
  } catch (const Error& e) {
    raise("RwkvError", e.what());
  } catch (const py::cast_error& e) {  // a State that was made without calling anything
    py::set_error(PyExc_TypeError, e.what());
  }
}

}  // namespace

void register_errors(py::module_&) { py::register_exception_translator(&translate); }

}  // namespace rwkv::python
