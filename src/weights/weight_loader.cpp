// SPDX-License-Identifier: Apache-2.0
#include "weights/weight_loader.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "fnv1a.h"
#include "kernels/convert.h"
#include "kernels/half.h"
#include "kernels/i4.h"
#include "kernels/transpose.h"
#include "message.h"
#include "weights/i4.h"

namespace rwkv {
namespace {

// Bytes of device memory that one thread fills at once: a huge page of the CPU, or what gives all threads a part of a small
// matrix.
constexpr std::int64_t kPart = std::int64_t{2} << 20;
constexpr std::int64_t kSmallPart = std::int64_t{1} << 18;
constexpr std::int64_t kSmallMatrix = 2 * kPart;

constexpr std::size_t kProblemsShown = 10;

std::vector<std::int64_t> without_ones(const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> out;
  std::ranges::copy_if(shape, std::back_inserter(out), [](std::int64_t n) { return n != 1; });
  return out;
}

bool same_sizes(const std::vector<std::int64_t>& found, const std::vector<std::int64_t>& expected) {
  return std::ranges::equal(found, expected, [](std::int64_t f, std::int64_t e) { return e == kAnySize ? f > 0 : f == e; });
}

// Dimensions of 1 do not count, unless they are the model's own (a rank of 1).
bool fits(const std::vector<std::int64_t>& found, const std::vector<std::int64_t>& expected) {
  return same_sizes(found, expected) || same_sizes(without_ones(found), without_ones(expected));
}

std::string expected_text(const std::vector<std::int64_t>& shape) {
  std::string text = shape_text(shape);
  for (std::size_t at; (at = text.find("-1")) != std::string::npos;) text.replace(at, 2, "any");
  return text;
}

bool is_float(FileType type) {
  return type == FileType::f64 || type == FileType::f32 || type == FileType::f16 || type == FileType::bf16;
}

std::optional<DType> stored_type(FileType type) {
  switch (type) {
    case FileType::f32:
      return DType::f32;
    case FileType::f16:
      return DType::f16;
    case FileType::bf16:
      return DType::bf16;
    default:
      return {};
  }
}

std::int64_t rows_at_once(std::int64_t n_row, std::int64_t row_bytes) {
  const std::int64_t part = n_row * row_bytes < kSmallMatrix ? kSmallPart : kPart;
  return std::clamp<std::int64_t>(part / std::max<std::int64_t>(row_bytes, 1), 1, std::max<std::int64_t>(n_row, 1));
}

}  // namespace

std::vector<std::int64_t> WeightLoader::shape(std::string_view name) const {
  const TensorInfo* tensor = file_.find(prefix_ + std::string(name));
  return tensor ? without_ones(tensor->shape) : std::vector<std::int64_t>{};
}

// Notes that the vectors of a quantised tensor belong to the model.
void WeightLoader::use_parts_of(const TensorInfo& tensor) {
  const Quantization quantization = quantization_of(file_, tensor);
  if (quantization == Quantization::i4) log_.used.insert(tensor.name + kI4Scale);
  if (quantization != Quantization::i8) return;
  for (const char* suffix : {".mx", ".rx", ".my", ".ry"}) log_.used.insert(tensor.name + suffix);
}

// Null: it is missing or has another shape, which is noted.
const TensorInfo* WeightLoader::expect(std::string_view name, const std::vector<std::int64_t>& shape) {
  const std::string full = prefix_ + std::string(name);
  const TensorInfo* tensor = file_.find(full);
  if (!tensor) {
    log_.problems.push_back(message("missing ", full, ", expected ", expected_text(shape)));
    return nullptr;
  }
  log_.used.insert(full);
  const Quantization quantization = quantization_of(file_, *tensor);
  if (!is_float(tensor->type) && quantization == Quantization::none) {
    log_.problems.push_back(message(full, ": expected floating point numbers, found ", name_of(tensor->type)));
    return nullptr;
  }
  const bool i4 = quantization == Quantization::i4;
  const std::vector<std::int64_t> found = i4 ? std::vector{tensor->shape[0], tensor->shape[1] * 2} : tensor->shape;
  if (!fits(found, shape)) {
    log_.problems.push_back(message(full, ": expected shape ", expected_text(shape), ", found ", shape_text(found)));
    return nullptr;
  }
  return tensor;
}

void WeightLoader::report() const {
  if (log_.progress) log_.progress(log_.bytes_read);
}

// task(first, count) for parts of at most `at_once` of [0, n), on all threads. Of several errors the one of the lowest part is
// thrown, as one thread would; before it, what `progress` throws.
void WeightLoader::each_part(std::int64_t n, std::int64_t at_once, const PartTask& task) {
  const std::int64_t parts = (n + at_once - 1) / at_once;
  const std::thread::id caller = std::this_thread::get_id();
  std::mutex lock;
  std::exception_ptr error;
  std::atomic<std::int64_t> failed = parts;  // the lowest part that did; those after it need not be done
  device_->parallel_for(parts, [&](std::int64_t part) {
    std::int64_t failing = part;
    try {
      if (part > failed) return;
      task(part * at_once, std::min(at_once, n - part * at_once));
      failing = -1;
      if (std::this_thread::get_id() == caller) report();
    } catch (...) {
      const std::lock_guard guard(lock);
      if (failing >= failed) return;
      failed = failing;
      error = std::current_exception();
    }
  });
  if (error) std::rethrow_exception(error);
  report();
}

std::vector<float> WeightLoader::read_floats(const TensorInfo& tensor) {
  std::vector<float> values(tensor.count());
  file_.read(tensor, 0, values);
  log_.bytes_read += tensor.count() * bytes_of(tensor.type);
  report();
  return values;
}

// Elements [first, first + n): as they lie, or through a conversion.
void WeightLoader::read_as(DType type, const TensorInfo& tensor, std::int64_t first, std::int64_t n, std::byte* out) {
  const std::optional<DType> stored = stored_type(tensor.type);
  if (stored == type) {
    file_.read_stored(tensor, first, {out, static_cast<std::size_t>(n * bytes_of(type))});
  } else if (stored) {
    const std::int64_t bytes = n * bytes_of(*stored);
    const auto in = log_.staging.lease<std::byte>(bytes);
    file_.read_stored(tensor, first, {in.get(), static_cast<std::size_t>(bytes)});
    convert(tensor, *stored, in.get(), type, out, n);
  } else {
    const auto in = log_.staging.lease<float>(n);
    file_.read(tensor, first, {in.get(), static_cast<std::size_t>(n)});
    convert(tensor, DType::f32, in.get(), type, out, n);
  }
  log_.bytes_read += n * bytes_of(tensor.type);
}

void WeightLoader::convert(const TensorInfo& tensor, DType from, const void* in, DType to, void* out, std::int64_t n) const {
  if (!converter(from, to)(in, out, n)) return;
  const auto values = log_.staging.lease<float>(n);
  converter(from, DType::f32)(in, values.get(), n);
  for (std::int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(values[i]) || (f32_to_f16(values[i]) & 0x7fff) != 0x7c00) continue;
    throw CheckpointError(message(file_.path(), ": ", printable(tensor.name), " holds ", values[i],
                                  ", which does not fit fp16 (at most 65504); use bf16 or fp32"));
  }
}

