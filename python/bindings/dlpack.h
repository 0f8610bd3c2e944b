// SPDX-License-Identifier: Apache-2.0
// The binary interface of DLPack 1.0, by which libraries hand arrays to each other:
// https://dmlc.github.io/dlpack/latest/c_api.html Versions from 1.0 on have their number in front; what is older has none.
#pragma once
#include <cstdint>

namespace rwkv::python::dlpack {

enum DeviceType : std::int32_t { kCpu = 1, kCuda = 2 };
enum TypeCode : std::uint8_t { kFloat = 2 };

struct Device {
  DeviceType type;
  std::int32_t id;
};

struct DataType {
  TypeCode code;
  std::uint8_t bits;
  std::uint16_t lanes;  // 1: no vectors
};

struct Tensor {
  void* data;
  Device device;
  std::int32_t n_dim;
  DataType type;
  std::int64_t* shape;        // [n_dim]
  std::int64_t* strides;      // [n_dim], in elements
  std::uint64_t byte_offset;  // of the first element from `data`
};

// Whoever takes one over calls its deleter, once, with itself.
struct ManagedTensor {
  static constexpr const char* kName = "dltensor";  // of the capsule; "used_dltensor" once it is taken over

  Tensor tensor;
  void* context;
  void (*deleter)(ManagedTensor*);
};

struct ManagedTensorVersioned {
  static constexpr const char* kName = "dltensor_versioned";

  std::uint32_t major, minor;
  void* context;
  void (*deleter)(ManagedTensorVersioned*);
  std::uint64_t flags;  // 1: read-only, 2: a copy
  Tensor tensor;
};

}  // namespace rwkv::python::dlpack
