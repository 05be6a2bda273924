#include "image/jpeg_codec.h"

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <exception>
#include <type_traits>
#include <vector>

// libjpeg's headers want <cstdio> before them, and this order.
#include <jpeglib.h>

#include <jerror.h>

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

// Optimised Huffman tables need all coefficients at once, 3 bytes a pixel at 4:2:0; above this memory matters more than
// 5 % of bytes.
boolean may_optimise(SizePx size) {
  constexpr std::uint64_t kPixelsMax = 50'000'000;
  return std::uint64_t{size.width} * size.height <= kPixelsMax ? TRUE : FALSE;
}

// Chroma at half the resolution is not seen at usual qualities; whoever asks for 90 or more wants it whole.
constexpr int kFullChromaQuality = 90;

void write_app1(jpeg_compress_struct& info, std::string_view prefix, std::string_view payload) {
  constexpr std::size_t kSegmentMax = 65'533;
  if (payload.empty() || prefix.size() + payload.size() > kSegmentMax) return;
  jpeg_write_m_header(&info, JPEG_APP0 + 1, static_cast<unsigned>(prefix.size() + payload.size()));
  for (const char byte : prefix) jpeg_write_m_byte(&info, static_cast<unsigned char>(byte));
  for (const char byte : payload) jpeg_write_m_byte(&info, static_cast<unsigned char>(byte));
}

// After jpeg_start_compress.
void write_metadata(jpeg_compress_struct& info, const JpegOptions& options) {
  write_app1(info, "Exif\0\0"sv, options.exif);
  write_app1(info, "http://ns.adobe.com/xap/1.0/\0"sv, options.xmp);
}

void set_up_pixel_encoder(jpeg_compress_struct& info, SizePx size, std::uint32_t bands, int quality) {
  info.image_width = size.width;
  info.image_height = size.height;
  info.input_components = static_cast<int>(bands);
  info.in_color_space = bands == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, quality, TRUE);
  info.optimize_coding = may_optimise(size);
  if (bands == 3 && quality >= kFullChromaQuality) {
    info.comp_info[0].h_samp_factor = 1;
    info.comp_info[0].v_samp_factor = 1;
  }
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

// ---- recoding plane by plane

constexpr JDIMENSION kGroupRows = 16;  // luma rows that go through at once: one row of 4:2:0 blocks
constexpr JDIMENSION kBlock = 8;

// How many luma samples there are to a chroma sample, across and down.
struct Sampling {
  JDIMENSION across = 1;
  JDIMENSION down = 1;
  bool operator==(const Sampling&) const = default;
};

// nullopt for what recoding does not take.
std::optional<Sampling> usual_sampling(const jpeg_decompress_struct& info) {
  if (info.data_precision != 8) return std::nullopt;
  if (info.num_components == 1 && info.jpeg_color_space == JCS_GRAYSCALE && info.comp_info[0].h_samp_factor <= 2 &&
      info.comp_info[0].v_samp_factor <= 2) {
    return Sampling{};
  }
  if (info.num_components != 3 || info.jpeg_color_space != JCS_YCbCr) return std::nullopt;
  for (int i = 1; i < 3; ++i) {
    if (info.comp_info[i].h_samp_factor != 1 || info.comp_info[i].v_samp_factor != 1) return std::nullopt;
  }
  const int across = info.comp_info[0].h_samp_factor;
  const int down = info.comp_info[0].v_samp_factor;
  if (across > 2 || down > 2) return std::nullopt;
  return Sampling{.across = static_cast<JDIMENSION>(across), .down = static_cast<JDIMENSION>(down)};
}

