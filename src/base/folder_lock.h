// One process per data folder: flock(2) on <folder>/lock. The kernel lets go when the process dies, however it dies.
#pragma once

#include <string>

#include "base/error.h"

namespace pixmill {

class FolderLock {
 public:
  // Creates the folder when it is missing. Errors: kConflict when another process holds it (the message has its pid and
  // says that PostgreSQL is the way to several), kIo when the folder cannot be created or written.
  [[nodiscard]] static Result<FolderLock> take(const std::string& folder, const std::string& lock_name = "lock");
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&& other) noexcept;
  ~FolderLock();

 private:
  explicit FolderLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

}  // namespace pixmill
