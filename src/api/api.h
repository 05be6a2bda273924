// The product's HTTP interface: /imgproc/ (the original platform's), /v1, /files, health and metrics, and one page at
// /. Composes the resources of this folder into one handler for http::Server. Lives on the loop.
//
// Around every request: allowed hosts, CORS, refusal of cross-site writes, security headers, one log line, and the
// metrics pixmill_http_requests_total{route,method,status} and pixmill_http_request_seconds{route}.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/task.h"
#include "base/time.h"
#include "engine/pool.h"
#include "fetch/address_policy.h"
#include "fetch/host_limits.h"
#include "http/server.h"
#include "jobs/ingest.h"
#include "jobs/job_document.h"
#include "jobs/job_store.h"
#include "jobs/outbox.h"
#include "jobs/progress_news.h"
#include "jobs/queue.h"
#include "jobs/recipe_store.h"
#include "jobs/upkeep.h"
#include "pipeline/watermarks.h"
#include "storage/blob_store.h"

namespace pixmill::api {

// A service beside the database that this process uses.
struct ServiceState {
  std::string name;
  bool ok = false;
  std::string detail;   // for people; no secrets
  bool needed = false;  // false: the process works without it, so it is ready all the same
};

// All must outlive the Api and the loop's last turn.
struct ApiParts {
  jobs::JobStore& store;
  jobs::Outbox& outbox;
  jobs::RecipeStore& recipes;
  jobs::Queue& queue;
  jobs::Ingest& ingest;
  storage::BlobStore& blobs;
  pipeline::Watermarks& watermarks;
  const fetch::AddressPolicy& policy;  // webhook addresses are checked against it before a job is accepted
  const Clock& clock;
  Metrics& metrics;
  const fetch::HostLimits* hosts = nullptr;  // null in a process that fetches nothing: /v1/system shows none
  engine::Pool* engines = nullptr;           // null in a process that decodes nothing: /readyz leaves it out
  jobs::ProgressNews* progress = nullptr;    // null: whoever listens to a job hears of it once a second
  // An event may have been committed, or a delivery made due: webhook::Deliverer::wake. Empty: nobody listens.
  std::function<void()> wake_deliverer;
  // Asked for /readyz. Empty: there are none.
  std::function<std::vector<ServiceState>()> services = nullptr;
  jobs::Upkeep* upkeep = nullptr;  // null: jobs are not audited
  // A job was deleted: worker::Remover::soon. Empty: nobody listens.
  std::function<void()> remove_soon = nullptr;
  // Where uploaded tables lie until they are read in, so that every server finds them. Null: in the spool.
  storage::BlobStore* tables = nullptr;
};

struct ApiOptions {
  jobs::Links links;  // as job documents show them
  std::string
      spool_folder;  // uploads wait here until they are ingested; created when missing, on the disk of the data folder
  std::string data_folder;  // whose free space /readyz reports
  std::string version;      // shown at / and by /readyz
  std::string id_secret;    // what job ids are made with from Idempotency-Keys; the same on every server of a fleet

  std::string default_recipe = "compress";  // DEFAULT_RECIPE: a recipe, or a name that is looked up for every upload
  // Of jobs that do not say: storage/object_name. The original platform names its outputs <Product Name>_<uuid>.jpg.
  std::string legacy_name_template = "{product}_{uuid}.{ext}";
  std::string name_template = "{source_stem}_{uuid}.{ext}";

  std::string frontend_url = "http://localhost:3000";  // FRONTEND_URL: allowed origins, separated by commas
  bool cors_allow_all = false;                         // CORS_ALLOW_ALL
  // ALLOWED_HOSTS: names that requests may be addressed to; ".example.com" includes subdomains, "*" allows all, and an
  // empty list this machine's own (api/allowed_hosts).
  std::vector<std::string> allowed_hosts;
  std::vector<std::string> s3_source_buckets = {};  // whose objects tables may name as s3://bucket/key
  std::string listen_host = "127.0.0.1";            // the literal address that is listened on

  std::uint64_t upload_bytes_max = 8ULL << 30;  // of the file of one upload
  std::uint64_t free_bytes_min = 256ULL << 20;  // below this /readyz says 503 and uploads get 507
  std::uint32_t ingests_at_once = 2;
  std::uint32_t event_streams_max = 4'096;  // of all jobs together; beyond it 503
  milliseconds ingest_lease{30'000};        // a server that is silent for so long loses the tables that it reads in
  milliseconds ingest_look_every{2'000};
  milliseconds ready_deadline{2'000};  // of the question to the store behind /readyz and check_db_connection
};

class Api {
 public:
  Api(Executor executor, ApiParts parts, ApiOptions options);
  ~Api();
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  // Goes on with ingests that another process left unfinished, and removes spooled uploads that no job names.
  // Call once, before the server starts. Errors: kIo and kDiskFull for the spool folder, and the store's.
  [[nodiscard]] Task<Result<void>> start();

  // The Api must outlive the server that calls it.
  [[nodiscard]] http::Server::RequestHandler handler();

  // Streams of events and audits end, and no more begin: the server can stop without waiting for them.
  void end_streams();

  // Starts no more ingests and waits for those under way, which stop between chunks (the caller has called
  // Ingest::stop, or this does). Call after Server::stop.
  [[nodiscard]] Task<void> stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace pixmill::api