// kGroupRows rows of one plane. Rows are longer than the picture by up to two blocks, for the padding of the last ones.
class PlaneRows {
 public:
  explicit PlaneRows(JDIMENSION width_px)
      : row_bytes_((std::size_t{width_px} + 3 * kBlock - 1) / kBlock * kBlock), bytes_(row_bytes_ * kGroupRows) {
    for (JDIMENSION i = 0; i < kGroupRows; ++i) rows_[i] = bytes_.data() + i * row_bytes_;
  }
  [[nodiscard]] JSAMPARRAY from(JDIMENSION row) { return rows_ + row; }
  [[nodiscard]] JSAMPROW row(JDIMENSION at) { return rows_[at]; }
  // Repeats the last column and the last row outwards, as encoders do, so that padding costs few bits.
  void extend(JDIMENSION width_px, JDIMENSION rows) {
    for (JDIMENSION i = 0; i < rows; ++i) {
      std::memset(rows_[i] + width_px, rows_[i][width_px - 1], row_bytes_ - width_px);
    }
    for (JDIMENSION i = std::max<JDIMENSION>(rows, 1); i < kGroupRows; ++i) {
      std::memcpy(rows_[i], rows_[i - 1], row_bytes_);
    }
  }

 private:
  std::size_t row_bytes_;
  std::vector<JSAMPLE> bytes_;
  JSAMPROW rows_[kGroupRows];
};

// Means of neighbours, rounded up and down in turn so that the whole gets no brighter (libjpeg's own pattern).
void halve_across(const JSAMPLE* in, JSAMPLE* out, JDIMENSION count) {
  for (JDIMENSION i = 0; i < count; ++i) {
    out[i] = static_cast<JSAMPLE>((in[2 * i] + in[2 * i + 1] + static_cast<int>(i & 1)) >> 1);
  }
}
void halve_down(const JSAMPLE* a, const JSAMPLE* b, JSAMPLE* out, JDIMENSION count) {
  for (JDIMENSION i = 0; i < count; ++i) out[i] = static_cast<JSAMPLE>((a[i] + b[i] + static_cast<int>(i & 1)) >> 1);
}
void halve_both(const JSAMPLE* a, const JSAMPLE* b, JSAMPLE* out, JDIMENSION count) {
  for (JDIMENSION i = 0; i < count; ++i) {
    const int sum = a[2 * i] + a[2 * i + 1] + b[2 * i] + b[2 * i + 1];
    out[i] = static_cast<JSAMPLE>((sum + 1 + static_cast<int>(i & 1)) >> 2);
  }
}

// One picture on its way from a decompressor to a compressor. All memory is taken before the first row.
class PlaneRecoder {
 public:
  PlaneRecoder(jpeg_decompress_struct& in, jpeg_compress_struct& out, Sampling source, Sampling target)
      : in_(in),
        out_(out),
        source_(source),
        target_(target),
        width_(in.image_width),
        height_(in.image_height),
        planes_{PlaneRows(width_), PlaneRows(width_), PlaneRows(width_)},
        halved_{PlaneRows(width_), PlaneRows(width_)} {}

  // Inside guarded(); both sides are started.
  void run() {
    for (JDIMENSION top = 0; top < height_; top += kGroupRows) {
      read_group();
      if (source_ != target_) resample(std::min(kGroupRows, height_ - top));
      write_group();
    }
  }

 private:
  void read_group() {
    const JDIMENSION rows_a_read = static_cast<JDIMENSION>(in_.max_v_samp_factor) * kBlock;
    for (JDIMENSION row = 0; row < kGroupRows && in_.output_scanline < in_.output_height; row += rows_a_read) {
      JSAMPARRAY planes[3] = {planes_[0].from(row), planes_[1].from(row / source_.down),
                              planes_[2].from(row / source_.down)};
      jpeg_read_raw_data(&in_, planes, rows_a_read);
    }
  }

  void resample(JDIMENSION luma_rows) {
    planes_[0].extend(width_, luma_rows);
    const JDIMENSION chroma_width = (width_ + source_.across - 1) / source_.across;
    const JDIMENSION chroma_rows = (luma_rows + source_.down - 1) / source_.down;
    const JDIMENSION count = (width_ + 2 * kBlock - 1) / (2 * kBlock) * kBlock;
    for (int plane = 0; plane < 2; ++plane) {
      PlaneRows& from = planes_[plane + 1];
      from.extend(chroma_width, chroma_rows);
      for (JDIMENSION i = 0; i < kBlock; ++i) {
        if (source_.down == 2) {
          halve_across(from.row(i), halved_[plane].row(i), count);
        } else if (source_.across == 2) {
          halve_down(from.row(2 * i), from.row(2 * i + 1), halved_[plane].row(i), count);
        } else {
          halve_both(from.row(2 * i), from.row(2 * i + 1), halved_[plane].row(i), count);
        }
      }
    }
  }

