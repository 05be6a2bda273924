#include "image/animation.h"

#include <fmt/format.h>
#include <vips/vips.h>

#include <algorithm>

#include "image/steps.h"
#include "image/transform.h"
#include "image/vips_runtime.h"

namespace pixmill::image {

namespace {

constexpr const char* kDelays = "delay";
constexpr const char* kLoops = "loop";
constexpr int kAllPages = -1;

Result<Picture> open_all_frames(std::string_view source, Format format) {
  Picture frames;
  auto* bytes = const_cast<char*>(source.data());  // libvips' type; it only reads
  const int failed = format == Format::kGif
                         ? vips_gifload_buffer(bytes, source.size(), frames.out(), "n", kAllPages, "access",
                                               VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_ERROR, nullptr)
                         : vips_webpload_buffer(bytes, source.size(), frames.out(), "n", kAllPages, "access",
                                                VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_ERROR, nullptr);
  if (failed != 0) return vips_failed();
  return frames;
}

std::vector<int> delays_of(VipsImage* frames) {
  int* values = nullptr;
  int count = 0;
  if (vips_image_get_typeof(frames, kDelays) == 0) return {};
  if (vips_image_get_array_int(frames, kDelays, &values, &count) != 0) {
    vips_error_clear();
    return {};
  }
  return {values, values + count};
}

int loops_of(VipsImage* frames) {
  int loops = 0;
  if (vips_image_get_typeof(frames, kLoops) != 0 && vips_image_get_int(frames, kLoops, &loops) != 0) vips_error_clear();
  return std::max(loops, 0);
}

// Upright.
Result<Picture> frame_of(const Animation& animation, std::uint32_t number) {
  Picture frame;
  if (vips_extract_area(animation.frames.get(), frame.out(), 0, static_cast<int>(number * animation.stored.height),
                        static_cast<int>(animation.stored.width), static_cast<int>(animation.stored.height),
                        nullptr) != 0) {
    return vips_failed();
  }
  return make_upright(std::move(frame));
}

// The same for every frame.
Result<Output> settled(const Animation& animation, const Output& output) {
  Output same = output;
  if (same.resize && (same.resize->gravity == Gravity::kEntropy || same.resize->gravity == Gravity::kAttention)) {
    same.resize->gravity = Gravity::kCentre;
  }
  if (!same.trim) return same;
  PIXMILL_TRY(const Picture first, frame_of(animation, 0));
  const BoxPx cropped = same.crop ? plan_crop(animation.size, *same.crop).value_or(BoxPx{.size = animation.size})
                                  : BoxPx{.size = animation.size};
  PIXMILL_TRY(const BoxPx kept, trimmed_box(first, cropped, *same.trim));
  same.crop =
      Crop{.left_px = kept.left, .top_px = kept.top, .width_px = kept.size.width, .height_px = kept.size.height};
  same.trim.reset();
  return same;
}

Result<Picture> joined(std::vector<Picture> frames, const Animation& animation) {
  std::vector<VipsImage*> images;
  images.reserve(frames.size());
  for (const Picture& frame : frames) images.push_back(frame.get());
  Picture tall;
  if (vips_arrayjoin(images.data(), tall.out(), static_cast<int>(images.size()), "across", 1, nullptr) != 0) {
    return vips_failed();
  }
  Picture own;
  if (vips_copy(tall.get(), own.out(), nullptr) != 0) return vips_failed();
  vips_image_set_int(own.get(), VIPS_META_PAGE_HEIGHT, vips_image_get_height(images.front()));
  vips_image_set_int(own.get(), kLoops, animation.loops);
  if (!animation.delays_ms.empty()) {
    vips_image_set_array_int(own.get(), kDelays, animation.delays_ms.data(),
                             static_cast<int>(animation.delays_ms.size()));
  }
  return own;
}

}  // namespace

bool can_be_animated(Format format) { return format == Format::kGif || format == Format::kWebp; }

Result<Animation> open_animation(std::string_view source, Format format, const Limits& limits) {
  PIXMILL_TRY(Picture frames, open_all_frames(source, format));
  const int height = vips_image_get_page_height(frames.get());
  Animation animation;
  animation.stored = {.width = static_cast<std::uint32_t>(vips_image_get_width(frames.get())),
                      .height = static_cast<std::uint32_t>(height)};
  constexpr int kFirstTurned = 5;  // EXIF orientations 5 to 8 swap rows and columns
  const bool turned = vips_image_get_orientation(frames.get()) >= kFirstTurned;
  animation.size =
      turned ? SizePx{.width = animation.stored.height, .height = animation.stored.width} : animation.stored;
  animation.count = static_cast<std::uint32_t>(vips_image_get_height(frames.get()) / height);
  if (animation.count > limits.frames_max) {
    return fail(ErrorCode::kTooLarge,
                fmt::format("the animation has {} frames; at most {} are allowed", animation.count, limits.frames_max));
  }
  animation.delays_ms = delays_of(frames.get());
  animation.loops = loops_of(frames.get());
  PIXMILL_TRY(frames, convert_to_srgb(std::move(frames)));
  PIXMILL_TRY(animation.frames, in_memory(std::move(frames)));
  return animation;
}

Result<Picture> transform_animation(const Animation& animation, const Output& output, const Limits& limits,
                                    Mark* mark) {
  PIXMILL_TRY(const Output same, settled(animation, output));
  std::vector<Picture> frames;
  std::uint64_t pixels = 0;
  for (std::uint32_t number = 0; number < animation.count; ++number) {
    PIXMILL_TRY(Picture frame, frame_of(animation, number));
    PIXMILL_TRY(frame, transform(std::move(frame), animation.size, same, limits, mark));
    const SizePx size = size_of(frame);
    pixels += std::uint64_t{size.width} * size.height;
    if (pixels > limits.pixels_max) return fail(ErrorCode::kTooLarge, "the resulting animation has too many pixels");
    frames.push_back(std::move(frame));
  }
  return joined(std::move(frames), animation);
}

}  // namespace pixmill::image
