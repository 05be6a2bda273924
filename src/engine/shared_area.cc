#include "engine/shared_area.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace pixmill::engine {

namespace {

std::unexpected<Error> failed(std::string_view what) {
  return fail(ErrorCode::kInternal, fmt::format("{}: {}", what, std::strerror(errno)));
}

}  // namespace

Result<SharedArea> SharedArea::create(const char* name, std::size_t bytes) {
  SharedArea area;
  area.descriptor_ = UniqueFd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!area.descriptor_) return failed("memfd_create");
  if (ftruncate(area.descriptor(), static_cast<off_t>(bytes)) != 0) return failed("ftruncate of shared memory");
  if (fcntl(area.descriptor(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return failed("F_ADD_SEALS");
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, area.descriptor(), 0);
  if (mapped == MAP_FAILED) return failed("mmap of shared memory");
  area.data_ = static_cast<char*>(mapped);
  area.size_ = bytes;
  return area;
}

Result<SharedArea> SharedArea::map(UniqueFd descriptor, Access access) {
  struct stat status {};
  if (fstat(descriptor.get(), &status) != 0) return failed("fstat of shared memory");
  SharedArea area;
  area.descriptor_ = std::move(descriptor);
  const auto size = static_cast<std::size_t>(status.st_size);
  const int protection = access == Access::kRead ? PROT_READ : PROT_READ | PROT_WRITE;
  void* mapped = mmap(nullptr, size, protection, MAP_SHARED, area.descriptor(), 0);
  if (mapped == MAP_FAILED) return failed("mmap of shared memory");
  area.data_ = static_cast<char*>(mapped);
  area.size_ = size;
  return area;
}

SharedArea::SharedArea(SharedArea&& other) noexcept
    : descriptor_(std::move(other.descriptor_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

SharedArea& SharedArea::operator=(SharedArea&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

SharedArea::~SharedArea() {
  if (data_ != nullptr) munmap(data_, size_);
}

Result<UniqueFd> SharedArea::open_read_only() const {
  const std::string path = fmt::format("/proc/self/fd/{}", descriptor());
  UniqueFd read_only(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!read_only) return failed("opening shared memory read-only");
  return read_only;
}

void SharedArea::trim(std::size_t keep_bytes) const {
  if (size_ <= keep_bytes) return;
  const auto from = static_cast<off_t>(keep_bytes);
  fallocate(descriptor(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, static_cast<off_t>(size_) - from);
}

}  // namespace pixmill::engine
