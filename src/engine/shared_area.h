// Memory that an engine and its parent share: an anonymous file of fixed size (memfd_create), mapped by both. Measured
// against a stream socket, it saves two copies of every picture and the wake-ups of a full socket buffer.
//
// The parent makes it and seals its size, so that neither side can be made to fault by shrinking it. The engine is
// given the input area read-only. Pages take memory once they are touched.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/error.h"
#include "engine/unique_fd.h"

namespace pixmill::engine {

class SharedArea {
 public:
  // In the parent. Errors: kInternal.
  [[nodiscard]] static Result<SharedArea> create(const char* name, std::size_t bytes);
  // In the engine: maps a descriptor that the parent passed; its size is asked from the kernel. Errors: kInternal.
  enum class Access : std::uint8_t { kRead, kReadWrite };
  [[nodiscard]] static Result<SharedArea> map(UniqueFd descriptor, Access access);

  SharedArea() = default;
  SharedArea(SharedArea&& other) noexcept;
  SharedArea& operator=(SharedArea&& other) noexcept;
  ~SharedArea();

  [[nodiscard]] std::span<char> bytes() const { return {data_, size_}; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] int descriptor() const { return descriptor_.get(); }

  // A second descriptor through which the area can be mapped for reading only. Needs /proc. Errors: kInternal.
  [[nodiscard]] Result<UniqueFd> open_read_only() const;

  // In the parent: gives the pages above `keep_bytes` back, however many of them were used.
  void trim(std::size_t keep_bytes) const;

 private:
  UniqueFd descriptor_;
  char* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace pixmill::engine
