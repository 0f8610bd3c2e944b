// SPDX-License-Identifier: Apache-2.0
// A window is cut into boxes (a range of one dimension, everything inside it). A box is read in the order of the file:
// long runs of bytes, in one piece where the gaps between useful bytes cost less than another system call.
#include "checkpoint/window.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

#include "kernels/half.h"

namespace rwkv {
namespace {

constexpr std::int64_t kStaging = 1 << 20;   // bytes
constexpr std::int64_t kCallCost = 1 << 11;  // a pread takes as long as about 2 KiB of copying

struct Axis {
  std::int64_t n, stride, out_stride;  // strides in elements
};

template <class Element>
struct AsStored {
  using Stored = Element;
  static Stored convert(Stored x) { return x; }
};
struct Double {
  using Stored = double;
  static float convert(Stored x) { return static_cast<float>(x); }
};
struct Single {
  using Stored = float;
  static float convert(Stored x) { return x; }
};
struct Half {
  using Stored = std::uint16_t;
  static float convert(Stored x) { return f16_to_f32(x); }
};
struct Brain {
  using Stored = std::uint16_t;
  static float convert(Stored x) { return bf16_to_f32(x); }
};

// Dimensions of size 1 dropped, neighbours that are one run in the file joined: a contiguous tensor has one axis.
std::vector<Axis> joined_axes(const Layout& tensor) {
  std::vector<Axis> axes;  // innermost first
  std::int64_t inner = 1;  // elements inside the current dimension
  for (std::size_t i = tensor.shape.size(); i > 0;) {
    --i;
    const std::int64_t n = tensor.shape[i], stride = tensor.stride.empty() ? inner : tensor.stride[i];
    if (n != 1 && !axes.empty() && stride == axes.back().n * axes.back().stride) {
      axes.back().n *= n;
    } else if (n != 1) {
      axes.push_back({n, stride, 0});
    }
    inner *= n;
  }
  if (axes.empty()) axes.push_back({1, 1, 0});
  std::ranges::reverse(axes);
  return axes;
}

template <class Type, class Out>
class WindowReader {
 public:
  WindowReader(const ByteSource& source, const Layout& tensor)
      : source_(source), at_(tensor.at), axes_(joined_axes(tensor)), inner_(axes_.size(), 1) {
    for (std::size_t i = axes_.size() - 1; i > 0; --i) inner_[i - 1] = inner_[i] * axes_[i].n;
  }

  // Box by box: each is as much as starts at `first` and is a range of one dimension.
  void read(std::int64_t first, std::span<Out> out) {
    while (!out.empty()) {
      const auto left = static_cast<std::int64_t>(out.size());
      std::size_t d = 0;
      while (first % inner_[d] != 0 || left < inner_[d]) ++d;
      std::int64_t start = 0;  // element of the file, relative to at_
      for (std::size_t i = 0; i <= d; ++i) start += first / inner_[i] % axes_[i].n * axes_[i].stride;
      const std::int64_t n = std::min(left / inner_[d], axes_[d].n - first / inner_[d] % axes_[d].n);

      std::vector<Axis> box(axes_.begin() + static_cast<std::ptrdiff_t>(d), axes_.end());
      box[0].n = n;
      for (std::size_t i = 0; i < box.size(); ++i) box[i].out_stride = inner_[d + i];
      std::ranges::stable_sort(box, std::ranges::greater{}, &Axis::stride);
      read_box(box, start, out.data());
      first += n * inner_[d];
      out = out.subspan(static_cast<std::size_t>(n * inner_[d]));
    }
  }

 private:
  using Stored = typename Type::Stored;
  static constexpr std::int64_t kSize = sizeof(Stored);

  static std::int64_t extent(std::span<const Axis> axes) {  // elements from the first to the last, inclusive
    std::int64_t n = 1;
    for (const Axis& axis : axes) n += (axis.n - 1) * axis.stride;
    return n;
  }

  // Axes by falling stride. The recursion is as deep as the tensor has dimensions.
  void read_box(std::span<const Axis> axes, std::int64_t start, Out* out) {
    if constexpr (std::is_same_v<Stored, Out>) {
      if (axes.size() == 1 && axes[0].stride == 1 && axes[0].out_stride == 1)
        return read_run(start, {out, std::size_t(axes[0].n)});
    }
    if (axes.empty()) {
      const Axis single = {1, 1, 1};
      return read_piece({&single, 1}, 1, start, out);
    }
    const std::int64_t all = extent(axes) * kSize, inside = extent(axes.subspan(1)) * kSize;
    if (worth_reading(axes) && all <= kStaging) return read_piece(axes, axes[0].stride, start, out);
    if (inside > kStaging || !worth_reading(axes.subspan(1))) {  // the inner axes are to be cut themselves
      for (std::int64_t i = 0; i < axes[0].n; ++i)
        read_box(axes.subspan(1), start + i * axes[0].stride, out + i * axes[0].out_stride);
      return;
    }
    // As many steps of the outermost axis as fit the buffer: with the gaps between them, or drawn together.
    const std::int64_t distance = worth_reading(axes) ? axes[0].stride : inside / kSize;
    const std::int64_t steps = 1 + (kStaging - inside) / (distance * kSize);
    std::array<Axis, kMostDimensions> part;
    std::ranges::copy(axes, part.begin());
    for (std::int64_t i = 0; i < axes[0].n; i += steps) {
      part[0].n = std::min(steps, axes[0].n - i);
      read_piece({part.data(), axes.size()}, distance, start + i * axes[0].stride, out + i * axes[0].out_stride);
    }
  }

