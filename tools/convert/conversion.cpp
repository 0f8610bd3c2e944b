// SPDX-License-Identifier: Apache-2.0
#include "convert/conversion.h"

#include "checkpoint/safetensors_writer.h"
#include "kernels/half.h"
#include "message.h"
#include "weights/i4.h"
#include "weights/quantize.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace rwkv::cli {
namespace {

constexpr std::int64_t kFloatsAtOnce = std::int64_t{1} << 20;

class Writer {
 public:
  Writer(const Conversion& conversion, SafetensorsWriter& file, const std::function<void(std::int64_t, std::int64_t)>& progress)
      : input_(conversion.input), file_(file), progress_(progress) {
    for (const Step& step : conversion.steps) total_ += bytes_read(step);
  }

  void write(const Step& step) {
    if (step.type == FileType::u8)
      step.is_i4() ? write_i4(step) : write_i8(step);
    else
      write_values(step);
  }

 private:
  // i8 reads three times.
  static std::int64_t bytes_read(const Step& step) {
    return step.input->count() * bytes_of(step.input->type) * (step.type == FileType::u8 && !step.is_i4() ? 3 : 1);
  }

  void read(const TensorInfo& tensor, std::int64_t first, std::span<float> out) {
    input_.read(tensor, first, out);
    done_ += std::int64_t(out.size()) * bytes_of(tensor.type);
    progress_(done_, total_);
  }

  void write_values(const Step& step) {
    const std::int64_t count = step.input->count();
    values_.resize(std::size_t(std::min(count, kFloatsAtOnce)));
    for (std::int64_t first = 0; first < count; first += kFloatsAtOnce) {
      const auto part = std::span(values_).first(std::size_t(std::min(kFloatsAtOnce, count - first)));
      read(*step.input, first, part);
      if (step.type == FileType::f32)
        file_.write(std::as_bytes(part));
      else
        write_halves(step, part);
    }
  }

  void write_halves(const Step& step, std::span<const float> values) {
    const bool f16 = step.type == FileType::f16;
    halves_.resize(values.size());
    std::ranges::transform(values, halves_.begin(), f16 ? f32_to_f16 : f32_to_bf16);
    const std::uint16_t infinity = f16 ? 0x7c00 : 0x7f80;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if ((halves_[i] & 0x7fff) != infinity || std::isinf(values[i])) continue;
      throw CheckpointError(message(input_.path(), ": ", printable(step.input->name), " holds ", values[i],
                                    ", which does not fit ",
                                    f16 ? "fp16 (at most 65504): use --type bf16" : "bf16: use --type fp32"));
    }
    file_.write(std::as_bytes(std::span(halves_)));
  }

  void write_i8(const Step& step) {
    const std::int64_t n_out = step.input->shape[0], n_in = step.input->shape[1];
    const QuantizedVectors vectors =
        quantize({.n_out = n_out,
                  .n_in = n_in,
                  .read = [&](std::int64_t first, std::span<float> rows) { read(*step.input, first * n_in, rows); },
                  .write = [&](std::int64_t, std::span<const std::uint8_t> rows) { file_.write(std::as_bytes(rows)); }});
    for (const auto* vector : {&vectors.mx, &vectors.rx, &vectors.my, &vectors.ry})
      file_.write(std::as_bytes(std::span(*vector)));
  }

  // The scales come after all nibbles; they stay in memory, a sixteenth of a byte per number.
  void write_i4(const Step& step) {
    const std::int64_t n_in = step.input->shape[1], rows_at_once = std::max<std::int64_t>(1, kFloatsAtOnce / n_in);
    std::vector<std::uint16_t> scales(i4_scales(step.input->count()));
    for (std::int64_t first = 0; first < step.input->count(); first += rows_at_once * n_in) {
      values_.resize(std::min(rows_at_once * n_in, step.input->count() - first));
      read(*step.input, first, values_);
      std::vector<std::uint8_t> q(i4_bytes(std::ssize(values_)));
      quantize_i4(values_, q.data(), &scales[i4_scales(first)]);
      file_.write(std::as_bytes(std::span(q)));
    }
    file_.write(std::as_bytes(std::span(scales)));
  }

  const Checkpoint& input_;
  SafetensorsWriter& file_;
  const std::function<void(std::int64_t, std::int64_t)>& progress_;
  std::vector<float> values_;
  std::vector<std::uint16_t> halves_;
  std::int64_t done_ = 0, total_ = 0;
};

}  // namespace

void write_converted(const Conversion& conversion, const std::filesystem::path& output,
                     const std::function<void(std::int64_t, std::int64_t)>& progress) {
  std::vector<TensorInfo> tensors;
  for (const Step& step : conversion.steps) tensors.insert(tensors.end(), step.outputs.begin(), step.outputs.end());
  const auto& vocabulary = conversion.vocabulary;
  if (!vocabulary.empty()) tensors.push_back({"tokenizer", FileType::u8, {std::int64_t(vocabulary.size())}});

  SafetensorsWriter file(output, tensors, conversion.metadata);
  Writer writer(conversion, file, progress);
  for (const Step& step : conversion.steps) writer.write(step);
  file.write(std::as_bytes(std::span(vocabulary)));
  file.commit();
}

}  // namespace rwkv::cli
