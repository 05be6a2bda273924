#include "image/jpeg_codec.h"

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
#include <exception>
#include <type_traits>

// libjpeg's headers want <cstdio> before them, and this order.
#include <jpeglib.h>

#include <jerror.h>

#include "image/jpeg/quantisation.h"
#include "image/planes.h"
#include "image/truncation.h"

namespace pixmill::image {

using namespace std::string_view_literals;

namespace {

// ---- errors: libjpeg reports a fatal one by a longjmp, which must not skip a destructor. So every call into it stands
// in a lambda given to guarded(), and such a lambda holds nothing but references.

// Collects what libjpeg says. One may serve a decompressor and a compressor at once.
struct JpegTrap {
  jpeg_error_mgr manager;  // first: libjpeg hands back a pointer to it
  std::jmp_buf jump;
  int fatal_code = 0;  // libjpeg's J_MESSAGE_CODE of the error that ended it
  bool too_many_scans = false;
  bool input_ended = false;  // the bytes ended before EOI
  bool data_short = false;   // entropy-coded data was missing: some blocks are made up
  bool data_corrupt = false;
  JpegTrap();
};

template <class Info>
JpegTrap& trap_of(Info info) {
  return *reinterpret_cast<JpegTrap*>(info->err);
}

[[noreturn]] void on_fatal(j_common_ptr info) {
  trap_of(info).fatal_code = info->err->msg_code;
  std::longjmp(trap_of(info).jump, 1);
}

// Warnings have level -1. Those not listed (extraneous bytes, odd versions, unknown Adobe transforms) do not touch the
// pixels.
void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  JpegTrap& trap = trap_of(info);
  ++info->err->num_warnings;
  switch (info->err->msg_code) {
    case JWRN_JPEG_EOF:
      trap.input_ended = true;
      break;
    case JWRN_HIT_MARKER:
      trap.data_short = true;
      break;
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
      trap.data_corrupt = true;
      break;
    default:
      break;
  }
}

void ignore_output(j_common_ptr /*info*/) {}

JpegTrap::JpegTrap() {
  jpeg_std_error(&manager);
  manager.error_exit = on_fatal;
  manager.emit_message = on_message;
  manager.output_message = ignore_output;
}

// Runs `function`; false when libjpeg gave up inside it, and then `trap` knows why.
template <class Function>
bool guarded(JpegTrap& trap, const Function& function) {
  static_assert(std::is_trivially_destructible_v<Function>);
  if (setjmp(trap.jump) != 0) return false;
  function();
  return true;
}

std::unexpected<Error> out_of_memory() {
  return fail(ErrorCode::kTooLarge, "the picture needs more memory than an engine may use");
}

// Why guarded() returned false while `source` was decoded.
std::unexpected<Error> decoding_failed(const JpegTrap& trap, std::string_view source) {
  if (trap.too_many_scans) return fail(ErrorCode::kDecodeFailed, "the jpeg file has more than 100 scans");
  switch (trap.fatal_code) {
    case JERR_OUT_OF_MEMORY:
      return out_of_memory();
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_NOT_COMPILED:
      return fail(ErrorCode::kUnsupportedFormat,
                  "12-bit, lossless and unusually coloured jpeg files are not supported");
    default:
      break;
  }
  if (is_cut_off(source, Format::kJpeg)) return fail(ErrorCode::kTruncated, "the jpeg file ends too early");
  return fail(ErrorCode::kDecodeFailed, "the jpeg file is damaged",
              "libjpeg message " + std::to_string(trap.fatal_code));
}

std::unexpected<Error> encoding_failed(const JpegTrap& trap) {
  if (trap.fatal_code == JERR_OUT_OF_MEMORY) return out_of_memory();
  return fail(ErrorCode::kInternal, "the jpeg encoder failed", "libjpeg message " + std::to_string(trap.fatal_code));
}

// After the last row: an error when pixels were made up or are garbage. A baseline file that lacks nothing but its EOI
// is whole; with several scans, those that are missing cannot be known.
Result<void> check_damage(const JpegTrap& trap, bool several_scans, std::string_view source) {
  const bool scans_missing = trap.input_ended && several_scans;
  if (!scans_missing && !trap.data_short && !trap.data_corrupt) return {};
  if (trap.input_ended || is_cut_off(source, Format::kJpeg)) {
    return fail(ErrorCode::kTruncated, "the jpeg file ends too early");
  }
  return fail(ErrorCode::kDecodeFailed, "the jpeg file is damaged: its picture data is corrupt");
}

// ---- handles

// A small progressive file can hold thousands of scans, each as costly as a whole decode; real encoders write about
// ten.
void stop_many_scans(j_common_ptr info) {
  constexpr int kScansMax = 100;
  if (info->is_decompressor == FALSE) return;
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kScansMax) return;
  trap_of(info).too_many_scans = true;
  std::longjmp(trap_of(info).jump, 1);
}