std::byte* WeightLoader::allocate(std::int64_t bytes) {
  log_.weight_bytes += bytes;
  return memory_.take(static_cast<std::size_t>(bytes));
}

std::vector<float> WeightLoader::host_vector(std::string_view name, const std::vector<std::int64_t>& shape) {
  const TensorInfo* tensor = expect(name, shape);
  if (!tensor) return {};
  if (!device_) return std::vector<float>(tensor->count());
  std::vector<float> values = read_floats(*tensor);
  log_.fingerprint = fnv1a(log_.fingerprint, std::as_bytes(std::span(values)));
  return values;
}

const float* WeightLoader::upload(std::span<const float> values) {
  std::byte* const memory = allocate(static_cast<std::int64_t>(values.size_bytes()));
  if (device_) memory_.upload(memory, values.data(), values.size_bytes());
  return reinterpret_cast<const float*>(memory);
}

const float* WeightLoader::vector(std::string_view name, const std::vector<std::int64_t>& shape, float (*change)(float)) {
  std::vector<float> values = host_vector(name, shape);
  if (change) std::ranges::transform(values, values.begin(), change);
  return upload(values);
}

Matrix WeightLoader::allocate_matrix(DType type, std::int64_t n_out, std::int64_t n_in, Layout layout) {
  return {.type = type,
          .n_out = n_out,
          .n_in = n_in,
          .data = allocate(n_out * n_in * bytes_of(type)),
          .input_major = layout == Layout::input_major};
}

