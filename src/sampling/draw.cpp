// SPDX-License-Identifier: Apache-2.0
#include "sampling/draw.h"

#include <algorithm>
#include <exception>
#include <vector>

#include "kernels/kernels.h"
#include "sampling/distribution.h"

namespace rwkv {
namespace {

void draw_on_host(Device& device, Rows logits, std::span<const RowToDraw> rows) {
  std::vector<std::exception_ptr> failed(rows.size());
  device.parallel_for(std::ssize(rows), [&](std::int64_t i) {
    const std::span<float> row(logits.data + rows[i].row * logits.n_col, static_cast<std::size_t>(logits.n_col));
    try {
      *rows[i].drawn = rows[i].sampler->sample(row);
    } catch (const NumericError&) {
      *rows[i].drawn = why_no_token(row);
    } catch (...) {
      failed[i] = std::current_exception();
    }
  });
  for (const std::exception_ptr& exception : failed) {
    if (exception) std::rethrow_exception(exception);
  }
}

}  // namespace

void draw(Device& device, Workspace& workspace, Rows logits, std::span<const RowToDraw> rows) {
  if (rows.empty()) return;
  const auto sample = device.kernels().common.sample;
  if (!sample) return draw_on_host(device, logits, rows);
  std::vector<Draw> draws;
  std::vector<Penalty> penalties;
  for (const RowToDraw& row : rows) {
    const SamplingOptions& o = row.sampler->options();
    const std::vector<Penalty> of_row = SamplerAccess::penalties(*row.sampler);
    Random random = SamplerAccess::random(*row.sampler);  // a copy: broken logits use no number
    draws.push_back({.random = static_cast<std::uint64_t>(random.uniform() * 0x1p53) << 11,
                     .row = static_cast<std::int32_t>(row.row),
                     .first_penalty = static_cast<std::int32_t>(penalties.size()),
                     .n_penalty = static_cast<std::int32_t>(of_row.size()),
                     .top_k = o.top_k,
                     .top_p = o.top_p,
                     .min_p = o.min_p,
                     .temperature = o.temperature});
    penalties.insert(penalties.end(), of_row.begin(), of_row.end());
  }
  std::vector<Token> tokens(rows.size());
  auto* const drawn = static_cast<Token*>(workspace.allocate(tokens.size() * sizeof(Token)));
  sample(device, {logits, std::ssize(rows), workspace.upload(draws), workspace.upload(penalties), drawn});
  device.download(tokens.data(), drawn, tokens.size() * sizeof(Token));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    *rows[i].drawn = tokens[i];
    if (tokens[i] >= 0) static_cast<void>(SamplerAccess::random(*rows[i].sampler).uniform());
  }
}

}  // namespace rwkv
