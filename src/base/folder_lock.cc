#include "base/folder_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "base/text.h"

namespace pixmill {

namespace {

// " (pid 123)" as the holder wrote it; empty when it had no time to, or wrote something else.
std::string holder_text(int descriptor) {
  char buffer[32];
  const ssize_t got = ::pread(descriptor, buffer, sizeof buffer, 0);
  if (got <= 0) return {};
  const auto pid = parse_integer(trim(std::string_view(buffer, static_cast<std::size_t>(got))));
  return pid ? fmt::format(" (pid {})", *pid) : std::string();
}

// Whatever stands in the way of the lock file is the folder's fault: one code, unless the disk is full.
std::unexpected<Error> unusable(int errno_value) {
  Error error = errno_error(errno_value, "the data folder cannot be locked");
  if (error.code == ErrorCode::kNotFound) error.code = ErrorCode::kIo;
  return std::unexpected(std::move(error));
}

}  // namespace

Result<FolderLock> FolderLock::take(const std::string& folder, const std::string& lock_name) {
  std::error_code made;
  std::filesystem::create_directories(folder, made);
  if (made) return unusable(made.value());
  const std::string path = folder + "/" + lock_name;
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) return unusable(errno);
  FolderLock lock(descriptor);
  while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return unusable(errno);
    return fail(
        ErrorCode::kConflict,
        fmt::format("another Pixmill process{} uses this folder; SQLite serves one process, PostgreSQL is the way "
                    "to several",
                    holder_text(descriptor)));
  }
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(descriptor, 0) != 0 || ::pwrite(descriptor, pid.data(), pid.size(), 0) < 0) return unusable(errno);
  return lock;
}

FolderLock::FolderLock(FolderLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

FolderLock& FolderLock::operator=(FolderLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

FolderLock::~FolderLock() {
  // The file stays: removing it would let a third process lock a new file while a second one waits on the old.
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace pixmill
