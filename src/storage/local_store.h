// Results on this machine's disk: a temporary file in the same folder, then rename(2). Blocking calls run on threads of
// its own. Temporary files are called .pixmill-<random>.tmp and are removed at creation when a kill left some behind.
#pragma once

#include <memory>
#include <string>

#include "storage/blob_store.h"

namespace pixmill::storage {

enum class Durability : std::uint8_t {
  kProcess,  // survives kill -9, not a power cut
  kPower,    // fsync of file and folder before put() returns
};

// Creates `root` when it is missing. Errors: kIo when it cannot be written, kDiskFull.
[[nodiscard]] Result<std::unique_ptr<BlobStore>> open_local_store(std::string root, Durability durability);

// A folder that was written before, in order to read from it: nothing is created, cleared away or tried out. Errors:
// kIo when it cannot be opened.
[[nodiscard]] Result<std::unique_ptr<BlobStore>> open_local_store_to_read(const std::string& root);

// Bytes free for an unprivileged user on the file system of `path`. Errors: kIo.
[[nodiscard]] Result<std::uint64_t> free_bytes(const std::string& path);

}  // namespace pixmill::storage
