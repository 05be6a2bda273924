// What the resources share, and small things they all do. Lives on the loop, as long as the Api.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/api.h"
#include "api/errors.h"
#include "api/ingest_queue.h"
#include "api/patient_question.h"
#include "api/table_depot.h"
#include "api/upload.h"
#include "jobs/recipe_book.h"

namespace pixmill::api {

struct Context {
  Executor executor;
  ApiParts parts;
  ApiOptions options;
  BlockingThread& files;  // for calls of the file system that may block
  UploadReceiver& uploads;
  IngestQueue& ingests;
  TableDepot* depot = nullptr;  // null: tables stay in the spool
  PatientQuestion<void>& store_ping;

  // A job was deleted.
  void remove_soon() const {
    if (parts.remove_soon) parts.remove_soon();
  }
  // An event may be due.
  void wake_deliverer() const {
    if (parts.wake_deliverer) parts.wake_deliverer();
  }
  // Whoever listens to the job looks again.
  void job_moved(const JobId& job) const {
    if (parts.progress != nullptr) parts.progress->tell(job);
  }
};

// What may be named where a recipe is asked for, as of now. Problem: the store's.
[[nodiscard]] Task<Checked<std::shared_ptr<const jobs::RecipeBook>>> recipe_book(Context& context);

// The {id} of a path. Problem: 404, because whatever is no id names no job.
[[nodiscard]] Checked<JobId> job_id_of(const http::Request& request);

// A whole number in [min, max] from the query. Problem: 400.
[[nodiscard]] Checked<std::uint64_t> number_parameter(const http::Request& request, const std::string& name,
                                                      std::uint64_t fallback, std::uint64_t min, std::uint64_t max);
// "1", "true", "yes", "on" and their opposites; an empty text is false. Problem: 400.
[[nodiscard]] Checked<bool> parse_flag(const std::string& name, std::string_view text);

// A name for Content-Disposition: quoted ASCII, and RFC 8187 beside it where that loses something.
[[nodiscard]] std::string attachment_disposition(std::string_view file_name);

// A page of our own: its style is allowed by its hash, everything else is forbidden. `body` is markup; `more_style` is
// what this page has beside the style of all of them.
[[nodiscard]] http::Response page_response(int status, std::string_view title, std::string_view body,
                                           std::string_view more_style = {});

}  // namespace pixmill::api