// Rows [first, first + n), from host memory to where they belong.
void WeightLoader::store(const Matrix& matrix, std::int64_t first, std::int64_t n, const std::byte* rows) {
  const std::int64_t size = bytes_of(matrix.type), n_in = matrix.n_in;
  auto* const memory = static_cast<std::byte*>(const_cast<void*>(matrix.data));
  if (!matrix.input_major) {
    return memory_.upload(memory + first * n_in * size, rows, static_cast<std::size_t>(n * n_in * size));
  }
  if (auto* const host = memory_.host(memory)) {
    return transposer(size)(rows, n, n_in, n_in, host + first * size, matrix.n_out);
  }
  const auto columns = log_.staging.lease<std::byte>(n * n_in * size);
  transposer(size)(rows, n, n_in, n_in, columns.get(), n);
  memory_.upload_rows(memory + first * size, static_cast<std::size_t>(matrix.n_out * size), columns.get(),
                      static_cast<std::size_t>(n * size), static_cast<std::size_t>(n_in));
}

// Into the device's memory, or through some rows beside it: the whole matrix is never in memory twice.
Matrix WeightLoader::load_rows(DType type, std::int64_t n_out, std::int64_t n_in, Layout layout, const FillRows& fill) {
  const Matrix matrix = allocate_matrix(type, n_out, n_in, layout);
  const std::int64_t row_bytes = n_in * bytes_of(type);
  auto* const memory = memory_.host(static_cast<std::byte*>(const_cast<void*>(matrix.data)));
  const bool direct = memory && !matrix.input_major;
  each_part(n_out, rows_at_once(n_out, row_bytes), [&](std::int64_t first, std::int64_t n) {
    if (direct) return fill(first, n, memory + first * row_bytes);
    const auto host = log_.staging.lease<std::byte>(n * row_bytes);
    fill(first, n, host.get());
    store(matrix, first, n, host.get());
  });
  return matrix;
}

// Rows of a matrix as stored, or of what was quantised by rwkv-convert.
WeightLoader::FillRows WeightLoader::rows_of(const TensorInfo& tensor, std::int64_t n_in, DType type) {
  const Quantization quantization = quantization_of(file_, tensor);
  if (quantization == Quantization::i8) return rows_of_i8(tensor, n_in, type);
  if (quantization == Quantization::i4) return rows_of_i4(tensor, n_in, type);
  return [this, &tensor, n_in, type](std::int64_t first, std::int64_t n, std::byte* out) {
    read_as(type, tensor, first * n_in, n * n_in, out);
  };
}

WeightLoader::FillRows WeightLoader::rows_of_i8(const TensorInfo& tensor, std::int64_t n_in, DType type) {
  auto vectors = quantized_vectors(tensor.name, tensor.count() / n_in, n_in);
  return [this, &tensor, n_in, type, vectors](std::int64_t first, std::int64_t n, std::byte* out) {
    const auto count = static_cast<std::size_t>(n * n_in);
    const auto q = log_.staging.lease<std::uint8_t>(n * n_in);
    const auto values = log_.staging.lease<float>(n * n_in);
    file_.read_bytes(tensor, first * n_in, {q.get(), count});
    dequantize(vectors, first, {q.get(), count}, {values.get(), count});
    convert(tensor, DType::f32, values.get(), type, out, n * n_in);
    log_.bytes_read += n * n_in;
  };
}