  void write_group() {
    const bool resampled = source_ != target_;
    PlaneRows& cb = resampled ? halved_[0] : planes_[1];
    PlaneRows& cr = resampled ? halved_[1] : planes_[2];
    const JDIMENSION rows_a_write = static_cast<JDIMENSION>(out_.max_v_samp_factor) * kBlock;
    for (JDIMENSION row = 0; row < kGroupRows && out_.next_scanline < out_.image_height; row += rows_a_write) {
      JSAMPARRAY planes[3] = {planes_[0].from(row), cb.from(row / target_.down), cr.from(row / target_.down)};
      jpeg_write_raw_data(&out_, planes, rows_a_write);
    }
  }

  jpeg_decompress_struct& in_;
  jpeg_compress_struct& out_;
  Sampling source_;
  Sampling target_;
  JDIMENSION width_;
  JDIMENSION height_;
  PlaneRows planes_[3];
  PlaneRows halved_[2];
};

void set_up_plane_encoder(jpeg_compress_struct& info, const jpeg_decompress_struct& source, Sampling target,
                          int quality) {
  const SizePx size{.width = source.image_width, .height = source.image_height};
  info.image_width = size.width;
  info.image_height = size.height;
  info.input_components = source.num_components;
  info.in_color_space = source.jpeg_color_space;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, quality, TRUE);
  info.optimize_coding = may_optimise(size);
  info.raw_data_in = TRUE;
  info.comp_info[0].h_samp_factor = static_cast<int>(target.across);
  info.comp_info[0].v_samp_factor = static_cast<int>(target.down);
}

Sampling sampling_for(Sampling source, int components, int quality) {
  if (components == 1) return Sampling{};
  return quality >= kFullChromaQuality ? source : Sampling{.across = 2, .down = 2};
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
    set_up_pixel_encoder(info, size, bands, options.quality);
    jpeg_start_compress(&info, TRUE);
    write_metadata(info, options);
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
  return out;
}

Result<std::optional<std::string>> recode_jpeg(std::string_view source, const JpegOptions& options) {
  JpegTrap trap;
  Decompressor decompressor;
  if (!guarded(trap, [&] { decompressor.open(trap, source); })) return decoding_failed(trap, source);
  const auto sampling = usual_sampling(decompressor.info);
  if (!sampling) return std::nullopt;

  const SizePx size{.width = decompressor.info.image_width, .height = decompressor.info.image_height};
  const Sampling target = sampling_for(*sampling, decompressor.info.num_components, options.quality);
  std::string out(guess_bytes(size), '\0');
  Compressor compressor;
  PlaneRecoder recoder(decompressor.info, compressor.info, *sampling, target);
  JpegTrap encoder_trap;
  const bool opened = guarded(encoder_trap, [&] {
    compressor.open(encoder_trap, out);
    set_up_plane_encoder(compressor.info, decompressor.info, target, options.quality);
    jpeg_start_compress(&compressor.info, TRUE);
    write_metadata(compressor.info, options);
  });
  if (!opened) return encoding_failed(encoder_trap);
  // From here on both report to one trap: which of the two gave up no longer matters, but that the jump's frame is
  // alive does.
  compressor.info.err = &trap.manager;
  const bool done = guarded(trap, [&] {
    decompressor.info.raw_data_out = TRUE;
    jpeg_start_decompress(&decompressor.info);
    recoder.run();
    jpeg_finish_decompress(&decompressor.info);
    jpeg_finish_compress(&compressor.info);
  });
  if (!done) return decoding_failed(trap, source);
  PIXMILL_RETURN_IF_ERROR(check_damage(trap, decompressor.has_several_scans, source));
  return out;
}

}  // namespace pixmill::image
