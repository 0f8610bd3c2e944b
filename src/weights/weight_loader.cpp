// SPDX-License-Identifier: Apache-2.0
#include "weights/weight_loader.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "fnv1a.h"
#include "kernels/half.h"
#include "message.h"

namespace rwkv {
namespace {

constexpr std::int64_t kStagingFloats = std::int64_t{1} << 20;
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

}  // namespace

WeightLoader::WeightLoader(const Checkpoint& file, LoadLog& log, const Placement& placement)
    : file_(file), log_(log), placement_(placement) {}

WeightLoader::WeightLoader(const Checkpoint& file, LoadLog& log, Device& device, const Placement& placement,
                           std::vector<Buffer>& memory)
    : file_(file), log_(log), device_(&device), placement_(placement), memory_(&memory) {}

std::vector<std::int64_t> WeightLoader::shape(std::string_view name) const {
  const TensorInfo* tensor = file_.find(prefix_ + std::string(name));
  return tensor ? without_ones(tensor->shape) : std::vector<std::int64_t>{};
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
  const bool quantized = tensor->type == FileType::u8 && file_.find(full + ".rx");
  if (!is_float(tensor->type) && !quantized) {
    log_.problems.push_back(message(full, ": expected floating point numbers, found ", name_of(tensor->type)));
    return nullptr;
  }
  if (!fits(tensor->shape, shape)) {
    log_.problems.push_back(message(full, ": expected shape ", expected_text(shape), ", found ", shape_text(tensor->shape)));
    return nullptr;
  }
  return tensor;
}

void WeightLoader::read(const TensorInfo& tensor, std::int64_t first, std::span<float> out) {
  file_.read(tensor, first, out);
  log_.bytes_read += static_cast<std::int64_t>(out.size()) * bytes_of(tensor.type);
  if (log_.progress) log_.progress(log_.bytes_read);
}

void* WeightLoader::allocate(std::int64_t bytes) {
  log_.weight_bytes += bytes;
  return memory_->emplace_back(*device_, static_cast<std::size_t>(bytes)).data();
}

std::vector<float> WeightLoader::host_vector(std::string_view name, const std::vector<std::int64_t>& shape) {
  const TensorInfo* tensor = expect(name, shape);
  if (!tensor) return {};
  if (!device_) return measured<std::vector<float>>(tensor->count() * static_cast<std::int64_t>(sizeof(float)));
  std::vector<float> values(tensor->count());
  read(*tensor, 0, values);
  log_.fingerprint = fnv1a(log_.fingerprint, std::as_bytes(std::span(values)));
  return values;
}

const float* WeightLoader::upload(std::span<const float> values) {
  if (!device_) return nullptr;
  void* memory = allocate(static_cast<std::int64_t>(values.size_bytes()));
  device_->upload(memory, values.data(), values.size_bytes());
  return static_cast<const float*>(memory);
}

const float* WeightLoader::vector(std::string_view name, const std::vector<std::int64_t>& shape, float (*change)(float)) {
  std::vector<float> values = host_vector(name, shape);
  if (change) std::ranges::transform(values, values.begin(), change);
  return upload(values);
}

void WeightLoader::convert(const std::string& name, DType type, std::span<const float> values, void* device_memory) {
  if (type == DType::f32) return device_->upload(device_memory, values.data(), values.size_bytes());
  std::vector<std::uint16_t> half(values.size());
  std::ranges::transform(values, half.begin(), type == DType::f16 ? f32_to_f16 : f32_to_bf16);
  for (std::size_t i = 0; type == DType::f16 && i < values.size(); ++i) {
    if ((half[i] & 0x7fff) == 0x7c00 && std::isfinite(values[i])) {
      throw CheckpointError(message(file_.path(), ": ", printable(name), " holds ", values[i],
                                    ", which does not fit fp16 (at most 65504); use bf16 or fp32"));
    }
  }
  device_->upload(device_memory, half.data(), half.size() * sizeof half[0]);
}

// Some rows at a time: the whole matrix is never in memory twice.
Matrix WeightLoader::load_rows(const TensorInfo& tensor, DType type, std::int64_t n_out, std::int64_t n_in,
                               const ReadRows& rows) {
  auto* const memory = static_cast<std::byte*>(allocate(n_out * n_in * bytes_of(type)));
  const std::int64_t at_once = std::clamp<std::int64_t>(kStagingFloats / n_in, 1, n_out);
  std::vector<float> staging(at_once * n_in);
  for (std::int64_t first = 0; first < n_out; first += at_once) {
    const auto part = std::span(staging).first(std::min(at_once, n_out - first) * n_in);
    rows(first, part);
    convert(tensor.name, type, part, memory + first * n_in * bytes_of(type));
  }
  return {.type = type, .n_out = n_out, .n_in = n_in, .data = memory};
}

// Rows of a matrix as stored, or of what was quantised by rwkv-convert.
ReadRows WeightLoader::rows_of(const TensorInfo& tensor, std::int64_t n_in) {
  if (tensor.type != FileType::u8) {
    return [this, &tensor, n_in](std::int64_t first, std::span<float> out) { read(tensor, first * n_in, out); };
  }
  auto vectors = quantized_vectors(tensor.name, tensor.count() / n_in, n_in);
  return [this, &tensor, n_in, vectors](std::int64_t first, std::span<float> out) {
    std::vector<std::uint8_t> q(out.size());
    file_.read_bytes(tensor, first * n_in, q);
    dequantize(vectors, first, q, out);
  };
}

QuantizedVectors WeightLoader::quantized_vectors(const std::string& name, std::int64_t n_out, std::int64_t n_in) {
  const auto part = [&](const char* suffix, std::int64_t n) {
    const TensorInfo* tensor = file_.find(name + suffix);
    if (!tensor || tensor->type != FileType::f32 || tensor->count() != n) {
      throw CheckpointError(
          message(file_.path(), ": ", printable(name), suffix, ": expected fp32 [", n, "] beside the 8-bit weights"));
    }
    log_.used.insert(tensor->name);
    std::vector<float> values(n);
    read(*tensor, 0, values);
    return values;
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

Matrix WeightLoader::load_quantized(const TensorInfo& tensor, std::int64_t n_out, std::int64_t n_in) {
  auto* const memory = static_cast<std::uint8_t*>(allocate(n_out * n_in));
  QuantizedVectors v;
  if (tensor.type == FileType::u8) {
    v = quantized_vectors(tensor.name, n_out, n_in);
    std::vector<std::uint8_t> staging(kStagingFloats);
    for (std::int64_t at = 0; at < n_out * n_in; at += kStagingFloats) {
      const auto part = std::span(staging).first(std::min(kStagingFloats, n_out * n_in - at));
      file_.read_bytes(tensor, at, part);
      device_->upload(memory + at, part.data(), part.size());
    }
  } else {
    v = quantize(n_out, n_in, rows_of(tensor, n_in), [&](std::int64_t first, std::span<const std::uint8_t> rows) {
      device_->upload(memory + first * n_in, rows.data(), rows.size());
    });
  }
  return {.type = DType::i8,
          .n_out = n_out,
          .n_in = n_in,
          .data = memory,
          .mx = upload_rounded(std::move(v.mx)),
          .rx = upload_rounded(std::move(v.rx)),
          .my = upload_rounded(std::move(v.my)),
          .ry = upload_rounded(std::move(v.ry))};
}

Matrix WeightLoader::matrix(std::string_view name, std::int64_t n_out, std::int64_t n_in) {
  if (placement_.quantization != Quantization::i8) return table(name, n_out, n_in);
  const TensorInfo* tensor = expect(name, {n_out, n_in});
  if (!tensor) return {};
  if (!device_) return measured<Matrix>(n_out * n_in + 2 * (n_out + n_in) * static_cast<std::int64_t>(sizeof(float)));
  return load_quantized(*tensor, n_out, n_in);
}

Matrix WeightLoader::table(std::string_view name, std::int64_t n_row, std::int64_t n_col) {
  const TensorInfo* tensor = expect(name, {n_row, n_col});
  if (tensor && tensor->type == FileType::u8) {
    for (const char* suffix : {".mx", ".rx", ".my", ".ry"}) log_.used.insert(tensor->name + suffix);
  }
  if (!tensor) return {};
  if (!device_) return measured<Matrix>(n_row * n_col * bytes_of(placement_.type));
  return load_rows(*tensor, placement_.type, n_row, n_col, rows_of(*tensor, n_col));
}

Matrix WeightLoader::low_rank(std::string_view name, std::int64_t n_in, std::int64_t n_out, std::int64_t part,
                              std::int64_t parts) {
  const TensorInfo* tensor = parts > 1 ? expect(name, {parts, n_in, n_out}) : expect(name, {n_in, n_out});
  if (!tensor) return {};
  if (!device_) return measured<Matrix>(tensor->count() / parts * bytes_of(placement_.type));
  if (n_in == kAnySize) n_in = tensor->count() / parts / n_out;
  if (n_out == kAnySize) n_out = tensor->count() / parts / n_in;
  std::vector<float> stored(n_in * n_out);
  read(*tensor, part * n_in * n_out, stored);
  return load_rows(*tensor, placement_.type, n_out, n_in, [&](std::int64_t first, std::span<float> out) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      const std::int64_t m = first + static_cast<std::int64_t>(i) / n_in, n = static_cast<std::int64_t>(i) % n_in;
      out[i] = stored[n * n_out + m];
    }
  });
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
