#include "tests/support/test_pictures.h"

#include <vips/vips.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "base/error.h"
#include "image/jpeg_codec.h"
#include "image/picture.h"
#include "image/vips_runtime.h"

// x265 keeps tables for ever; it encodes the HEIF pictures of tests and nothing else.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libx265"; }

namespace pixmill::testing {

using namespace std::string_literals;
using image::Format;
using image::Picture;

namespace {

void must(int failed) {
  if (failed != 0) check_failed(__FILE__, __LINE__, vips_error_buffer());
}

std::string owned(void* bytes, std::size_t size) {
  std::string result(static_cast<const char*>(bytes), size);
  g_free(bytes);
  return result;
}

void put_u16(std::string& bytes, unsigned value) {
  bytes.push_back(static_cast<char>(value & 0xFF));
  bytes.push_back(static_cast<char>(value >> 8 & 0xFF));
}
void put_u32(std::string& bytes, unsigned value) {
  put_u16(bytes, value & 0xFFFF);
  put_u16(bytes, value >> 16);
}

std::string xmp_packet() {
  return "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF><place>"s + std::string(kSecret) +
         "</place></rdf:RDF></x:xmpmeta>";
}

std::string segment(unsigned char marker, const std::string& payload) {
  std::string bytes = "\xFF"s + static_cast<char>(marker);
  bytes.push_back(static_cast<char>((payload.size() + 2) >> 8));
  bytes.push_back(static_cast<char>((payload.size() + 2) & 0xFF));
  return bytes + payload;
}

Rgb colour_at(const PictureSpec& spec, std::uint32_t x, std::uint32_t y) {
  const bool right = x >= spec.size.width / 2;
  const bool bottom = y >= spec.size.height / 2;
  if (bottom) return right ? kWhite : kBlue;
  return right ? kGreen : kRed;
}

std::vector<std::uint8_t> make_pixels(const PictureSpec& spec, int bands) {
  std::mt19937 random(11);
  std::vector<std::uint8_t> pixels;
  const std::uint32_t rows = spec.size.height * static_cast<std::uint32_t>(spec.frames);
  for (std::uint32_t row = 0; row < rows; ++row) {
    const std::uint32_t y = row % spec.size.height;
    for (std::uint32_t x = 0; x < spec.size.width; ++x) {
      Rgb colour = colour_at(spec, x, y);
      // Frames after the first are darker, so that one can tell which was taken and none equals another.
      const int darker = static_cast<int>(row / spec.size.height) * 10;
      for (int& channel : colour) channel = std::max(0, channel - darker);
      if (spec.noise) colour = {static_cast<int>(random() % 256), static_cast<int>(random() % 256), 128};
      for (int i = 0; i < (spec.grey ? 1 : 3); ++i) pixels.push_back(static_cast<std::uint8_t>(colour[i]));
      if (spec.alpha) pixels.push_back(x >= spec.size.width / 2 ? 0 : 255);
    }
  }
  PIXMILL_CHECK(pixels.size() == std::size_t{spec.size.width} * rows * bands);
  return pixels;
}

Picture to_sixteen_bits(const Picture& picture, bool grey) {
  Picture scaled;
  must(vips_linear1(picture.get(), scaled.out(), 257, 0, nullptr));
  Picture cast;
  must(vips_cast_ushort(scaled.get(), cast.out(), nullptr));
  Picture named;
  must(vips_copy(cast.get(), named.out(), "interpretation",
                 grey ? VIPS_INTERPRETATION_GREY16 : VIPS_INTERPRETATION_RGB16, nullptr));
  return named;
}

void attach_metadata(const Picture& picture, const PictureSpec& spec) {
  if (spec.metadata || spec.orientation != 1) {
    const std::string exif = "Exif\0\0"s + make_exif(spec.orientation);
    vips_image_set_blob_copy(picture.get(), VIPS_META_EXIF_NAME, exif.data(), exif.size());
    vips_image_set_int(picture.get(), VIPS_META_ORIENTATION, spec.orientation);
  }
  if (spec.metadata) {
    const std::string xmp = xmp_packet();
    vips_image_set_blob_copy(picture.get(), VIPS_META_XMP_NAME, xmp.data(), xmp.size());
    vips_image_set_string(picture.get(), "png-comment-0-Comment", std::string(kSecret).c_str());
    vips_image_set_string(picture.get(), VIPS_META_IMAGEDESCRIPTION, std::string(kSecret).c_str());
  }
  if (!spec.icc.empty()) {
    VipsBlob* profile = nullptr;
    must(vips_profile_load(spec.icc.c_str(), &profile, nullptr));
    std::size_t size = 0;
    const void* bytes = vips_blob_get(profile, &size);
    vips_image_set_blob_copy(picture.get(), VIPS_META_ICC_NAME, bytes, size);
    vips_area_unref(VIPS_AREA(profile));
  }
  if (spec.frames > 1) vips_image_set_int(picture.get(), VIPS_META_PAGE_HEIGHT, static_cast<int>(spec.size.height));
}

Picture make_image(const PictureSpec& spec) {
  const int bands = (spec.grey ? 1 : 3) + (spec.alpha ? 1 : 0);
  const auto pixels = make_pixels(spec, bands);
  Picture memory(vips_image_new_from_memory_copy(pixels.data(), pixels.size(), static_cast<int>(spec.size.width),
                                                 static_cast<int>(spec.size.height) * spec.frames, bands,
                                                 VIPS_FORMAT_UCHAR));
  Picture picture;
  must(vips_copy(memory.get(), picture.out(), "interpretation",
                 spec.grey ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB, nullptr));
  if (spec.sixteen_bits) picture = to_sixteen_bits(picture, spec.grey);
  if (spec.cmyk) {
    Picture print;
    must(vips_colourspace(picture.get(), print.out(), VIPS_INTERPRETATION_CMYK, nullptr));
    picture = std::move(print);
  }
  attach_metadata(picture, spec);
  return picture;
}

// JPEG's metadata is put in by hand, so that the test does not depend on how libvips writes it.
std::string with_jpeg_metadata(const std::string& jpeg, const PictureSpec& spec) {
  std::string segments;
  if (spec.metadata || spec.orientation != 1) segments += segment(0xE1, "Exif\0\0"s + make_exif(spec.orientation));
  if (spec.metadata) {
    segments += segment(0xE1, "http://ns.adobe.com/xap/1.0/\0"s + xmp_packet());
    segments += segment(0xED, "Photoshop 3.0\0"s + std::string(kSecret));
    segments += segment(0xFE, std::string(kSecret));
  }
  return jpeg.substr(0, 2) + segments + jpeg.substr(2);
}

std::string save(const Picture& picture, const PictureSpec& spec) {
  void* bytes = nullptr;
  std::size_t size = 0;
  switch (spec.format) {
    case Format::kJpeg: {
      // Its own metadata goes, except the profile, which libvips drops when told to strip.
      Picture bare;
      must(vips_copy(picture.get(), bare.out(), nullptr));
      vips_image_remove(bare.get(), VIPS_META_EXIF_NAME);
      vips_image_remove(bare.get(), VIPS_META_XMP_NAME);
      vips_image_remove(bare.get(), VIPS_META_ORIENTATION);
      must(vips_jpegsave_buffer(bare.get(), &bytes, &size, "Q", spec.quality, "interlace",
                                spec.progressive ? TRUE : FALSE, "subsample_mode",
                                spec.full_chroma ? VIPS_FOREIGN_SUBSAMPLE_OFF : VIPS_FOREIGN_SUBSAMPLE_ON, "strip",
                                spec.icc.empty() ? TRUE : FALSE, nullptr));
      return with_jpeg_metadata(owned(bytes, size), spec);
    }
    case Format::kPng:
      must(vips_pngsave_buffer(picture.get(), &bytes, &size, nullptr));
      break;
    case Format::kWebp:
      must(vips_webpsave_buffer(picture.get(), &bytes, &size, "Q", spec.quality, nullptr));
      break;
    case Format::kGif:
      must(vips_gifsave_buffer(picture.get(), &bytes, &size, nullptr));
      break;
    case Format::kTiff:
      must(vips_tiffsave_buffer(picture.get(), &bytes, &size, nullptr));
      break;
    case Format::kAvif:
      must(vips_heifsave_buffer(picture.get(), &bytes, &size, "compression", VIPS_FOREIGN_HEIF_COMPRESSION_AV1, "Q",
                                spec.quality, "effort", 1, nullptr));
      break;
    case Format::kHeif:
      must(vips_heifsave_buffer(picture.get(), &bytes, &size, "compression", VIPS_FOREIGN_HEIF_COMPRESSION_HEVC, "Q",
                                spec.quality, "effort", 1, nullptr));
      break;
  }
  return owned(bytes, size);
}

SeenPicture see_jpeg(std::string_view bytes) {
  const auto pixels = image::decode_jpeg(bytes, 1);
  PIXMILL_CHECK(pixels.has_value());
  const std::size_t count = std::size_t{pixels->size.width} * pixels->size.height * pixels->bands;
  return {.size = pixels->size,
          .bands = static_cast<int>(pixels->bands),
          .pixels = std::vector<std::uint8_t>(pixels->bytes.get(), pixels->bytes.get() + count)};
}

}  // namespace

std::string make_exif(int orientation) {
  std::string artist(kSecret);
  artist.push_back('\0');
  std::string exif = "II*\0"s;
  put_u32(exif, 8);
  put_u16(exif, 2);
  put_u16(exif, 0x0112);  // orientation
  put_u16(exif, 3);
  put_u32(exif, 1);
  put_u32(exif, static_cast<unsigned>(orientation));
  put_u16(exif, 0x013B);  // artist
  put_u16(exif, 2);
  put_u32(exif, static_cast<unsigned>(artist.size()));
  put_u32(exif, 8 + 2 + 2 * 12 + 4);
  put_u32(exif, 0);
  return exif + artist;
}

std::string make_picture(const PictureSpec& spec) {
  PIXMILL_CHECK(image::start_vips().has_value());
  return save(make_image(spec), spec);
}

SeenPicture see(std::string_view bytes) {
  const auto format = image::sniff(bytes);
  PIXMILL_CHECK(format.has_value());
  if (*format == Format::kJpeg) return see_jpeg(bytes);
  Picture picture;
  auto* data = const_cast<char*>(bytes.data());
  if (*format == Format::kPng) must(vips_pngload_buffer(data, bytes.size(), picture.out(), nullptr));
  if (*format == Format::kWebp) must(vips_webpload_buffer(data, bytes.size(), picture.out(), nullptr));
  if (*format == Format::kGif) must(vips_gifload_buffer(data, bytes.size(), picture.out(), nullptr));
  if (*format == Format::kTiff) must(vips_tiffload_buffer(data, bytes.size(), picture.out(), nullptr));
  if (*format == Format::kAvif) must(vips_heifload_buffer(data, bytes.size(), picture.out(), nullptr));
  PIXMILL_CHECK(picture.get() != nullptr);
  std::size_t size = 0;
  void* memory = vips_image_write_to_memory(picture.get(), &size);
  PIXMILL_CHECK(memory != nullptr);
  SeenPicture seen{.size = {.width = static_cast<std::uint32_t>(vips_image_get_width(picture.get())),
                            .height = static_cast<std::uint32_t>(vips_image_get_height(picture.get()))},
                   .bands = vips_image_get_bands(picture.get()),
                   .pixels = std::vector<std::uint8_t>(static_cast<std::uint8_t*>(memory),
                                                       static_cast<std::uint8_t*>(memory) + size)};
  g_free(memory);
  return seen;
}

Rgb SeenPicture::at(std::uint32_t x, std::uint32_t y) const {
  const std::size_t begin = (std::size_t{y} * size.width + x) * static_cast<std::size_t>(bands);
  if (bands < 3) return {pixels[begin], pixels[begin], pixels[begin]};
  return {pixels[begin], pixels[begin + 1], pixels[begin + 2]};
}

int SeenPicture::alpha_at(std::uint32_t x, std::uint32_t y) const {
  if (bands != 2 && bands != 4) return 255;
  return pixels[(std::size_t{y} * size.width + x + 1) * static_cast<std::size_t>(bands) - 1];
}

std::array<Rgb, 4> SeenPicture::corners() const {
  const std::uint32_t left = size.width / 8;
  const std::uint32_t top = size.height / 8;
  const std::uint32_t right = size.width - 1 - left;
  const std::uint32_t bottom = size.height - 1 - top;
  return {at(left, top), at(right, top), at(left, bottom), at(right, bottom)};
}

int distance(const Rgb& a, const Rgb& b) {
  int largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace pixmill::testing