  // Whether reading everything from the first to the last element beats one call per step of the outermost axis.
  static bool worth_reading(std::span<const Axis> axes) {
    if (axes.empty()) return true;
    std::int64_t useful = kSize;
    for (const Axis& axis : axes) useful *= axis.n;
    return extent(axes) * kSize <= 4 * useful + axes[0].n * kCallCost;
  }

  void read_run(std::int64_t start, std::span<Out> out) {
    source_.read(at_ + static_cast<std::uint64_t>(start * kSize), std::as_writable_bytes(out));
  }

  // `distance`: elements between the steps of axes[0] in the buffer; its stride, or less to leave out what is between.
  void read_piece(std::span<const Axis> axes, std::int64_t distance, std::int64_t start, Out* out) {
    std::array<Axis, kMostDimensions> part;
    std::ranges::copy(axes, part.begin());
    const auto box = std::span(part).first(axes.size());
    const bool together = distance == axes[0].stride;
    const std::int64_t calls = together ? 1 : axes[0].n, length = together ? extent(axes) : extent(axes.subspan(1));
    const auto n_byte = static_cast<std::size_t>(((calls - 1) * distance + length) * kSize);
    if (n_byte > n_staged_) staging_ = std::make_unique_for_overwrite<std::byte[]>(n_byte), n_staged_ = n_byte;
    for (std::int64_t i = 0; i < calls; ++i)
      source_.read(at_ + static_cast<std::uint64_t>((start + i * axes[0].stride) * kSize),
                   {staging_.get() + i * distance * kSize, static_cast<std::size_t>(length * kSize)});
    box[0].stride = distance;
    // In the order of `out`: strided reads from the buffer stay in the cache, strided writes would not.
    std::ranges::stable_sort(box, std::ranges::greater{}, &Axis::out_stride);
    scatter(box, staging_.get(), out);
  }

  static Out element(const std::byte* in) {
    Stored x;
    std::memcpy(&x, in, sizeof x);
    return Type::convert(x);
  }

  static void scatter(std::span<const Axis> axes, const std::byte* in, Out* out) {
    const Axis axis = axes[0];
    if (axes.size() > 1) {
      for (std::int64_t i = 0; i < axis.n; ++i)
        scatter(axes.subspan(1), in + i * axis.stride * kSize, out + i * axis.out_stride);
    } else if (axis.stride == 1 && axis.out_stride == 1) {
      for (std::int64_t i = 0; i < axis.n; ++i) out[i] = element(in + i * kSize);
    } else {
      for (std::int64_t i = 0; i < axis.n; ++i) out[i * axis.out_stride] = element(in + i * axis.stride * kSize);
    }
  }

  const ByteSource& source_;
  const std::uint64_t at_;
  std::vector<Axis> axes_;                // outermost first
  std::vector<std::int64_t> inner_;       // elements inside one step of each axis
  std::unique_ptr<std::byte[]> staging_;  // [n_staged_], at most kStaging
  std::size_t n_staged_ = 0;
};

template <std::size_t n>
void read_elements(const ByteSource& source, const Layout& tensor, std::int64_t first, std::span<std::byte> out) {
  using Element = std::array<std::byte, n>;  // needs no alignment
  static_assert(sizeof(Element) == n && alignof(Element) == 1);
  const std::span elements(reinterpret_cast<Element*>(out.data()), out.size() / n);
  WindowReader<AsStored<Element>, Element>(source, tensor).read(first, elements);
}

}  // namespace

void read_window(const ByteSource& source, const Layout& tensor, std::int64_t first, std::span<float> out) {
  switch (tensor.type) {
    case FileType::f64:
      return WindowReader<Double, float>(source, tensor).read(first, out);
    case FileType::f32:
      return WindowReader<Single, float>(source, tensor).read(first, out);
    case FileType::f16:
      return WindowReader<Half, float>(source, tensor).read(first, out);
    case FileType::bf16:
      return WindowReader<Brain, float>(source, tensor).read(first, out);
    default:
      throw CheckpointError("expected a floating point tensor, found " + std::string(name_of(tensor.type)));
  }
}

void read_window(const ByteSource& source, const Layout& tensor, std::int64_t first, std::span<std::uint8_t> out) {
  if (tensor.type != FileType::u8)
    throw CheckpointError("expected a tensor of type u8, found " + std::string(name_of(tensor.type)));
  WindowReader<AsStored<std::uint8_t>, std::uint8_t>(source, tensor).read(first, out);
}

void read_stored_window(const ByteSource& source, const Layout& tensor, std::int64_t first, std::span<std::byte> out) {
  switch (bytes_of(tensor.type)) {
    case 1:
      return read_elements<1>(source, tensor, first, out);
    case 2:
      return read_elements<2>(source, tensor, first, out);
    case 4:
      return read_elements<4>(source, tensor, first, out);
    default:
      return read_elements<8>(source, tensor, first, out);
  }
}

}  // namespace rwkv
