// The one serialisation of a job: API, webhook, CLI --json. JSON text; key order is stable. Pure.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "jobs/model.h"
#include "jobs/outbox.h"

namespace pixmill::jobs {

// Where people find things: "http://127.0.0.1:8000" without a trailing slash; "" makes relative links.
struct Links {
  std::string base_url;
  std::string files_base;  // public address of blobs: "<base_url>/files", a bucket's address, or a folder for `run`
  // Where addresses are made otherwise than by putting the key behind `files_base`. Thread-safe.
  std::function<std::string(const std::string& key)> address_of = nullptr;
  // Percent-encoded in an address; as it is in a folder.
  [[nodiscard]] std::string file(const std::string& key) const;
};

[[nodiscard]] std::string job_document(const Job& job, const Links& links);
[[nodiscard]] std::string item_document(const Item& item, const Links& links);
[[nodiscard]] std::string delivery_document(const Delivery& delivery);
// [{"code", "count", "example"}, …]: the first 50 of them.
[[nodiscard]] std::string failures_document(const std::vector<FailureGroup>& groups);
// {"jobs":[…],"total":…,"next":…} and {"items":[…],"total":…,"next":…}
[[nodiscard]] std::string job_list_document(const std::vector<Job>& jobs, std::uint64_t total,
                                            const std::optional<std::string>& next, const Links& links);
[[nodiscard]] std::string item_list_document(const std::vector<Item>& items, std::uint64_t total,
                                             const std::optional<std::uint64_t>& next, const Links& links);

// The webhook's body: {type, timestamp, request_id, status, job}, and `data` (legacy_table) for legacy uploads.
[[nodiscard]] std::string event_body(const std::string& type, const Job& job, const std::vector<Row>& first_rows,
                                     TimePoint at, const Links& links);
// What the original platform's page of a completed job shows: a table of S.No., Product Name, Input Image URLs, Output
// Image URLs, as a fragment of HTML; everything escaped. It ends early at 2 MB; a link to all rows follows when the job
// has more.
[[nodiscard]] std::string legacy_table(const Job& job, const std::vector<Row>& rows, const Links& links);

}  // namespace pixmill::jobs
