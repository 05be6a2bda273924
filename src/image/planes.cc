#include "image/planes.h"

#include <zimg.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <utility>

namespace pixmill::image {

namespace {

constexpr std::size_t kAlignmentBytes = 64;
constexpr std::uint32_t kBlockSide = 8;

std::unexpected<Error> out_of_memory() {
  return fail(ErrorCode::kTooLarge, "the picture needs more memory than an engine may use");
}

constexpr std::size_t rounded_up(std::size_t value, std::size_t step) { return (value + step - 1) / step * step; }

// At least one byte, at a multiple of kAlignmentBytes; nullptr when there is no memory.
std::unique_ptr<std::uint8_t[], FreeMemory> aligned_bytes(std::size_t count) {
  const std::size_t whole = rounded_up(std::max<std::size_t>(count, 1), kAlignmentBytes);
  return std::unique_ptr<std::uint8_t[], FreeMemory>(
      static_cast<std::uint8_t*>(std::aligned_alloc(kAlignmentBytes, whole)));
}

struct FreeGraph {
  void operator()(zimg_filter_graph* graph) const { zimg_filter_graph_free(graph); }
};
using Graph = std::unique_ptr<zimg_filter_graph, FreeGraph>;

std::unexpected<Error> zimg_failed() {
  std::string said(256, '\0');
  const zimg_error_code_e code = zimg_get_last_error(said.data(), said.size());
  said.resize(said.find('\0'));
  zimg_clear_last_error();
  if (code == ZIMG_ERROR_OUT_OF_MEMORY) return out_of_memory();
  return fail(ErrorCode::kUnsupportedFormat, "the planes cannot be resized", std::move(said));
}

zimg_image_format format_of(SizePx size) {
  zimg_image_format format;
  zimg_image_format_default(&format, ZIMG_API_VERSION);
  format.width = size.width;
  format.height = size.height;
  format.pixel_type = ZIMG_PIXEL_BYTE;
  format.pixel_range = ZIMG_RANGE_FULL;
  return format;
}

Graph make_graph(SizePx from, const Region& region, SizePx to) {
  zimg_image_format source = format_of(from);
  source.active_region.left = region.left;
  source.active_region.top = region.top;
  source.active_region.width = region.width;
  source.active_region.height = region.height;
  const zimg_image_format target = format_of(to);
  zimg_graph_builder_params params;
  zimg_graph_builder_params_default(&params, ZIMG_API_VERSION);
  constexpr double kLobes = 3;
  params.resample_filter = ZIMG_RESIZE_LANCZOS;
  params.filter_param_a = kLobes;
  // Not ZIMG_CPU_AUTO_64B: the AVX-512 code of zimg 3.0.4 puts wrong samples into some columns
  // (github.com/vapoursynth/vapoursynth/issues/1063), and is hardly faster.
  params.cpu_type = ZIMG_CPU_AUTO;
  return Graph(zimg_filter_graph_build(&source, &target, &params));
}

struct GraphKey {
  SizePx from;
  Region region;
  SizePx to;
  bool operator==(const GraphKey&) const = default;
};

// Making a graph computes a filter for every row and column, which for a thumbnail takes as long as using it. Pictures
// of one job often have one size, and both planes of chroma always do, so the last graphs are kept. Not thread-safe.
class GraphCache {
 public:
  // nullptr when it could not be made; else valid until the next call.
  const zimg_filter_graph* find(const GraphKey& key) {
    const auto known = std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) { return kept.key == key; });
    if (known != kept_.end()) {
      std::rotate(kept_.begin(), known, known + 1);
      return kept_.front().graph.get();
    }
    Graph graph = make_graph(key.from, key.region, key.to);
    if (!graph) return nullptr;
    // The filters of a picture with long sides are not worth their memory.
    constexpr std::uint32_t kSidesMax = 20'000;
    constexpr std::size_t kCapacity = 12;
    if (key.from.width + key.from.height > kSidesMax) {
      too_large_to_keep_ = std::move(graph);
      return too_large_to_keep_.get();
    }
    if (kept_.size() == kCapacity) kept_.pop_back();
    kept_.insert(kept_.begin(), {.key = key, .graph = std::move(graph)});
    return kept_.front().graph.get();
  }

