#include "http/file_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

namespace pixmill::http {

// Shared with reads under way on the thread, which may outlive the one who asked.
struct FileReader::Descriptor {
  explicit Descriptor(int opened) : fd(opened) {}
  ~Descriptor() { ::close(fd); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  // nullopt where the bytes are not in memory, or the file system cannot say.
  [[nodiscard]] std::optional<std::string> read_cached(std::uint64_t offset, std::size_t bytes_max) const {
    std::string bytes(bytes_max, '\0');
    const iovec part{.iov_base = bytes.data(), .iov_len = bytes.size()};
    const ssize_t count = ::preadv2(fd, &part, 1, static_cast<off_t>(offset), RWF_NOWAIT);
    if (count < 0) return std::nullopt;
    bytes.resize(static_cast<std::size_t>(count));
    return bytes;
  }

  [[nodiscard]] Result<std::string> read_blocking(std::uint64_t offset, std::size_t bytes_max) const {
    std::string bytes(bytes_max, '\0');
    ssize_t count = 0;
    do {
      count = ::pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    } while (count < 0 && errno == EINTR);
    if (count < 0) return std::unexpected(errno_error(errno, "Reading a file failed"));
    bytes.resize(static_cast<std::size_t>(count));
    return bytes;
  }

  int fd;
};

Result<FileReader> FileReader::open(const std::string& path, BlockingThread& thread) {
  // O_NONBLOCK so that a FIFO left in the folder cannot hang the loop.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return std::unexpected(errno_error(errno, "The file cannot be opened"));
  FileReader reader(std::make_shared<Descriptor>(fd), thread);
  struct stat status {};
  if (::fstat(fd, &status) != 0) return std::unexpected(errno_error(errno, "The file cannot be read"));
  if (!S_ISREG(status.st_mode)) return fail(ErrorCode::kIo, "Not a regular file");
  reader.bytes_ = static_cast<std::uint64_t>(status.st_size);
  reader.modified_unix_seconds_ = status.st_mtim.tv_sec;
  return reader;
}

Task<Result<std::string>> FileReader::read(std::uint64_t offset, std::size_t bytes_max) {
  auto cached = descriptor_->read_cached(offset, bytes_max);
  // No bytes may also mean that none are in memory: the blocking read knows the file's end from a hole in the cache.
  if (cached && !cached->empty()) co_return std::move(*cached);
  auto read = [descriptor = descriptor_, offset, bytes_max] { return descriptor->read_blocking(offset, bytes_max); };
  co_return co_await thread_->run(std::move(read));
}

}  // namespace pixmill::http
