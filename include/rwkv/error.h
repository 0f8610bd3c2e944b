// SPDX-License-Identifier: Apache-2.0
// The exceptions of this library. Each message names the file, tensor or argument, what was expected and what was found.
#pragma once
#include <stdexcept>
#include <string>

namespace rwkv {

// Base of everything this library throws on purpose.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The operating system refused: missing file, no permission, disk full. `code` is its errno.
class FileError : public Error {
 public:
  FileError(const std::string& message, int errno_value) : Error(message), code(errno_value) {}
  int code;
};

// A file is not a checkpoint, is damaged, or holds a model that cannot be run.
class CheckpointError : public Error {
 public:
  using Error::Error;
};

// A strategy string cannot be parsed or does not fit the model.
class StrategyError : public Error {
 public:
  using Error::Error;
};

// A device is missing or failed.
class DeviceError : public Error {
 public:
  using Error::Error;
};

// Host or device memory ran out.
class OutOfMemoryError : public Error {
 public:
  using Error::Error;
};

// A token is outside the vocabulary, or a sequence is empty.
class TokenError : public Error {
 public:
  using Error::Error;
};

// A state is of another model, damaged, or used by two sequences of one batch.
class StateError : public Error {
 public:
  using Error::Error;
};

// A vocabulary file is missing or malformed.
class TokenizerError : public Error {
 public:
  using Error::Error;
};

// An argument is outside its range; the message names both.
class ArgumentError : public Error {
 public:
  using Error::Error;
};

// NaN or infinity where a finite number is needed.
class NumericError : public Error {
 public:
  using Error::Error;
};

}  // namespace rwkv
