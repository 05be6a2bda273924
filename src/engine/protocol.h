// What an engine and its parent say to each other: one packet per message over a socket pair that keeps packets apart,
// while pictures travel in shared memory (engine/shared_area.h): in one area the source or a watermark, in the other
// the outputs, one after another. Watermarks come by requests of their own, so that it is known which file an engine
// failed on.
//
// A packet is "PXE1", its own length, its kind and its fields: little-endian numbers, texts with a 32-bit length before
// them. Each side treats the other's packets as hostile: every length is checked against its bound before anything is
// allocated. Pure; fuzzed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "image/render.h"

namespace pixmill::engine {

inline constexpr std::size_t kPacketBytesMax = 32 * 1024;
inline constexpr std::size_t kRenditionsMax = image::kOutputsMax;
inline constexpr std::size_t kMarksMax = image::kOutputsMax;
inline constexpr std::size_t kAttemptsMax = 128;

// ---- from the parent

// A watermark to decode and keep for the requests that follow.
struct MarkRequest {
  std::string sha256;  // 64 hexadecimal digits in lower case
  image::Limits limits;
  std::uint64_t bytes = 0;  // at the start of the input area
};

struct RenderRequest {
  std::string recipe;  // canonical text
  image::Limits limits;
  std::uint64_t source_bytes = 0;  // at the start of the input area
  // Digests of the watermarks that the recipe names as "upload:" and their digest; the engine should have them.
  std::vector<std::string> marks = {};
  image::Measure measure = image::Measure::kNo;
};

// Asks the engine to try what the sandbox must deny.
struct ProbeRequest {};

using Request = std::variant<RenderRequest, MarkRequest, ProbeRequest>;

// ---- from the engine

// Sent once, unasked, when the sandbox is closed.
struct ReadyAnswer {
  bool seccomp = false;
  std::uint32_t landlock_abi = 0;  // 0: the kernel has no Landlock
};

struct RenditionHead {
  image::Format format = image::Format::kJpeg;
  std::uint32_t width_px = 0;
  std::uint32_t height_px = 0;
  std::uint8_t quality = 0;
  bool source_kept = false;
  bool first_frame = false;
  bool fitted = false;
  std::uint64_t bytes = 0;
  image::Scored scored = image::Scored::kNotAsked;
  double score = 0;  // kYes: finite
};

struct RenderedAnswer {
  image::Header source;
  std::vector<RenditionHead> renditions;  // in the order of the recipe's outputs
  std::optional<image::StageTimes> times = {};
};

// To a MarkRequest.
struct MarkKeptAnswer {};

// The engine does not have all watermarks of a RenderRequest: send them again.
struct MarksWantedAnswer {};

struct FailedAnswer {
  Error error;
};

// One thing that was tried, and what came of it.
struct Attempt {
  std::string thread;            // "main", "second" or "libvips"
  std::string name;              // "open", "socket" …
  std::int32_t errno_value = 0;  // 0: it was allowed
};

struct ProbedAnswer {
  std::vector<Attempt> attempts;
  std::vector<std::string> unexpected_loaders;  // loaders of libvips that should be blocked and are not
};

using Answer = std::variant<ReadyAnswer, RenderedAnswer, FailedAnswer, ProbedAnswer, MarksWantedAnswer, MarkKeptAnswer>;

[[nodiscard]] std::string encode(const Request& request);
[[nodiscard]] std::string encode(const Answer& answer);

// `input_bytes_max` is the size of the input area: the source or the watermark fits. Errors: kInvalidArgument.
[[nodiscard]] Result<Request> decode_request(std::string_view packet, std::uint64_t input_bytes_max);
// `output_bytes_max` is the size of the output area: all renditions together fit. Errors: kInvalidArgument.
[[nodiscard]] Result<Answer> decode_answer(std::string_view packet, std::uint64_t output_bytes_max);

}  // namespace pixmill::engine
