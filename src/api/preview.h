// POST /v1/preview: one picture in, what a recipe makes of it out, at once and with nothing stored. The picture is the
// body itself or the part `file` of a form; `recipe`, and `output` for a recipe of several, stand in the query or in
// the form. A watermark that the recipe calls `upload` is the form's part `watermark`. Lives on the loop.
//
// The answer's body is the picture. Pixmill-Source and Pixmill-Output say what went in and came out ("format=jpeg
// width=1600 height=1200 bytes=412345 quality=80"), Pixmill-Score its SSIMULACRA2 ("71.52", or "none;
// reason=animated"), Pixmill-Note what was kept or reduced, Server-Timing the stages.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "api/context.h"
#include "engine/pool.h"
#include "http/router.h"
#include "image/recipe.h"

namespace pixmill::api {

// Pictures are held in memory here, so this bounds it: as many as this at once, each at most so large.
inline constexpr std::uint32_t kPreviewsMax = 2;
inline constexpr std::size_t kPreviewBytesMax = 50u << 20;

class Preview {
 public:
  explicit Preview(Context& context) : context_(context) {}
  void add_routes(http::Router& router);

 private:
  [[nodiscard]] Task<Checked<http::Response>> create(http::Request& request);
  [[nodiscard]] Task<Checked<engine::MarkFiles>> marks_for(const image::Recipe& recipe,
                                                           std::optional<std::string> uploaded);

  Context& context_;
  std::uint32_t under_way_ = 0;
};

}  // namespace pixmill::api
