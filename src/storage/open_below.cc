#include "storage/open_below.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "base/text.h"

namespace pixmill::storage {

Descriptor::~Descriptor() {
  if (value_ >= 0) ::close(value_);
}

int open_below(int root, const std::string& path, int flags) {
  if (path.empty()) return ::fcntl(root, F_DUPFD_CLOEXEC, 0);
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  const auto opened = static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how));
  if (opened >= 0 || (errno != ENOSYS && errno != EPERM)) return opened;
  return open_below_step_by_step(root, path, flags);
}

int open_below_step_by_step(int root, const std::string& path, int flags) {
  Descriptor at(::fcntl(root, F_DUPFD_CLOEXEC, 0));
  const auto segments = split(path, '/');
  for (std::size_t i = 0; i < segments.size() && at.is_open(); ++i) {
    const bool last = i + 1 == segments.size();
    const int step_flags = last ? flags : O_PATH | O_DIRECTORY;
    at = Descriptor(::openat(at.get(), std::string(segments[i]).c_str(), step_flags | O_NOFOLLOW | O_CLOEXEC));
    // A link met with O_DIRECTORY is reported as ENOTDIR, like a file would be.
  }
  return at.release();
}

}  // namespace pixmill::storage
