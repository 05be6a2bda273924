// The composition root: every part of a process that works on items, built once, in the order of the tiers. `run` and
// `serve` put their own front on top.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "app/network.h"
#include "app/redis_services.h"
#include "app/s3_setup.h"
#include "app/settings.h"
#include "base/byte_budget.h"
#include "base/folder_lock.h"
#include "base/metrics.h"
#include "base/task.h"
#include "engine/pool.h"
#include "fetch/address_policy.h"
#include "fetch/fetcher.h"
#include "fetch/host_limits.h"
#include "http/client.h"
#include "http/resolver.h"
#include "jobs/ingest.h"
#include "jobs/job_document.h"
#include "jobs/progress_news.h"
#include "jobs/queue.h"
#include "jobs/stores.h"
#include "pipeline/process_item.h"
#include "pipeline/watermarks.h"
#include "storage/blob_store.h"
#include "worker/worker.h"

namespace pixmill::app {

struct RuntimeOptions {
  std::string folder;             // locked by the caller
  std::string database_path;      // SQLite's file
  std::string database_url = {};  // of PostgreSQL, instead of the file; "" for none
  std::string server_id = {};     // of the folder; with PostgreSQL
  std::string files_root;         // where blob keys begin
  std::string marks_root;         // where uploaded watermarks lie; "": with the results, in the bucket
  std::string master_key;
  jobs::Links links;                     // as events show them
  std::vector<std::uint16_t> own_ports;  // that image and webhook addresses may not reach on this machine
  std::uint32_t connections_max = 512;   // to origins and webhook receivers
  bool local_files = false;              // items may be file: addresses made by `run` itself
  bool shows_progress = false;           // hears of what other processes do with jobs
  bool shared_queue = false;             // other processes may work on the same store: announce work through Redis
  // Results lie in a bucket, below a prefix ("" or with a final slash), instead of in `files_root`.
  std::shared_ptr<storage::S3Bucket> s3_bucket = nullptr;
  std::string s3_prefix = {};
  std::vector<std::string> s3_source_buckets = {};  // whose objects may be sources; jobs::kEveryBucket: any
};

class Runtime {
 public:
  // Opens the store (releasing what a killed process held), starts and tests the engines. Errors: those of the parts.
  [[nodiscard]] static Task<Result<std::unique_ptr<Runtime>>> create(asio::io_context& io, Settings settings,
                                                                     RuntimeOptions options);
  ~Runtime();

  // Removes what a killed process stored without a row, then starts the worker.
  [[nodiscard]] Task<void> start();
  // Stops fetching anew, lets items end for `grace`, releases the others, stops the engines.
  [[nodiscard]] Task<void> drain(milliseconds grace);
  // Ingests `job` from `path` to its end, through a full disk and an absent store; returns early when the process stops
  // or the job is cancelled. Errors: what will not pass by waiting; the job can be gone on with later.
  [[nodiscard]] Task<Result<void>> ingest_until_done(JobId job, std::string path);

  const Settings& settings() const { return settings_; }
  const Clock& clock() const { return *clock_; }
  Metrics& metrics() { return metrics_; }
  jobs::JobStore& store() { return *stores_.jobs; }
  jobs::Outbox& outbox() { return *stores_.outbox; }
  jobs::RecipeStore& recipes() { return *stores_.recipes; }
  jobs::Upkeep& upkeep() { return *stores_.upkeep; }
  jobs::Queue& queue() { return *queue_; }
  jobs::Ingest& ingest() { return *ingest_; }
  storage::BlobStore& blobs() { return *blobs_; }
  engine::Pool& engines() { return *engines_; }
  pipeline::Watermarks& watermarks() { return *watermarks_; }
  storage::BlobStore& marks() { return *marks_; }
  storage::BlobStore* tables() { return tables_.get(); }  // null: uploaded tables stay in the spool
  const fetch::AddressPolicy& policy() const { return *network_.policy; }
  http::Resolver& resolver() { return *network_.resolver; }
  http::Client& client() { return *network_.client; }
  fetch::HostLimits& hosts() { return *network_.hosts; }
  RedisServices* redis() { return redis_.get(); }  // null without one
  jobs::ProgressNews& progress() { return *progress_; }
  worker::Worker& worker() { return *worker_; }
  // Called when another process may have written an event.
  void on_event(std::function<void()> callback) { on_event_ = std::move(callback); }

 private:
  Runtime(Settings settings, RuntimeOptions options);
  [[nodiscard]] Result<void> open_stores();
  [[nodiscard]] Result<void> open_blobs(Executor executor);
  [[nodiscard]] Result<void> open_marks();
  [[nodiscard]] Result<void> open_tables();
  [[nodiscard]] Task<Result<void>> check_blobs();
  [[nodiscard]] Result<jobs::Stores> open_database();
  [[nodiscard]] std::unique_ptr<jobs::Queue> make_queue(Executor executor);
  [[nodiscard]] fetch::OwnEndpoints own_endpoints() const;
  void build_work(Executor executor);
  [[nodiscard]] Result<std::shared_ptr<storage::BlobStore>> open_earlier(const std::string& files);
  [[nodiscard]] Result<void> enough_free_space() const;

  Settings settings_;
  RuntimeOptions options_;
  SystemClock calendar_;
  std::unique_ptr<const Clock> clock_;  // that waiting goes by
  Metrics metrics_;
  jobs::Stores stores_;
  S3Network s3_network_;
  std::unique_ptr<storage::BlobStore> blobs_;
  std::unique_ptr<jobs::Queue> queue_;
  std::unique_ptr<jobs::Queue> event_bell_;  // PostgreSQL's, where Redis announces work: events are still told by it
  std::shared_ptr<jobs::ProgressNews> progress_;
  std::unique_ptr<jobs::Ingest> ingest_;
  std::unique_ptr<storage::BlobStore> marks_;
  std::unique_ptr<storage::BlobStore> tables_;
  Network network_;
  std::unique_ptr<fetch::Fetcher> s3_fetcher_;
  std::unique_ptr<RedisServices> redis_;
  std::unique_ptr<fetch::Fetcher> file_fetcher_;
  std::unique_ptr<engine::Pool> engines_;
  std::unique_ptr<ByteBudget> budget_;
  std::unique_ptr<pipeline::Watermarks> watermarks_;
  std::unique_ptr<pipeline::Pipeline> pipeline_;
  std::unique_ptr<worker::Worker> worker_;
  std::function<void()> on_event_;
  bool stopping_ = false;
};

}  // namespace pixmill::app
