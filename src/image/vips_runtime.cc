#include "image/vips_runtime.h"

#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>
#include <vips/vips.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "image/picture.h"
#include "image/tiny_pictures.h"

namespace pixmill::image {

namespace {

// JPEG is not among them: jpeg_codec reads it.
constexpr std::array kOpenLoaders = {"VipsForeignLoadPngBuffer", "VipsForeignLoadWebpBuffer",
                                     "VipsForeignLoadNsgifBuffer", "VipsForeignLoadTiffBuffer",
                                     "VipsForeignLoadHeifBuffer"};

void ignore_log(const gchar* /*domain*/, GLogLevelFlags /*level*/, const gchar* /*message*/, gpointer /*data*/) {}

void* collect_open(GType type, void* names) {
  if (G_TYPE_IS_ABSTRACT(type)) return nullptr;
  auto* operation = static_cast<VipsOperationClass*>(g_type_class_ref(type));
  if ((operation->flags & VIPS_OPERATION_BLOCKED) == 0) {
    static_cast<std::vector<std::string>*>(names)->emplace_back(g_type_name(type));
  }
  g_type_class_unref(operation);
  return nullptr;
}

// Reading a header makes libheif load its decoders, the others their tables; no pixel is decoded, so no thread is
// started.
Result<void> load_lazy_parts() {
  for (const auto& tiny : tiny_pictures()) {
    Picture picture;
    auto* bytes = const_cast<char*>(tiny.bytes.data());
    const std::size_t size = tiny.bytes.size();
    int failed = 0;
    if (tiny.format == Format::kPng) failed = vips_pngload_buffer(bytes, size, picture.out(), nullptr);
    if (tiny.format == Format::kWebp) failed = vips_webpload_buffer(bytes, size, picture.out(), nullptr);
    if (tiny.format == Format::kGif) failed = vips_gifload_buffer(bytes, size, picture.out(), nullptr);
    if (tiny.format == Format::kTiff) failed = vips_tiffload_buffer(bytes, size, picture.out(), nullptr);
    if (tiny.format == Format::kAvif) failed = vips_heifload_buffer(bytes, size, picture.out(), nullptr);
    if (failed != 0) {
      return fail(ErrorCode::kInternal, fmt::format("libvips cannot read {}", format_name(tiny.format)),
                  take_vips_message());
    }
  }
  VipsBlob* profile = nullptr;
  for (const char* name : {"srgb", "cmyk"}) {
    if (vips_profile_load(name, &profile, nullptr) != 0) {
      return fail(ErrorCode::kInternal, "libvips lacks its colour profiles", take_vips_message());
    }
    vips_area_unref(VIPS_AREA(profile));
  }
  return {};
}

Result<void> start_once() {
  // Temporary files would go to disk, and an engine has none: pixels stay in memory, which the engine's limit bounds.
  // It knows k, m and g, and takes anything else for a number of bytes.
  setenv("VIPS_DISC_THRESHOLD", "1000g", 1);
  g_log_set_default_handler(ignore_log, nullptr);
  if (vips_init("pixmill") != 0) return fail(ErrorCode::kInternal, "libvips does not start", take_vips_message());
  vips_concurrency_set(1);
  vips_cache_set_max(0);
  vips_block_untrusted_set(TRUE);
  vips_operation_block_set("VipsForeignLoad", TRUE);
  for (const char* loader : kOpenLoaders) vips_operation_block_set(loader, FALSE);
  return load_lazy_parts();
}

// What a one-pixel image needs in order to be computed by a function of ours.
int compute_pixel(VipsRegion* /*region*/, void* /*sequence*/, void* function, void* /*unused*/, gboolean* /*stop*/) {
  (*static_cast<const std::function<void()>*>(function))();
  return 0;
}

}  // namespace

Picture::~Picture() {
  if (image_ != nullptr) g_object_unref(image_);
}

Result<void> start_vips() {
  static const Result<void> started = [] {
    auto result = start_once();
    vips_error_clear();  // what the trials of load_lazy_parts left
    return result;
  }();
  return started;
}

std::vector<std::string> open_loaders() {
  std::vector<std::string> names;
  vips_type_map_all(g_type_from_name("VipsForeignLoad"), collect_open, &names);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> expected_loaders() {
  std::vector<std::string> names(kOpenLoaders.begin(), kOpenLoaders.end());
  std::sort(names.begin(), names.end());
  return names;
}

std::string take_vips_message() {
  std::string message = vips_error_buffer();
  vips_error_clear();
  std::replace(message.begin(), message.end(), '\n', ' ');
  return message;
}

std::unexpected<Error> vips_failed() {
  std::string message = take_vips_message();
  // libvips' own words, and libheif's through it.
  const bool out_of_memory = message.find("out of memory") != std::string::npos ||
                             message.find("Memory allocation error") != std::string::npos;
  if (out_of_memory) {
    return fail(ErrorCode::kTooLarge, "the picture needs more memory than an engine may use", std::move(message));
  }
  return fail(ErrorCode::kDecodeFailed, "the picture cannot be decoded", std::move(message));
}

bool run_on_vips_thread(const std::function<void()>& function) {
  const pid_t caller = gettid();
  bool elsewhere = false;
  const std::function<void()> noting = [&] {
    elsewhere = gettid() != caller;
    function();
  };
  Picture picture(vips_image_new());
  vips_image_init_fields(picture.get(), 1, 1, 1, VIPS_FORMAT_UCHAR, VIPS_CODING_NONE, VIPS_INTERPRETATION_B_W, 1, 1);
  if (vips_image_pipelinev(picture.get(), VIPS_DEMAND_STYLE_ANY, nullptr) != 0) return false;
  if (vips_image_generate(picture.get(), nullptr, compute_pixel, nullptr, const_cast<std::function<void()>*>(&noting),
                          nullptr) != 0) {
    return false;
  }
  std::size_t size = 0;
  void* pixels = vips_image_write_to_memory(picture.get(), &size);
  if (pixels == nullptr) return false;
  g_free(pixels);
  return elsewhere;
}

void release_memory_above(std::size_t keep_bytes) {
  if (mallinfo2().fordblks > keep_bytes) malloc_trim(0);
}

}  // namespace pixmill::image
