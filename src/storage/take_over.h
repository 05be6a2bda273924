// A blob that another store, or the same one, has kept under another key becomes one of this store's own, once it has
// been found to be what it should be. Lives on the loop.
#pragma once

#include <string>

#include "storage/blob_store.h"

namespace pixmill::storage {

struct BlobPlace {
  BlobStore& store;
  std::string key;
};

// Afterwards `to` lives on whatever becomes of `from`. Where both are one place the blob is only looked at. Errors:
// kNotFound when nothing is there, or something else than `content`; those of BlobStore::get of the one and
// BlobStore::put of the other.
[[nodiscard]] Task<Result<void>> take_over(BlobPlace from, BlobPlace to, BlobContent content);

// kNotFound: something else is there.
[[nodiscard]] std::unexpected<Error> is_another_blob();

}  // namespace pixmill::storage
