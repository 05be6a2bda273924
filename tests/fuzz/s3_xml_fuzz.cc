// Whatever calls itself an S3 server's answer: the readers return, and what they take has the shape they promise.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "storage/s3_fault.h"
#include "storage/s3_xml.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pixmill::storage;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto page = parse_list_page(text);
  if (page) {
    for (const auto& blob : page->blobs) {
      if (blob.key.empty()) std::abort();
    }
  }
  const auto error = parse_s3_error(text);
  if (error && page) std::abort();  // one text is one thing
  if (const auto id = parse_upload_id(text); id && id->empty()) std::abort();
  static_cast<void>(parse_result_etag(text));
  pixmill::http::ClientResponse response;
  response.status = 200;
  response.body = std::string(text);
  const S3Asked asked{.bucket = "b", .region = "r", .has_xml_answer = true};
  const auto failure = failure_of(response, asked);
  if (failure.has_value() != error.has_value()) std::abort();
  return 0;
}