WeightLoader::FillRows WeightLoader::rows_of_i4(const TensorInfo& tensor, std::int64_t n_in, DType type) {
  return [this, &tensor, n_in, type](std::int64_t first, std::int64_t n, std::byte* out) {
    const std::int64_t count = n * n_in;
    const auto q = log_.staging.lease<std::uint8_t>(i4_bytes(count));
    const auto scale = log_.staging.lease<std::uint16_t>(i4_scales(count));
    const auto values = log_.staging.lease<float>(count);
    read_i4(tensor, first * n_in, count, q.get(), scale.get());
    dequantize_i4(q.get(), scale.get(), {values.get(), static_cast<std::size_t>(count)});
    convert(tensor, DType::f32, values.get(), type, out, count);
  };
}

// Numbers [first, first + n), whole rows.
void WeightLoader::read_i4(const TensorInfo& tensor, std::int64_t first, std::int64_t n, std::uint8_t* q,
                           std::uint16_t* scale) {
  const TensorInfo* const scales = file_.find(tensor.name + kI4Scale);
  if (scales->type != FileType::bf16 || scales->count() * kI4Group != tensor.count() * 2) {
    throw CheckpointError(message(file_.path(), ": ", printable(scales->name), ": expected bf16 [", tensor.shape[0], ", ",
                                  i4_scales(tensor.shape[1] * 2), "] beside the 4-bit weights"));
  }
  file_.read_stored(tensor, i4_bytes(first), {reinterpret_cast<std::byte*>(q), static_cast<std::size_t>(i4_bytes(n))});
  file_.read_stored(*scales, i4_scales(first),
                    {reinterpret_cast<std::byte*>(scale), static_cast<std::size_t>(i4_scales(n)) * sizeof *scale});
  log_.bytes_read += i4_bytes(n) + i4_scales(n) * static_cast<std::int64_t>(sizeof *scale);
}

QuantizedVectors WeightLoader::quantized_vectors(const std::string& name, std::int64_t n_out, std::int64_t n_in) {
  const auto part = [&](const char* suffix, std::int64_t n) {
    const TensorInfo* tensor = file_.find(name + suffix);
    if (!tensor || tensor->type != FileType::f32 || tensor->count() != n) {
      throw CheckpointError(
          message(file_.path(), ": ", printable(name), suffix, ": expected fp32 [", n, "] beside the 8-bit weights"));
    }
    log_.used.insert(tensor->name);
    return read_floats(*tensor);
  };
  QuantizedVectors v;
  v.mx = part(".mx", n_out);
  v.rx = part(".rx", n_out);
  v.my = part(".my", n_in);
  v.ry = part(".ry", n_in);
  return v;
}

// The package stores the four vectors in the activation type.
const float* WeightLoader::upload_rounded(std::vector<float> values) {
  for (float& x : values) {
    if (placement_.type == DType::f16) x = f16_to_f32(f32_to_f16(x));
    if (placement_.type == DType::bf16) x = bf16_to_f32(f32_to_bf16(x));
  }
  return upload(values);
}

