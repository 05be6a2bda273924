// Opening files below a folder without ever following a symbolic link, so that nothing that lies in the folder can lead
// out of it. Internal to local_store. Blocking; any thread.
#pragma once

#include <string>
#include <utility>

namespace pixmill::storage {

// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Descriptor();
  [[nodiscard]] int get() const { return value_; }
  [[nodiscard]] bool is_open() const { return value_ >= 0; }
  // Gives the descriptor away, for those who look at close()'s own error.
  [[nodiscard]] int release() { return std::exchange(value_, -1); }

 private:
  int value_ = -1;
};

// `path` is relative, without "." and "..", or "" for `root` itself. O_CLOEXEC is added to `flags`.
// Returns -1 with errno; ELOOP or ENOTDIR where a link is in the way.
[[nodiscard]] int open_below(int root, const std::string& path, int flags);

// The same segment by segment: for kernels without openat2(2) and for containers that deny it.
[[nodiscard]] int open_below_step_by_step(int root, const std::string& path, int flags);

}  // namespace pixmill::storage
