#include "tests/support/sample_jpegs.h"

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

// libjpeg's header wants <cstdio> before it.
#include <jpeglib.h>

#include "base/error.h"

namespace pixmill::image::jpeg {

namespace {

using Random = std::mt19937;

struct Trap {
  jpeg_error_mgr manager;  // first: libjpeg hands back a pointer to it
  std::jmp_buf jump;
};

[[noreturn]] void jump_out(j_common_ptr info) { std::longjmp(reinterpret_cast<Trap*>(info->err)->jump, 1); }
void stay_silent(j_common_ptr) {}

void set_up(Trap& trap) {
  jpeg_std_error(&trap.manager);
  trap.manager.error_exit = jump_out;
  trap.manager.output_message = stay_silent;
}

unsigned below(Random& random, unsigned limit) { return static_cast<unsigned>(random() % limit); }

// Mostly small values that thin out towards high frequencies, and now and then extremes.
void fill_block(Random& random, JCOEFPTR block, const SampleOptions& options) {
  std::fill_n(block, DCTSIZE2, JCOEF{0});
  block[0] = static_cast<JCOEF>(below(random, 8) == 0 && !options.calm ? static_cast<int>(below(random, 2048)) - 1024
                                                                       : static_cast<int>(below(random, 200)) - 100);
  const unsigned kind = below(random, 16);
  if (kind == 0 || options.flat) return;
  const unsigned density = kind == 1 ? 1 : below(random, 40) + 2;  // of 64; kind 1 has long runs of zeros
  for (unsigned i = 1; i < kBlockSize; ++i) {
    if (below(random, kBlockSize) >= density && kind != 2) continue;
    const unsigned limit = kind == 3 && !options.calm ? 2047 : 2 + 120 / i;
    block[kRowMajor[i]] = static_cast<JCOEF>(static_cast<int>(below(random, limit)) - static_cast<int>(limit / 2));
  }
  if (kind == 4) block[kRowMajor[kBlockSize - 1]] = 1;
}

JHUFF_TBL* odd_code(j_compress_ptr info, Random& random, bool is_dc) {
  std::array<std::uint32_t, 256> frequencies{};
  for (unsigned symbol = 0; symbol < 256; ++symbol) {
    const bool used = is_dc ? symbol <= 11 : (symbol & 15U) <= 10 && ((symbol & 15U) > 0 || symbol % 0xF0 == 0);
    if (used) frequencies[symbol] = 1U << below(random, 20);
  }
  const HuffmanCode code = optimal_code(frequencies);
  JHUFF_TBL* table = jpeg_alloc_huff_table(reinterpret_cast<j_common_ptr>(info));
  std::copy(code.count.begin(), code.count.end(), table->bits);
  std::copy(code.symbols.begin(), code.symbols.end(), table->huffval);
  return table;
}

void set_codes(jpeg_compress_struct& info, const SampleOptions& options, Random& random) {
  info.optimize_coding = options.codes == SampleCodes::kOptimal ? TRUE : FALSE;
  if (options.codes != SampleCodes::kOdd) return;
  for (unsigned i = 0; i < 2; ++i) {
    info.dc_huff_tbl_ptrs[i] = odd_code(&info, random, true);
    info.ac_huff_tbl_ptrs[i] = odd_code(&info, random, false);
  }
}

J_COLOR_SPACE colour_space(SampleColours colours) {
  switch (colours) {
    case SampleColours::kGrey:
      return JCS_GRAYSCALE;
    case SampleColours::kYcc:
      return JCS_YCbCr;
    case SampleColours::kRgb:
      return JCS_RGB;
    case SampleColours::kCmyk:
      return JCS_CMYK;
  }
  return JCS_UNKNOWN;
}

void set_parameters(jpeg_compress_struct& info, const SampleOptions& options, Random& random) {
  info.image_width = options.width_px;
  info.image_height = options.height_px;
  info.in_color_space = colour_space(options.colours);
  info.input_components = options.colours == SampleColours::kGrey ? 1 : options.colours == SampleColours::kCmyk ? 4 : 3;
  jpeg_set_defaults(&info);
  jpeg_set_colorspace(&info, info.in_color_space);
  jpeg_set_quality(&info, options.quality, FALSE);
  info.restart_interval = options.restart_interval;
  info.arith_code = options.process == SampleProcess::kArithmetic ? TRUE : FALSE;
  for (int i = 0; i < std::min(info.num_components, 3); ++i) {
    info.comp_info[i].h_samp_factor = static_cast<int>(options.h[static_cast<std::size_t>(i)]);
    info.comp_info[i].v_samp_factor = static_cast<int>(options.v[static_cast<std::size_t>(i)]);
  }
  set_codes(info, options, random);
  if (options.process == SampleProcess::kProgressive) jpeg_simple_progression(&info);
}

// One scan for every component.
std::array<jpeg_scan_info, 4> separate_scans() {
  std::array<jpeg_scan_info, 4> scans{};
  for (int i = 0; i < 4; ++i) {
    scans[static_cast<std::size_t>(i)] = {
        .comps_in_scan = 1, .component_index = {i, 0, 0, 0}, .Ss = 0, .Se = 63, .Ah = 0, .Al = 0};
  }
  return scans;
}

unsigned divide_up(unsigned value, unsigned by) { return (value + by - 1) / by; }

std::vector<jvirt_barray_ptr> request_arrays(jpeg_compress_struct& info) {
  int h_max = 1;
  int v_max = 1;
  for (int i = 0; i < info.num_components; ++i) {
    h_max = std::max(h_max, info.comp_info[i].h_samp_factor);
    v_max = std::max(v_max, info.comp_info[i].v_samp_factor);
  }
  std::vector<jvirt_barray_ptr> arrays;
  for (int i = 0; i < info.num_components; ++i) {
    const auto h = static_cast<unsigned>(info.comp_info[i].h_samp_factor);
    const auto v = static_cast<unsigned>(info.comp_info[i].v_samp_factor);
    const unsigned wide = divide_up(info.image_width, 8U * static_cast<unsigned>(h_max)) * h;
    const unsigned high = divide_up(info.image_height, 8U * static_cast<unsigned>(v_max)) * v;
    arrays.push_back(
        info.mem->request_virt_barray(reinterpret_cast<j_common_ptr>(&info), JPOOL_IMAGE, TRUE, wide, high, v));
  }
  return arrays;
}

void fill_arrays(jpeg_compress_struct& info, const std::vector<jvirt_barray_ptr>& arrays, Random& random,
                 const SampleOptions& options) {
  for (int i = 0; i < info.num_components; ++i) {
    const jpeg_component_info& component = info.comp_info[i];
    for (JDIMENSION y = 0; y < component.height_in_blocks; ++y) {
      JBLOCKARRAY row = info.mem->access_virt_barray(reinterpret_cast<j_common_ptr>(&info),
                                                     arrays[static_cast<std::size_t>(i)], y, 1, TRUE);
      for (JDIMENSION x = 0; x < component.width_in_blocks; ++x) {
        fill_block(random, row[0][x], options);
      }
    }
  }
}

// Runs `use` on a decompressor that has read the header; false when libjpeg failed or warned.
template <class Use>
bool with_decompressor(std::string_view bytes, const Use& use) {
  Trap trap;
  set_up(trap);
  jpeg_decompress_struct info{};
  info.err = &trap.manager;
  volatile bool good = false;
  if (setjmp(trap.jump) == 0) {
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_read_header(&info, TRUE);
    use(info);
    jpeg_finish_decompress(&info);
    good = trap.manager.num_warnings == 0;
  }
  jpeg_destroy_decompress(&info);
  return good;
}

void copy_component(jpeg_decompress_struct& info, int index, jvirt_barray_ptr array, DenseComponent& component) {
  const jpeg_component_info& source = info.comp_info[index];
  if (source.quant_table == nullptr) jump_out(reinterpret_cast<j_common_ptr>(&info));  // it stands in no scan
  component.h = static_cast<unsigned>(source.h_samp_factor);
  component.v = static_cast<unsigned>(source.v_samp_factor);
  component.blocks_wide = source.width_in_blocks;
  component.blocks_high = source.height_in_blocks;
  for (unsigned i = 0; i < kBlockSize; ++i) component.quant_table[i] = source.quant_table->quantval[kRowMajor[i]];
  for (JDIMENSION y = 0; y < component.blocks_high; ++y) {
    JBLOCKARRAY row = info.mem->access_virt_barray(reinterpret_cast<j_common_ptr>(&info), array, y, 1, FALSE);
    for (JDIMENSION x = 0; x < component.blocks_wide; ++x) {
      DenseBlock& block = component.blocks.emplace_back();
      for (unsigned i = 0; i < kBlockSize; ++i) block[i] = row[0][x][kRowMajor[i]];
    }
  }
}

}  // namespace

std::string make_jpeg(const SampleOptions& options) {
  Random random(options.seed);
  Trap trap;
  set_up(trap);
  jpeg_compress_struct info{};
  info.err = &trap.manager;
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  const auto scans = separate_scans();
  PIXMILL_CHECK(setjmp(trap.jump) == 0);
  jpeg_create_compress(&info);
  jpeg_mem_dest(&info, &bytes, &size);
  set_parameters(info, options, random);
  if (options.process == SampleProcess::kNonInterleaved) {
    info.scan_info = scans.data();
    info.num_scans = info.num_components;
  }
  auto arrays = request_arrays(info);
  jpeg_write_coefficients(&info, arrays.data());
  fill_arrays(info, arrays, random, options);
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::string file(reinterpret_cast<const char*>(bytes), size);
  std::free(bytes);
  return file;
}

std::optional<DensePicture> read_dense(std::string_view bytes) {
  DensePicture picture;
  const bool good = with_decompressor(bytes, [&](jpeg_decompress_struct& info) {
    jvirt_barray_ptr* arrays = jpeg_read_coefficients(&info);
    picture.width_px = info.image_width;
    picture.height_px = info.image_height;
    picture.components.resize(static_cast<std::size_t>(info.num_components));
    for (int i = 0; i < info.num_components; ++i) {
      copy_component(info, i, arrays[i], picture.components[static_cast<std::size_t>(i)]);
    }
  });
  if (!good) return std::nullopt;
  return picture;
}

std::optional<std::vector<std::uint8_t>> decode_pixels(std::string_view bytes) {
  std::vector<std::uint8_t> pixels;
  const bool good = with_decompressor(bytes, [&](jpeg_decompress_struct& info) {
    info.do_block_smoothing = FALSE;
    jpeg_start_decompress(&info);
    const std::size_t row_bytes = std::size_t{info.output_width} * static_cast<std::size_t>(info.output_components);
    pixels.resize(row_bytes * info.output_height);
    while (info.output_scanline < info.output_height) {
      JSAMPROW row = pixels.data() + row_bytes * info.output_scanline;
      jpeg_read_scanlines(&info, &row, 1);
    }
  });
  if (!good) return std::nullopt;
  return pixels;
}

HuffmanCode standard_ac_code(bool chroma) {
  Trap trap;
  set_up(trap);
  jpeg_compress_struct info{};
  info.err = &trap.manager;
  jpeg_create_compress(&info);
  info.in_color_space = JCS_YCbCr;
  info.input_components = 3;
  jpeg_set_defaults(&info);
  const JHUFF_TBL& table = *info.ac_huff_tbl_ptrs[chroma ? 1 : 0];
  HuffmanCode code;
  std::copy(std::begin(table.bits), std::end(table.bits), code.count.begin());
  std::copy(std::begin(table.huffval), std::end(table.huffval), code.symbols.begin());
  code.count[0] = 0;
  jpeg_destroy_compress(&info);
  return code;
}

unsigned case_count(unsigned count) {
  return std::getenv("PIXMILL_TEST_LONG") != nullptr ? count : std::max(1U, count / 10);
}

}  // namespace pixmill::image::jpeg