Matrix WeightLoader::load_quantized(const TensorInfo& tensor, std::int64_t n_out, std::int64_t n_in, Layout layout) {
  QuantizedVectors v;
  Matrix matrix;
  if (!device_) {
    matrix = allocate_matrix(DType::i8, n_out, n_in, layout);
    v.mx.resize(n_out), v.rx.resize(n_out), v.my.resize(n_in), v.ry.resize(n_in);
  } else if (quantization_of(file_, tensor) == Quantization::i8) {
    v = quantized_vectors(tensor.name, n_out, n_in);
    matrix = load_rows(DType::i8, n_out, n_in, layout, [&](std::int64_t first, std::int64_t n, std::byte* out) {
      file_.read_stored(tensor, first * n_in, {out, static_cast<std::size_t>(n * n_in)});
      log_.bytes_read += n * n_in;
    });
  } else {
    matrix = allocate_matrix(DType::i8, n_out, n_in, layout);
    const FillRows fill = rows_of(tensor, n_in, DType::f32);
    v = quantize(
        {.n_out = n_out,
         .n_in = n_in,
         .read = [&](std::int64_t first,
                     std::span<float> rows) { fill(first, std::ssize(rows) / n_in, std::as_writable_bytes(rows).data()); },
         .write =
             [&](std::int64_t first, std::span<const std::uint8_t> rows) {
               store(matrix, first, std::ssize(rows) / n_in, std::as_bytes(rows).data());
             },
         .each_part = [&](std::int64_t n, std::int64_t at_once, const PartTask& task) { each_part(n, at_once, task); }});
  }
  matrix.mx = upload_rounded(std::move(v.mx));
  matrix.rx = upload_rounded(std::move(v.rx));
  matrix.my = upload_rounded(std::move(v.my));
  matrix.ry = upload_rounded(std::move(v.ry));
  return matrix;
}

Matrix WeightLoader::load_i4(const TensorInfo& tensor, std::int64_t n_out, std::int64_t n_in, Layout layout) {
  const std::int64_t count = n_out * n_in;
  constexpr auto kScaleBytes = static_cast<std::int64_t>(sizeof(std::uint16_t));
  std::byte* const memory = allocate(i4_bytes(count));
  std::byte* const scales = allocate(i4_scales(count) * kScaleBytes);
  Matrix matrix{.type = DType::i4, .n_out = n_out, .n_in = n_in, .data = memory, .input_major = layout == Layout::input_major};
  matrix.scale = reinterpret_cast<const std::uint16_t*>(scales);
  if (!device_) return matrix;
  const bool as_stored = quantization_of(file_, tensor) == Quantization::i4;
  const FillRows fill = as_stored ? FillRows() : rows_of(tensor, n_in, DType::f32);
  const std::int64_t at_once = (rows_at_once(n_out, i4_bytes(n_in)) + kI4Group - 1) / kI4Group * kI4Group;
  each_part(n_out, at_once, [&](std::int64_t first, std::int64_t n) {
    const auto q = log_.staging.lease<std::uint8_t>(i4_bytes(n * n_in));
    const auto scale = log_.staging.lease<std::uint16_t>(i4_scales(n * n_in));
    if (as_stored) {
      read_i4(tensor, first * n_in, n * n_in, q.get(), scale.get());
    } else {
      const auto values = log_.staging.lease<float>(n * n_in);
      fill(first, n, reinterpret_cast<std::byte*>(values.get()));
      quantize_i4({values.get(), static_cast<std::size_t>(n * n_in)}, q.get(), scale.get());
    }
    const auto put = [&](std::byte* to, const void* from, std::int64_t bytes) {
      memory_.upload(to, from, static_cast<std::size_t>(bytes));
    };
    if (layout == Layout::output_major) {
      put(memory + i4_bytes(first * n_in), q.get(), i4_bytes(n * n_in));
      return put(scales + i4_scales(first * n_in) * kScaleBytes, scale.get(), i4_scales(n * n_in) * kScaleBytes);
    }
    const auto columns = log_.staging.lease<std::uint8_t>(i4_bytes(n * n_in));
    const auto column_scales = log_.staging.lease<std::uint16_t>(i4_scales(n * n_in));
    transpose_i4(q.get(), n, n_in, columns.get());
    transposer(kScaleBytes)(scale.get(), n, i4_scales(n_in), i4_scales(n_in), column_scales.get(), n);
    const auto put_rows = [&](std::byte* to, const void* from, std::int64_t n_row, std::int64_t stride, std::int64_t bytes) {
      memory_.upload_rows(to, static_cast<std::size_t>(stride), from, static_cast<std::size_t>(bytes),
                          static_cast<std::size_t>(n_row));
    };
    put_rows(memory + i4_bytes(first), columns.get(), n_in, i4_bytes(n_out), i4_bytes(n));
    put_rows(scales + first * kScaleBytes, column_scales.get(), i4_scales(n_in), n_out * kScaleBytes, n * kScaleBytes);
  });
  return matrix;
}