class Decompressor {
 public:
  Decompressor() = default;
  ~Decompressor() { jpeg_destroy_decompress(&info); }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  // Inside guarded(): reads the header.
  void open(JpegTrap& trap, std::string_view source) {
    info.err = &trap.manager;
    jpeg_create_decompress(&info);
    progress_.progress_monitor = stop_many_scans;
    info.progress = &progress_;
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(source.data()), source.size());
    jpeg_read_header(&info, TRUE);
    has_several_scans = jpeg_has_multiple_scans(&info) != FALSE;  // cannot be asked once decoding has ended
  }

  jpeg_decompress_struct info{};
  bool has_several_scans = false;

 private:
  jpeg_progress_mgr progress_{};
};

void start_output(j_compress_ptr info) {
  auto& out = *static_cast<std::string*>(info->client_data);
  info->dest->next_output_byte = reinterpret_cast<JOCTET*>(out.data());
  info->dest->free_in_buffer = out.size();
}

// False when there is no memory for it: no exception may pass through libjpeg's frames.
bool grow(std::string& out) {
  try {
    out.resize(out.size() + out.size() / 2);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

boolean extend_output(j_compress_ptr info) {
  auto& out = *static_cast<std::string*>(info->client_data);
  const std::size_t used = out.size();
  if (!grow(out)) ERREXIT1(info, JERR_OUT_OF_MEMORY, 0);
  info->dest->next_output_byte = reinterpret_cast<JOCTET*>(out.data() + used);
  info->dest->free_in_buffer = out.size() - used;
  return TRUE;
}

void finish_output(j_compress_ptr info) {
  auto& out = *static_cast<std::string*>(info->client_data);
  out.resize(out.size() - info->dest->free_in_buffer);  // shrinking allocates nothing
}

class Compressor {
 public:
  Compressor() = default;
  ~Compressor() { jpeg_destroy_compress(&info); }
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;

  // Inside guarded(). Writes over `out`, which is not empty and outlives this; its size is a first guess.
  void open(JpegTrap& trap, std::string& out) {
    info.err = &trap.manager;
    jpeg_create_compress(&info);
    info.client_data = &out;
    destination_.init_destination = start_output;
    destination_.empty_output_buffer = extend_output;
    destination_.term_destination = finish_output;
    info.dest = &destination_;
  }

  jpeg_compress_struct info{};

 private:
  jpeg_destination_mgr destination_{};
};

// ---- encoding

// A guess at a JPEG's size, so that the buffer seldom grows.
std::size_t guess_bytes(SizePx size) { return 16'384 + std::size_t{size.width} * size.height / 8; }

// How much finer than wanted a coefficient is written first, so that it can be rounded with care when it is coded for
// good. A dead zone needs to know high frequencies, most of which become 0, only to a half: that saves a tenth of the
// time, and costs no bytes at equal SSIMULACRA2.
unsigned refinement_at(unsigned position, TranscodeOptions::Rounding rounding) {
  constexpr unsigned kLow = 4;  // horizontal and vertical frequency together
  constexpr unsigned kFine = 4;
  constexpr unsigned kHalf = 2;
  if (rounding == TranscodeOptions::Rounding::kNearest) return 1;
  if (rounding == TranscodeOptions::Rounding::kTrellis) return kFine;
  return jpeg::horizontal_frequency(position) + jpeg::vertical_frequency(position) < kLow ? kFine : kHalf;
}

void set_steps(jpeg_compress_struct& info, int number, jpeg::Channel channel, const JpegOptions& options) {
  const jpeg::QuantTable table = options.tables == JpegTables::kBalanced
                                     ? jpeg::balanced_table(channel, options.quality)
                                     : jpeg::standard_table(channel, options.quality);
  std::array<unsigned, jpeg::kBlockSize> steps{};
  for (unsigned i = 0; i < jpeg::kBlockSize; ++i) {
    const unsigned refinement = refinement_at(i, options.rounding);
    steps[jpeg::kRowMajor[i]] = std::max((table[i] + refinement / 2) / refinement, 1U);
  }
  constexpr int kAsTheyAre = 100;  // percent
  jpeg_add_quant_table(&info, number, steps.data(), kAsTheyAre, TRUE);
}

// What is given to the encoder: grey or, by default, RGB.
struct Input {
  SizePx size;
  std::uint32_t bands = 3;
  J_COLOR_SPACE colours = JCS_RGB;
  bool halves_chroma = true;
};

void start_encoder(jpeg_compress_struct& info, const Input& input, const JpegOptions& options) {
  info.image_width = input.size.width;
  info.image_height = input.size.height;
  info.input_components = static_cast<int>(input.bands);
  info.in_color_space = input.bands == 1 ? JCS_GRAYSCALE : input.colours;
  jpeg_set_defaults(&info);
  set_steps(info, 0, jpeg::Channel::kLuma, options);
  set_steps(info, 1, jpeg::Channel::kChroma, options);
  if (input.bands == 3 && !input.halves_chroma) {
    info.comp_info[0].h_samp_factor = 1;
    info.comp_info[0].v_samp_factor = 1;
  }
  info.raw_data_in = input.colours == JCS_YCbCr ? TRUE : FALSE;
  jpeg_start_compress(&info, TRUE);
  if (!options.icc.empty()) {
    jpeg_write_icc_profile(&info, reinterpret_cast<const JOCTET*>(options.icc.data()),
                           static_cast<unsigned>(options.icc.size()));
  }
}

// libjpeg's file, which has the standard Huffman codes and perhaps finer steps, as it is to be. That takes no more time
// than libjpeg's own way to optimal codes, and less memory: there is no array of all coefficients.
Result<std::string> code_well(std::string_view file, const JpegOptions& options) {
  const TranscodeOptions transcode{.quality = options.quality,
                                   .tables = options.tables,
                                   .rounding = options.rounding,
                                   .progressive = options.progressive,
                                   .keep_near_source = false,
                                   .exif = options.exif,
                                   .xmp = options.xmp};
  auto coded = transcode_jpeg(file, transcode);
  if (coded || coded.error().code == ErrorCode::kTooLarge) return coded;
  return fail(ErrorCode::kInternal, "the jpeg encoder failed", coded.error().message + ": " + coded.error().detail);
}

// ---- decoding

J_COLOR_SPACE pixel_colours(J_COLOR_SPACE coded) {
  if (coded == JCS_GRAYSCALE) return JCS_GRAYSCALE;
  if (coded == JCS_CMYK || coded == JCS_YCCK) return JCS_CMYK;
  return JCS_RGB;  // libjpeg refuses what it cannot convert
}

void read_rows(jpeg_decompress_struct& info, std::uint8_t* bytes) {
  constexpr JDIMENSION kRowsAtOnce = 16;
  const std::size_t row_bytes = std::size_t{info.output_width} * static_cast<std::size_t>(info.output_components);
  JSAMPROW rows[kRowsAtOnce];
  while (info.output_scanline < info.output_height) {
    const JDIMENSION count = std::min(kRowsAtOnce, info.output_height - info.output_scanline);
    for (JDIMENSION i = 0; i < count; ++i) rows[i] = bytes + (info.output_scanline + i) * row_bytes;
    jpeg_read_scanlines(&info, rows, count);
  }
  jpeg_finish_decompress(&info);
}

// ---- planes

// At most 4 rows of blocks of 8 lines each are a row of MCUs.
constexpr std::uint32_t kLinesMax = 32;
constexpr int kComponentsMax = 3;

struct LinePointers {
  JSAMPROW lines[kComponentsMax][kLinesMax];
  JSAMPARRAY components[kComponentsMax];
};

// The lines of row `y` of MCUs, of which a component has `count`. What lies below the plane is the last line again: it
// is not read, and nothing is written there.
void point_at(LinePointers& pointers, unsigned component, Plane& plane, std::uint32_t y, std::uint32_t count) {
  constexpr std::uint32_t kBlockSide = 8;
  const std::uint32_t room = (plane.size.height + kBlockSide - 1) / kBlockSide * kBlockSide;
  for (std::uint32_t i = 0; i < count; ++i) {
    pointers.lines[component][i] = plane.row(std::min(y * count + i, room - 1));
  }
  pointers.components[component] = pointers.lines[component];
}

bool has_planes(const jpeg_decompress_struct& info) {
  if (info.num_components == 1) return info.jpeg_color_space == JCS_GRAYSCALE;
  return info.num_components == kComponentsMax && info.jpeg_color_space == JCS_YCbCr;
}

// After the output's size is known.
Result<Planes> make_planes(const jpeg_decompress_struct& info) {
  Planes planes;
  for (int i = 0; i < info.num_components; ++i) {
    const jpeg_component_info& component = info.comp_info[i];
    // Blocks are written whole.
    const auto block = static_cast<std::uint32_t>(component.DCT_scaled_size);
    PIXMILL_TRY(Plane plane,
                make_plane({.width = component.width_in_blocks * block, .height = component.height_in_blocks * block}));
    plane.size = {.width = component.downsampled_width, .height = component.downsampled_height};
    constexpr double kBlockSide = 8;
    const double scale = block / kBlockSide;
    plane.across = scale * component.h_samp_factor / info.max_h_samp_factor;
    plane.down = scale * component.v_samp_factor / info.max_v_samp_factor;
    planes.push_back(std::move(plane));
  }
  return planes;
}

void read_planes(jpeg_decompress_struct& info, Planes& planes) {
  LinePointers pointers;
  const auto lines = static_cast<JDIMENSION>(info.max_v_samp_factor * info.min_DCT_scaled_size);
  for (std::uint32_t y = 0; info.output_scanline < info.output_height; ++y) {
    for (unsigned i = 0; i < planes.size(); ++i) {
      const jpeg_component_info& component = info.comp_info[i];
      point_at(pointers, i, planes[i], y,
               static_cast<std::uint32_t>(component.v_samp_factor * component.DCT_scaled_size));
    }
    jpeg_read_raw_data(&info, pointers.components, lines);
  }
  jpeg_finish_decompress(&info);
}

// Fills up the last blocks with what is beside them.
void fill_blocks(Plane& plane) {
  constexpr std::uint32_t kBlockSide = 8;
  const auto up = [](std::uint32_t side) { return (side + kBlockSide - 1) / kBlockSide * kBlockSide; };
  const std::uint32_t width = up(plane.size.width);
  for (std::uint32_t y = 0; y < plane.size.height; ++y) {
    std::uint8_t* const row = plane.row(y);
    std::fill(row + plane.size.width, row + width, row[plane.size.width - 1]);
  }
  for (std::uint32_t y = plane.size.height; y < up(plane.size.height); ++y) {
    std::copy_n(plane.row(plane.size.height - 1), width, plane.row(y));
  }
}

void write_planes(jpeg_compress_struct& info, Planes& planes) {
  LinePointers pointers;
  constexpr int kBlockSide = 8;
  const auto lines = static_cast<JDIMENSION>(info.max_v_samp_factor * kBlockSide);
  for (std::uint32_t y = 0; info.next_scanline < info.image_height; ++y) {
    for (unsigned i = 0; i < planes.size(); ++i) {
      point_at(pointers, i, planes[i], y, static_cast<std::uint32_t>(info.comp_info[i].v_samp_factor * kBlockSide));
    }
    jpeg_write_raw_data(&info, pointers.components, lines);
  }
  jpeg_finish_compress(&info);
}

}  // namespace

Result<Pixels> decode_jpeg(std::string_view source, std::uint32_t shrink) {
  JpegTrap trap;
  Decompressor decompressor;
  jpeg_decompress_struct& info = decompressor.info;
  const bool opened = guarded(trap, [&] {
    decompressor.open(trap, source);
    info.out_color_space = pixel_colours(info.jpeg_color_space);
    info.scale_num = 1;
    info.scale_denom = shrink;
    jpeg_calc_output_dimensions(&info);
  });
  if (!opened) return decoding_failed(trap, source);
  Pixels pixels{.size = {.width = info.output_width, .height = info.output_height},
                .bands = static_cast<std::uint32_t>(info.output_components),
                .bytes = nullptr};
  const std::size_t count = std::size_t{pixels.size.width} * pixels.size.height * pixels.bands;
  pixels.bytes.reset(static_cast<std::uint8_t*>(std::malloc(count)));
  if (!pixels.bytes) return out_of_memory();
  std::uint8_t* const bytes = pixels.bytes.get();
  const bool read = guarded(trap, [&] {
    jpeg_start_decompress(&info);
    read_rows(info, bytes);
  });
  if (!read) return decoding_failed(trap, source);
  PIXMILL_RETURN_IF_ERROR(check_damage(trap, decompressor.has_several_scans, source));
  if (pixels.bands == 4 && info.saw_Adobe_marker != FALSE) {
    // Adobe's programs store ink inverted.
    for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::uint8_t>(255 - bytes[i]);
  }
  return pixels;
}

Result<std::string> encode_jpeg(SizePx size, std::uint32_t bands, const RowSource& rows, const JpegOptions& options) {
  PIXMILL_CHECK(bands == 1 || bands == 3);
  JpegTrap trap;
  std::string out(guess_bytes(size), '\0');
  Compressor compressor;
  jpeg_compress_struct& info = compressor.info;
  bool row_missing = false;
  const bool done = guarded(trap, [&] {
    compressor.open(trap, out);
    start_encoder(info, {.size = size, .bands = bands, .halves_chroma = options.halves_chroma}, options);
    while (info.next_scanline < size.height && !row_missing) {
      const std::uint8_t* bytes = rows(info.next_scanline);
      row_missing = bytes == nullptr;
      JSAMPROW row = const_cast<JSAMPROW>(bytes);  // libjpeg's type; it only reads
      if (!row_missing) jpeg_write_scanlines(&info, &row, 1);
    }
    if (!row_missing) jpeg_finish_compress(&info);
  });
  if (!done) return encoding_failed(trap);
  if (row_missing) return fail(ErrorCode::kDecodeFailed, "the picture could not be read to its end");
  return code_well(out, options);
}

Result<Planes> decode_jpeg_planes(std::string_view source, std::uint32_t shrink) {
  JpegTrap trap;
  Decompressor decompressor;
  jpeg_decompress_struct& info = decompressor.info;
  bool suits = false;
  const bool opened = guarded(trap, [&] {
    decompressor.open(trap, source);
    suits = has_planes(info);
    info.out_color_space = info.jpeg_color_space;
    info.raw_data_out = TRUE;
    info.scale_num = 1;
    info.scale_denom = shrink;
    jpeg_calc_output_dimensions(&info);
  });
  if (!opened) return decoding_failed(trap, source);
  if (!suits) return fail(ErrorCode::kUnsupportedFormat, "the jpeg file is neither grey nor YCbCr");
  PIXMILL_TRY(Planes planes, make_planes(info));
  const bool read = guarded(trap, [&] {
    jpeg_start_decompress(&info);
    read_planes(info, planes);
  });
  if (!read) return decoding_failed(trap, source);
  PIXMILL_RETURN_IF_ERROR(check_damage(trap, decompressor.has_several_scans, source));
  return planes;
}

Result<std::string> encode_jpeg_planes(Planes& planes, const JpegOptions& options) {
  PIXMILL_CHECK(planes.size() == 1 || planes.size() == kComponentsMax);
  const SizePx size = planes[0].size;
  const Input input{.size = size,
                    .bands = static_cast<std::uint32_t>(planes.size()),
                    .colours = JCS_YCbCr,
                    .halves_chroma = planes.size() > 1 && planes[1].size != size};
  for (Plane& plane : planes) fill_blocks(plane);
  JpegTrap trap;
  std::string out(guess_bytes(size), '\0');
  Compressor compressor;
  jpeg_compress_struct& info = compressor.info;
  const bool done = guarded(trap, [&] {
    compressor.open(trap, out);
    start_encoder(info, input, options);
    write_planes(info, planes);
  });
  if (!done) return encoding_failed(trap);
  return code_well(out, options);
}

}  // namespace pixmill::image
