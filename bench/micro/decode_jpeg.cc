#include "bench/micro/decode_jpeg.h"

#include <array>
#include <csetjmp>
#include <cstdio>

// libjpeg's header wants <cstdio> before it.
#include <jpeglib.h>

namespace pixmill::bench {

namespace {

struct Errors {
  jpeg_error_mgr manager;  // first, so that libjpeg's pointer is ours
  std::jmp_buf leave;
};

[[noreturn]] void leave_libjpeg(j_common_ptr jpeg) { std::longjmp(reinterpret_cast<Errors*>(jpeg->err)->leave, 1); }

// False for an error. What needs a destructor is the caller's, because libjpeg's errors jump over destructors.
bool decode(jpeg_decompress_struct& jpeg, Errors& errors, std::string_view file, DecodedJpeg& decoded) {
  if (setjmp(errors.leave) != 0) return false;
  jpeg_create_decompress(&jpeg);
  jpeg_mem_src(&jpeg, reinterpret_cast<const unsigned char*>(file.data()), file.size());
  jpeg_read_header(&jpeg, TRUE);
  jpeg.out_color_space = JCS_RGB;
  jpeg_start_decompress(&jpeg);
  const std::size_t stride = std::size_t{3} * jpeg.output_width;
  decoded.pixels.width_px = jpeg.output_width;
  decoded.pixels.height_px = jpeg.output_height;
  decoded.pixels.bytes.resize(stride * jpeg.output_height);
  while (jpeg.output_scanline < jpeg.output_height) {
    JSAMPROW row = &decoded.pixels.bytes[stride * jpeg.output_scanline];
    jpeg_read_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_decompress(&jpeg);
  decoded.warnings = errors.manager.num_warnings;
  return true;
}

}  // namespace

Result<DecodedJpeg> decode_jpeg(std::string_view file) {
  jpeg_decompress_struct jpeg{};
  Errors errors{};
  DecodedJpeg decoded;
  jpeg.err = jpeg_std_error(&errors.manager);
  errors.manager.error_exit = leave_libjpeg;
  errors.manager.output_message = [](j_common_ptr) {};
  const bool whole = decode(jpeg, errors, file, decoded);
  std::array<char, JMSG_LENGTH_MAX> words{};
  if (!whole) errors.manager.format_message(reinterpret_cast<j_common_ptr>(&jpeg), words.data());
  jpeg_destroy_decompress(&jpeg);
  if (!whole) return fail(ErrorCode::kDecodeFailed, words.data());
  return decoded;
}

}  // namespace pixmill::bench
