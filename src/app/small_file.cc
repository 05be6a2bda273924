#include "app/small_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace pixmill::app {

namespace {

// Closes on the way out; the error paths below stay short.
class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return descriptor_; }

 private:
  int descriptor_;
};

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return std::unexpected(errno_error(errno, "cannot read " + path));
  std::string bytes;
  char buffer[65'536];
  for (;;) {
    const ssize_t count = ::read(file.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::unexpected(errno_error(errno, "cannot read " + path));
    if (count == 0) return bytes;
    bytes.append(buffer, static_cast<std::size_t>(count));
    if (bytes.size() > bytes_max) return fail(ErrorCode::kTooLarge, path + " is too large");
  }
}

Result<FileWriter> FileWriter::create(const std::string& path, mode_t mode) {
  const std::string temporary = path + ".tmp";
  const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
  if (descriptor < 0) return std::unexpected(errno_error(errno, "cannot create " + temporary));
  return FileWriter(path, descriptor);
}

FileWriter::FileWriter(FileWriter&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

FileWriter::~FileWriter() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary().c_str());
}

Result<void> FileWriter::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return std::unexpected(errno_error(errno, "cannot write " + path_));
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> FileWriter::commit() {
  if (::fsync(descriptor_) != 0) return std::unexpected(errno_error(errno, "cannot sync " + path_));
  if (std::rename(temporary().c_str(), path_.c_str()) != 0) {
    return std::unexpected(errno_error(errno, "cannot rename to " + path_));
  }
  ::close(std::exchange(descriptor_, -1));
  return {};
}

Result<void> write_file(const std::string& path, std::string_view bytes, mode_t mode) {
  PIXMILL_TRY(auto writer, FileWriter::create(path, mode));
  PIXMILL_RETURN_IF_ERROR(writer.write(bytes));
  return writer.commit();
}

}  // namespace pixmill::app
