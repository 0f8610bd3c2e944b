// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/pickle_globals.h"

namespace rwkv::pickle {
namespace {

struct Function {
  std::string_view module, name;
  GlobalKind kind;
};
constexpr Function kFunctions[] = {{"collections", "OrderedDict", GlobalKind::ordered_dict},
                                   {"torch._utils", "_rebuild_tensor_v2", GlobalKind::tensor_v2},
                                   {"torch._utils", "_rebuild_tensor", GlobalKind::tensor_v1},
                                   {"torch._utils", "_rebuild_parameter", GlobalKind::parameter}};

struct Type {
  std::string_view name;
  FileType type;
};
constexpr Type kStorages[] = {
    {"FloatStorage", FileType::f32},    {"HalfStorage", FileType::f16},  {"BFloat16Storage", FileType::bf16},
    {"DoubleStorage", FileType::f64},   {"ByteStorage", FileType::u8},   {"CharStorage", FileType::i8},
    {"ShortStorage", FileType::i16},    {"IntStorage", FileType::i32},   {"LongStorage", FileType::i64},
    {"BoolStorage", FileType::boolean}, {"UntypedStorage", FileType::u8}};
constexpr Type kTypes[] = {
    {"float32", FileType::f32}, {"float", FileType::f32}, {"float64", FileType::f64},   {"double", FileType::f64},
    {"float16", FileType::f16}, {"half", FileType::f16},  {"bfloat16", FileType::bf16}, {"uint8", FileType::u8},
    {"int8", FileType::i8},     {"int16", FileType::i16}, {"short", FileType::i16},     {"int32", FileType::i32},
    {"int", FileType::i32},     {"int64", FileType::i64}, {"long", FileType::i64},      {"bool", FileType::boolean}};

}  // namespace

std::optional<Global> find_global(std::string_view module, std::string_view name) {
  for (const Function& f : kFunctions)
    if (f.module == module && f.name == name) return Global{f.kind};
  if (module == "torch" || module == "torch.storage" || module == "torch.cuda")
    for (const Type& t : kStorages)
      if (t.name == name) return Global{GlobalKind::storage, t.type};
  if (module == "torch")
    for (const Type& t : kTypes)
      if (t.name == name) return Global{GlobalKind::dtype, t.type};
  return {};
}

}  // namespace rwkv::pickle
