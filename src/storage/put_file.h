// A file of this machine into a store, without reading it into memory first. Lives on the loop, which waits for the
// disk where the file is not cached.
#pragma once

#include <string>

#include "storage/blob_store.h"

namespace pixmill::storage {

// The file must not be written to meanwhile. Errors: those of BlobStore::put, and kNotFound, kIo of the file.
[[nodiscard]] Task<Result<void>> put_file(BlobStore& store, std::string key, std::string path, std::string media_type);

}  // namespace pixmill::storage
