// A libvips image held by one owner. libvips evaluates lazily: a Picture is a recipe for pixels until somebody reads
// them, and it may still refer to the bytes it was opened from. Not thread-safe.
#pragma once

#include <utility>

struct _VipsImage;  // NOLINT(bugprone-reserved-identifier): libvips' own name; its headers stay in .cc files

namespace pixmill::image {

class Picture {
 public:
  Picture() = default;
  explicit Picture(_VipsImage* owned) : image_(owned) {}
  Picture(Picture&& other) noexcept : image_(std::exchange(other.image_, nullptr)) {}
  Picture& operator=(Picture&& other) noexcept {
    std::swap(image_, other.image_);
    return *this;
  }
  ~Picture();

  [[nodiscard]] _VipsImage* get() const { return image_; }
  // For libvips' output parameters; the Picture must be empty.
  [[nodiscard]] _VipsImage** out() { return &image_; }

 private:
  _VipsImage* image_ = nullptr;
};

}  // namespace pixmill::image
