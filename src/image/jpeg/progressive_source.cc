#include "image/jpeg/progressive_source.h"

#include <algorithm>
#include <bit>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <type_traits>

// libjpeg's headers want <cstdio> before them.
#include <jerror.h>
#include <jpeglib.h>

#include "image/jpeg/read_source.h"

namespace pixmill::image::jpeg {

namespace {

// A small file can hold thousands of scans, each as costly as a whole decode; real encoders write about ten.
constexpr int kScansMax = 100;

// What libjpeg said; behind its error manager, which it hands back.
struct Trap {
  jpeg_error_mgr manager;
  std::jmp_buf jump;
  int fatal_code = 0;
  bool data_ended = false;
  bool data_corrupt = false;
};

Trap& trap_of(j_common_ptr info) { return *reinterpret_cast<Trap*>(info->err); }

[[noreturn]] void on_fatal(j_common_ptr info) {
  trap_of(info).fatal_code = info->err->msg_code;
  std::longjmp(trap_of(info).jump, 1);
}

// Warnings have level -1. Those not listed (extraneous bytes, odd versions) do not touch the picture.
void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
      trap_of(info).data_ended = true;
      break;
    case JWRN_HUFF_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_BOGUS_PROGRESSION:
      trap_of(info).data_corrupt = true;
      break;
    default:
      break;
  }
}

void ignore_output(j_common_ptr) {}

void stop_many_scans(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kScansMax) return;
  trap_of(info).data_corrupt = true;
  std::longjmp(trap_of(info).jump, 1);
}

// Runs `function`; false when libjpeg gave up inside it. It does so by a longjmp, which must not skip a destructor: the
// function may hold nothing but references.
template <class Function>
[[nodiscard]] bool guarded(Trap& trap, const Function& function) {
  static_assert(std::is_trivially_destructible_v<Function>);
  if (setjmp(trap.jump) != 0) return false;
  function();
  return true;
}

Error error_of(const Trap& trap, std::string_view bytes) {
  if (trap.fatal_code == JERR_OUT_OF_MEMORY) {
    return {
        .code = ErrorCode::kTooLarge, .message = "the picture needs more memory than an engine may use", .detail = {}};
  }
  Error error = data_ended(bytes);
  error.detail = "libjpeg message " + std::to_string(trap.fatal_code);
  return error;
}

bool same_frame(const jpeg_decompress_struct& info, const Frame& frame) {
  if (info.image_width != frame.width_px || info.image_height != frame.height_px) return false;
  if (static_cast<std::uint32_t>(info.num_components) != frame.component_count) return false;
  if (frame.component_count == 1) return true;  // its sampling factors mean nothing
  return std::all_of(frame.components().begin(), frame.components().end(), [&](const Component& component) {
    const jpeg_component_info& other = info.comp_info[&component - frame.components().data()];
    return static_cast<std::uint32_t>(other.h_samp_factor) == component.h &&
           static_cast<std::uint32_t>(other.v_samp_factor) == component.v;
  });
}

// From 8 × vertical + horizontal frequency to the zigzag position.
constexpr auto kZigzag = [] {
  std::array<std::uint8_t, kBlockSize> zigzag{};
  for (unsigned position = 0; position < kBlockSize; ++position) {
    zigzag[kRowMajor[position]] = static_cast<std::uint8_t>(position);
  }
  return zigzag;
}();

// The zigzag positions of a block's AC coefficients other than 0, as bits. Most are 0, so four are looked at at once.
std::uint64_t used_positions(const JCOEF* block) {
  constexpr unsigned kAtOnce = 4;
  std::uint64_t used = 0;
  for (unsigned i = 0; i < kBlockSize; i += kAtOnce) {
    std::uint64_t together = 0;
    static_assert(sizeof(together) == kAtOnce * sizeof(JCOEF));
    std::memcpy(&together, block + i, sizeof(together));
    if (together == 0) continue;
    for (unsigned k = i; k < i + kAtOnce; ++k) used |= std::uint64_t{block[k] != 0} << kZigzag[k];
  }
  return used & ~std::uint64_t{1};
}

// One block's coefficients that do not become 0. nullopt when one is out of range.
std::optional<std::span<Candidate>> candidates_of(JCOEFPTR block, const Requantiser& requantiser,
                                                  std::span<Candidate, kCandidatesMax> room) {
  std::size_t count = 0;
  for (std::uint64_t used = used_positions(block); used != 0; used &= used - 1) {
    const auto position = static_cast<unsigned>(std::countr_zero(used));
    const int value = block[kRowMajor[position]];
    if (value < -kAcMax || value > kAcMax) return std::nullopt;
    const std::uint32_t scaled = requantiser.candidate(position, static_cast<std::uint32_t>(std::abs(value)));
    if (scaled < requantiser.least_candidate) continue;
    room[count++] = scaled << kCandidateShift | (value < 0 ? kCandidateNegative : 0U) | position;
  }
  return room.first(count);
}

