// From JPEG to JPEG of another size, or turned, through planes of luma and chroma instead of pixels: several times as
// fast, and no worse. One decode serves all outputs that can go this way. Blocking; any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "image/fit_bytes.h"
#include "image/format.h"
#include "image/output_plan.h"
#include "image/planar_plan.h"
#include "image/planes.h"
#include "image/steps.h"

namespace pixmill::image {

class ThroughPlanes {
 public:
  // `source` and `facts` outlive this.
  ThroughPlanes(std::string_view source, Format format, const Facts& facts)
      : source_(source), format_(format), facts_(facts) {}

  // Before encode(): how an output goes this way; nullopt when it does not.
  [[nodiscard]] std::optional<PlanarPlan> expect(const OutputPlan& plan);

  // Once for each output that expect() said a way for. nullopt when the picture, or this output of it, is to go through
  // pixels after all: planes that do not fit into memory are given back by then. Errors: kTruncated and kDecodeFailed
  // for damage, kInternal.
  [[nodiscard]] Result<std::optional<Encoded>> encode(const OutputPlan& plan, const PlanarPlan& planar);

 private:
  [[nodiscard]] Result<Encoded> make(const OutputPlan& plan, const PlanarPlan& planar);
  [[nodiscard]] Result<Planes> decode() const;
  [[nodiscard]] Result<Planes> scaled(const OutputPlan& plan, const PlanarPlan& planar);
  [[nodiscard]] Result<Encoded> encode_planes(Planes& planes, const OutputPlan& plan) const;

  std::string_view source_;
  Format format_;
  const Facts& facts_;
  Resolution luma_wanted_;  // by the output that wants most
  Resolution chroma_wanted_;
  std::size_t outputs_left_ = 0;
  bool given_up_ = false;
  std::optional<Planes> decoded_;
};

}  // namespace pixmill::image