 private:
  struct Kept {
    GraphKey key;
    Graph graph;
  };
  std::vector<Kept> kept_;  // the last used first
  Graph too_large_to_keep_;
};

const zimg_filter_graph* find_graph(const GraphKey& key) {
  thread_local GraphCache cache;
  return cache.find(key);
}

Result<Plane> copy_of(const Plane& plane) {
  PIXMILL_TRY(Plane copy, make_plane(plane.size));
  for (std::uint32_t y = 0; y < plane.size.height; ++y) std::copy_n(plane.row(y), plane.size.width, copy.row(y));
  return copy;
}

// Rows of the result are columns of the plane; a square at a time, so that both stay in the cache.
void transpose(const Plane& plane, Plane& out) {
  constexpr std::uint32_t kSquare = 32;
  for (std::uint32_t top = 0; top < plane.size.height; top += kSquare) {
    for (std::uint32_t left = 0; left < plane.size.width; left += kSquare) {
      const std::uint32_t bottom = std::min(top + kSquare, plane.size.height);
      const std::uint32_t right = std::min(left + kSquare, plane.size.width);
      for (std::uint32_t y = top; y < bottom; ++y) {
        for (std::uint32_t x = left; x < right; ++x) out.row(x)[y] = plane.row(y)[x];
      }
    }
  }
}

}  // namespace

Result<Plane> make_plane(SizePx size) {
  Plane plane{.size = size, .stride_bytes = rounded_up(size.width, kAlignmentBytes), .bytes = nullptr};
  plane.bytes = aligned_bytes(plane.stride_bytes * rounded_up(size.height, kBlockSide));
  if (!plane.bytes) return out_of_memory();
  return plane;
}

bool is_whole(const Plane& plane, const Region& region, SizePx size) {
  constexpr double kNothing = 1e-6;
  return plane.size == size && std::abs(region.left) < kNothing && std::abs(region.top) < kNothing &&
         std::abs(region.width - size.width) < kNothing && std::abs(region.height - size.height) < kNothing;
}

Result<Plane> resize_plane(const Plane& plane, const Region& region, SizePx size) {
  if (is_whole(plane, region, size)) return copy_of(plane);
  const zimg_filter_graph* const graph = find_graph({.from = plane.size, .region = region, .to = size});
  if (graph == nullptr) return zimg_failed();
  std::size_t scratch_bytes = 0;
  if (zimg_filter_graph_get_tmp_size(graph, &scratch_bytes) != ZIMG_ERROR_SUCCESS) return zimg_failed();
  const auto scratch = aligned_bytes(scratch_bytes);
  if (!scratch) return out_of_memory();
  PIXMILL_TRY(Plane resized, make_plane(size));
  zimg_image_buffer_const source{.version = ZIMG_API_VERSION, .plane = {}};
  source.plane[0] = {
      .data = plane.bytes.get(), .stride = static_cast<std::ptrdiff_t>(plane.stride_bytes), .mask = ZIMG_BUFFER_MAX};
  zimg_image_buffer target{.version = ZIMG_API_VERSION, .plane = {}};
  target.plane[0] = {.data = resized.bytes.get(),
                     .stride = static_cast<std::ptrdiff_t>(resized.stride_bytes),
                     .mask = ZIMG_BUFFER_MAX};
  if (zimg_filter_graph_process(graph, &source, &target, scratch.get(), nullptr, nullptr, nullptr, nullptr) !=
      ZIMG_ERROR_SUCCESS) {
    return zimg_failed();
  }
  return resized;
}

Result<Plane> turn_plane(Plane plane, jpeg::Orientation orientation) {
  if (orientation.transpose) {
    PIXMILL_TRY(Plane transposed, make_plane({.width = plane.size.height, .height = plane.size.width}));
    transpose(plane, transposed);
    plane = std::move(transposed);
  }
  if (orientation.mirror_x) {
    for (std::uint32_t y = 0; y < plane.size.height; ++y) std::reverse(plane.row(y), plane.row(y) + plane.size.width);
  }
  if (orientation.mirror_y) {
    for (std::uint32_t y = 0; y < plane.size.height / 2; ++y) {
      std::swap_ranges(plane.row(y), plane.row(y) + plane.size.width, plane.row(plane.size.height - 1 - y));
    }
  }
  return plane;
}

}  // namespace pixmill::image
