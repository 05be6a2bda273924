// Results in a bucket of any S3-compatible server. What put() and copy() call stored has been confirmed: the server has
// checked the bytes against the SHA-256 that it was sent, and has answered with the object's ETag.
//
// Blobs above 16 MB go up in parts; what a killed process leaves of them is for the bucket's lifecycle rule
// (AbortIncompleteMultipartUpload, docs/OPERATIONS.md). Lives on the loop.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "storage/blob_store.h"
#include "storage/s3_client.h"

namespace pixmill::storage {

struct S3StoreOptions {
  std::string key_prefix = {};     // of every object: "" or text that ends with '/'
  std::string cache_control = {};  // "": the header is left out
  S3Patience patience = {};
  std::uint64_t multipart_above_bytes = 16u << 20;
  std::uint64_t part_bytes = 8u << 20;  // S3 wants at least 5 MiB, and at most 10,000 of them
  // Ask the server to keep the SHA-256 with the object. Left out for good once it has said that it does not know how.
  bool checksums = true;
  std::chrono::seconds link_valid_for = std::chrono::minutes(5);  // of link()
};

// Beyond the seam's errors: kUnavailable while the server is away, overloaded, or refuses the credentials, the bucket
// or the region; the message says what to do. `bucket` may be shared.
[[nodiscard]] std::unique_ptr<BlobStore> make_s3_store(S3Parts parts, std::shared_ptr<S3Bucket> bucket,
                                                       S3StoreOptions options);

// Whether the bucket can be used: puts, reads and removes a small object below `key_prefix`. Errors: kInvalidArgument
// where an operator has to act, the message says what to do; kUnavailable where waiting may help, found out within
// `patience`.
[[nodiscard]] Task<Result<void>> check_bucket(S3Parts parts, std::shared_ptr<S3Bucket> bucket, std::string key_prefix,
                                              S3Patience patience);

}  // namespace pixmill::storage
