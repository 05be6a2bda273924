// A file of this machine, read in pieces without holding up the loop: what the page cache has is read at once (preadv2
// with RWF_NOWAIT), the rest on a thread. Lives on the loop.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/blocking_thread.h"
#include "base/error.h"
#include "base/task.h"

namespace pixmill::http {

class FileReader {
 public:
  // Errors: kNotFound, kIo (also for anything but a regular file). `thread` must outlive the reader.
  [[nodiscard]] static Result<FileReader> open(const std::string& path, BlockingThread& thread);

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::int64_t modified_unix_seconds() const { return modified_unix_seconds_; }

  // At most `bytes_max` bytes from `offset`; empty at the file's end. Errors: kIo.
  [[nodiscard]] Task<Result<std::string>> read(std::uint64_t offset, std::size_t bytes_max);

 private:
  struct Descriptor;
  FileReader(std::shared_ptr<Descriptor> descriptor, BlockingThread& thread)
      : descriptor_(std::move(descriptor)), thread_(&thread) {}

  std::shared_ptr<Descriptor> descriptor_;
  BlockingThread* thread_;
  std::uint64_t bytes_ = 0;
  std::int64_t modified_unix_seconds_ = 0;
};

}  // namespace pixmill::http
