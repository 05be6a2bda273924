// Any bytes give an error or a file that libjpeg decodes without a warning.
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

// libjpeg's header wants <cstdio> before it.
#include <jpeglib.h>

#include "base/error.h"
#include "image/jpeg/jpeg_transcode.h"

namespace {

struct Trap {
  jpeg_error_mgr manager;  // first: libjpeg hands back a pointer to it
  std::jmp_buf jump;
};

[[noreturn]] void jump_out(j_common_ptr info) { std::longjmp(reinterpret_cast<Trap*>(info->err)->jump, 1); }
void stay_silent(j_common_ptr) {}

bool decodes_without_warning(std::string_view file) {
  Trap trap;
  jpeg_std_error(&trap.manager);
  trap.manager.error_exit = jump_out;
  trap.manager.output_message = stay_silent;
  jpeg_decompress_struct info{};
  info.err = &trap.manager;
  std::vector<std::uint8_t> row;
  volatile bool good = false;
  if (setjmp(trap.jump) == 0) {
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(file.data()), file.size());
    jpeg_read_header(&info, TRUE);
    jpeg_start_decompress(&info);
    row.resize(std::size_t{info.output_width} * 3);
    while (info.output_scanline < info.output_height) {
      JSAMPROW rows = row.data();
      jpeg_read_scanlines(&info, &rows, 1);
    }
    jpeg_finish_decompress(&info);
    good = trap.manager.num_warnings == 0;
  }
  jpeg_destroy_decompress(&info);
  return good;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  using pixmill::image::JpegTables;
  using pixmill::image::TranscodeOptions;
  const unsigned kind = data[1];
  const TranscodeOptions options{.quality = data[0] % 100 + 1,
                                 .tables = (kind & 8U) != 0 ? JpegTables::kStandard : JpegTables::kBalanced,
                                 .rounding = static_cast<TranscodeOptions::Rounding>((kind >> 4) % 3),
                                 .progressive = (kind & 64U) == 0,
                                 .orientation = static_cast<int>(kind % 8) + 1,
                                 .trim_partial_mcus = (kind & 128U) != 0};
  const std::string_view source(reinterpret_cast<const char*>(data + 2), size - 2);
  const auto result = pixmill::image::transcode_jpeg(source, options);
  if (result) {
    PIXMILL_CHECK(decodes_without_warning(*result));
    return 0;
  }
  using pixmill::ErrorCode;
  const ErrorCode code = result.error().code;
  PIXMILL_CHECK(code == ErrorCode::kUnsupportedFormat || code == ErrorCode::kTruncated ||
                code == ErrorCode::kDecodeFailed || code == ErrorCode::kTooLarge);
  return 0;
}
