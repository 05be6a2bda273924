#include "storage/put_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "storage/open_below.h"

namespace pixmill::storage {

namespace {

// A file's bytes as the kernel pages them in.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::string& path) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat info {};
    if (!file.is_open() || ::fstat(file.get(), &info) != 0) return failed();
    MappedFile mapped;
    mapped.bytes_ = static_cast<std::size_t>(info.st_size);
    if (mapped.bytes_ == 0) return mapped;
    mapped.data_ = ::mmap(nullptr, mapped.bytes_, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (mapped.data_ == MAP_FAILED) return failed();
    return mapped;
  }
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, MAP_FAILED)), bytes_(std::exchange(other.bytes_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MappedFile() {
    if (data_ != MAP_FAILED) ::munmap(data_, bytes_);
  }

  [[nodiscard]] std::string_view view() const {
    return bytes_ == 0 ? std::string_view() : std::string_view(static_cast<const char*>(data_), bytes_);
  }

 private:
  static std::unexpected<Error> failed() { return std::unexpected(errno_error(errno, "Reading a file to store it")); }

  void* data_ = MAP_FAILED;
  std::size_t bytes_ = 0;
};

}  // namespace

Task<Result<void>> put_file(BlobStore& store, std::string key, std::string path, std::string media_type) {
  PIXMILL_CO_TRY(const MappedFile file, MappedFile::open(path));
  co_return co_await store.put(std::move(key), file.view(), std::move(media_type));
}

}  // namespace pixmill::storage