// One row of blocks into the store. False when a value is out of range.
bool store_row(JBLOCKROW row, std::size_t first_block, Channel channel, const Requantiser& requantiser,
               const BlockCoder& coder, BlockPlane& plane, Tokens& tokens) {
  Token* out = tokens.tail(plane.stride * kBlockTokensMax);
  const Token* const begin = out - tokens.size();
  std::array<Candidate, kCandidatesMax> room;
  for (std::uint32_t x = 0; x < plane.stride; ++x) {
    const int mean = row[x][0];
    if (mean < kDcMin || mean > kDcMax) return false;
    const auto magnitude = static_cast<int>(requantiser.nearest(0, static_cast<std::uint32_t>(std::abs(mean))));
    plane.means[first_block + x] = static_cast<std::int16_t>(mean < 0 ? -magnitude : magnitude);
    plane.coefficients[first_block + x] = static_cast<std::uint32_t>(out - begin);
    const auto candidates = candidates_of(row[x], requantiser, room);
    if (!candidates) return false;
    out = coder.write(*candidates, channel, out);
  }
  tokens.commit(out);
  return true;
}

}  // namespace

// Created inside guarded(), destroyed here.
struct ProgressiveSource::Decompressor {
  Decompressor() = default;
  ~Decompressor() { jpeg_destroy_decompress(&info); }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  Trap trap{};
  jpeg_decompress_struct info{};
  jpeg_progress_mgr progress{};
  jvirt_barray_ptr* arrays = nullptr;
};

ProgressiveSource::ProgressiveSource(std::unique_ptr<Decompressor> decompressor)
    : decompressor_(std::move(decompressor)) {}
ProgressiveSource::ProgressiveSource(ProgressiveSource&&) noexcept = default;
ProgressiveSource& ProgressiveSource::operator=(ProgressiveSource&&) noexcept = default;
ProgressiveSource::~ProgressiveSource() = default;

Result<ProgressiveSource> ProgressiveSource::read(std::string_view bytes, const Frame& frame) {
  ProgressiveSource source(std::make_unique<Decompressor>());
  Trap& trap = source.decompressor_->trap;
  jpeg_decompress_struct& info = source.decompressor_->info;
  jpeg_progress_mgr& progress = source.decompressor_->progress;
  jvirt_barray_ptr*& arrays = source.decompressor_->arrays;
  jpeg_std_error(&trap.manager);
  trap.manager.error_exit = on_fatal;
  trap.manager.emit_message = on_message;
  trap.manager.output_message = ignore_output;
  info.err = &trap.manager;
  progress.progress_monitor = stop_many_scans;
  const bool opened = guarded(trap, [&] {
    jpeg_create_decompress(&info);
    info.progress = &progress;
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_read_header(&info, TRUE);
  });
  if (!opened) return std::unexpected(error_of(trap, bytes));
  if (!same_frame(info, frame)) return std::unexpected(odd_source("two frames"));
  const bool all_read = guarded(trap, [&] { arrays = jpeg_read_coefficients(&info); });
  if (!all_read || trap.data_ended || trap.data_corrupt) return std::unexpected(error_of(trap, bytes));
  for (unsigned i = 0; i < frame.component_count; ++i) {
    const JQUANT_TBL* table = info.comp_info[i].quant_table;
    if (table == nullptr) return std::unexpected(odd_source("a component without a scan"));
    for (unsigned k = 0; k < kBlockSize; ++k) source.quant_tables_[i][k] = table->quantval[kRowMajor[k]];
    if (std::count(source.quant_tables_[i].begin(), source.quant_tables_[i].end(), 0) > 0) {
      return std::unexpected(odd_source("a quantisation step is 0"));
    }
  }
  return source;
}

Result<void> ProgressiveSource::requantise(const Frame& frame, std::span<const Requantiser> requantisers,
                                           const BlockCoder& coder, BlockStore& store) {
  Trap& trap = decompressor_->trap;
  jpeg_decompress_struct& info = decompressor_->info;
  for (unsigned i = 0; i < frame.component_count; ++i) {
    BlockPlane& plane = store.planes[i];
    const Channel channel = i == 0 ? Channel::kLuma : Channel::kChroma;
    for (std::uint32_t y = 0; y < frame.component_array[i].padded_high; ++y) {
      JBLOCKARRAY rows = nullptr;
      const bool accessed = guarded(trap, [&] {
        auto* const common = reinterpret_cast<j_common_ptr>(&info);
        rows = info.mem->access_virt_barray(common, decompressor_->arrays[i], y, 1, FALSE);
      });
      if (!accessed) return fail(ErrorCode::kInternal, "the jpeg file's coefficients could not be read");
      const std::size_t first_block = std::size_t{y} * plane.stride;
      if (!store_row(rows[0], first_block, channel, requantisers[i], coder, plane, store.tokens)) {
        return std::unexpected(odd_source("values out of range"));
      }
    }
  }
  return {};
}

}  // namespace pixmill::image::jpeg
