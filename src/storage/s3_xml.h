// What S3 says in XML, read with expat: errors, listings, uploads. The text comes from the network: document types are
// refused, so there are no entities to blow up, and depth and size are bounded. Pure; any thread; fuzzed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "storage/blob_store.h"

namespace pixmill::storage {

struct S3ErrorText {
  std::string code;     // "NoSuchKey", "SlowDown" …
  std::string message;  // as the server words it; for the log
  std::string region;   // where the bucket lies, when the server says so
};

// nullopt when the text is no <Error>; also what answers of status 200 may hold.
[[nodiscard]] std::optional<S3ErrorText> parse_s3_error(std::string_view text);

struct S3ListPage {
  std::vector<BlobInfo> blobs;     // keys as they are in the bucket
  std::string continuation_token;  // "" when this was the last page
};

// Of ListObjectsV2 asked with encoding-type=url. Errors: kProtocol when it is not that.
[[nodiscard]] Result<S3ListPage> parse_list_page(std::string_view text);
// Errors: kProtocol.
[[nodiscard]] Result<std::string> parse_upload_id(std::string_view text);
// Of CopyObjectResult and CompleteMultipartUploadResult, without its quotes. Errors: kProtocol.
[[nodiscard]] Result<std::string> parse_result_etag(std::string_view text);

struct UploadedPart {
  int number = 0;  // from 1
  std::string etag;
};
// The body that completes an upload.
[[nodiscard]] std::string complete_upload_xml(const std::vector<UploadedPart>& parts);

}  // namespace pixmill::storage
