// Whole small files, read and written at once. Blocking.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace pixmill::app {

// Errors: kNotFound, kTooLarge above `bytes_max`, kIo.
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t bytes_max);

// Writes beside `path`, syncs, then renames over it: whole or not at all. Errors: kDiskFull, kIo.
[[nodiscard]] Result<void> write_file(const std::string& path, std::string_view bytes, mode_t mode);

// The same for content that comes in pieces. Destroyed without commit() it leaves nothing behind.
class FileWriter {
 public:
  // Errors: kIo, kDiskFull.
  [[nodiscard]] static Result<FileWriter> create(const std::string& path, mode_t mode);
  FileWriter(FileWriter&& other) noexcept;
  FileWriter& operator=(FileWriter&&) = delete;
  ~FileWriter();

  [[nodiscard]] Result<void> write(std::string_view bytes);
  [[nodiscard]] Result<void> commit();

 private:
  FileWriter(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  [[nodiscard]] std::string temporary() const { return path_ + ".tmp"; }

  std::string path_;
  int descriptor_;
};

}  // namespace pixmill::app