Matrix WeightLoader::load_matrix(std::string_view name, std::int64_t n_out, std::int64_t n_in, Layout layout) {
  const bool i4 = placement_.quantization == Quantization::i4 && fits_i4(n_out, n_in, layout == Layout::input_major);
  if (placement_.quantization != Quantization::i8 && !i4) return load_table(name, n_out, n_in, layout);
  const TensorInfo* tensor = expect(name, {n_out, n_in});
  if (!tensor) return {};
  use_parts_of(*tensor);
  return i4 ? load_i4(*tensor, n_out, n_in, layout) : load_quantized(*tensor, n_out, n_in, layout);
}

Matrix WeightLoader::load_table(std::string_view name, std::int64_t n_row, std::int64_t n_col, Layout layout) {
  const TensorInfo* tensor = expect(name, {n_row, n_col});
  if (!tensor) return {};
  use_parts_of(*tensor);
  if (!device_) return allocate_matrix(placement_.type, n_row, n_col, layout);
  return load_rows(placement_.type, n_row, n_col, layout, rows_of(*tensor, n_col, placement_.type));
}

Matrix WeightLoader::matrix(std::string_view name, std::int64_t n_out, std::int64_t n_in) {
  return load_matrix(name, n_out, n_in, Layout::output_major);
}

Matrix WeightLoader::input_major(std::string_view name, std::int64_t n_out, std::int64_t n_in) {
  return load_matrix(name, n_out, n_in, Layout::input_major);
}

Matrix WeightLoader::table(std::string_view name, std::int64_t n_row, std::int64_t n_col) {
  return load_table(name, n_row, n_col, Layout::output_major);
}

Matrix WeightLoader::low_rank(std::string_view name, std::int64_t n_in, std::int64_t n_out, std::int64_t part,
                              std::int64_t parts) {
  const TensorInfo* tensor = parts > 1 ? expect(name, {parts, n_in, n_out}) : expect(name, {n_in, n_out});
  if (!tensor) return {};
  if (n_in == kAnySize) n_in = tensor->count() / parts / n_out;
  if (n_out == kAnySize) n_out = tensor->count() / parts / n_in;
  const DType type = placement_.type;
  if (!device_) return allocate_matrix(type, n_out, n_in, Layout::output_major);
  const std::int64_t stored_row = n_out * bytes_of(type);
  const auto stored = log_.staging.lease<std::byte>(n_in * stored_row);
  each_part(n_in, rows_at_once(n_in, stored_row), [&](std::int64_t first, std::int64_t n) {
    read_as(type, *tensor, (part * n_in + first) * n_out, n * n_out, stored.get() + first * stored_row);
  });
  return load_rows(type, n_out, n_in, Layout::output_major, [&](std::int64_t first, std::int64_t n, std::byte* out) {
    transposer(bytes_of(type))(stored.get() + first * bytes_of(type), n_in, n, n_out, out, n_in);
  });
}

Quantization quantization_of(const Checkpoint& file, const TensorInfo& tensor) {
  if (tensor.type != FileType::u8) return Quantization::none;
  if (file.find(tensor.name + ".rx")) return Quantization::i8;
  return tensor.shape.size() == 2 && file.find(tensor.name + kI4Scale) ? Quantization::i4 : Quantization::none;
}

void require_complete(const Checkpoint& file, const LoadLog& log) {
  if (log.problems.empty()) return;
  std::string text = file.path() + ": cannot be loaded:";
  for (std::size_t i = 0; i < std::min(kProblemsShown, log.problems.size()); ++i) text += "\n  " + log.problems[i];
  if (log.problems.size() > kProblemsShown) text += "\n  and more";
  if (!file.find("blocks.0.ln0.weight")) {
    text += "\na file that the rwkv package has prepared for one strategy has no ln0; use the original checkpoint";
  }
  throw CheckpointError(text);
}

}  // namespace rwkv
