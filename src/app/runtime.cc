#include "app/runtime.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "app/exit_code.h"
#include "app/local_files.h"
#include "app/s3_sources.h"
#include "base/log.h"
#include "base/steady_clock.h"
#include "base/text.h"
#include "fetch/source_url.h"
#include "jobs/postgres_queue.h"
#include "jobs/postgres_store.h"
#include "jobs/sqlite_store.h"
#include "storage/local_store.h"
#include "worker/sweeper.h"

namespace pixmill::app {

namespace {

constexpr milliseconds kIngestRetryWait{1'000};
constexpr milliseconds kS3CheckMax{5'000};
constexpr milliseconds kTablePatience{15'000};

std::string worker_name() {
  char host[256] = "localhost";
  if (::gethostname(host, sizeof host - 1) != 0) return "localhost:" + std::to_string(::getpid());
  return std::string(host) + ":" + std::to_string(::getpid());
}

// What cannot be recorded must not be worked on: the leases bring it back at the next start.
[[noreturn]] void end_for(const Error& error) {
  std::fprintf(stderr, "\npixmill: the database takes no results any more: %s\n         %s\n", error.message.c_str(),
               error.detail.c_str());
  std::fflush(nullptr);
  ::_exit(static_cast<int>(ExitCode::kUnexpected));
}

}  // namespace

Runtime::Runtime(Settings settings, RuntimeOptions options)
    : settings_(std::move(settings)), options_(std::move(options)) {
  // With PostgreSQL moments are those of the database's clock, which the store compares ours with.
  if (options_.database_url.empty()) {
    clock_ = std::make_unique<SteadyClock>(calendar_);
  } else {
    clock_ = std::make_unique<SystemClock>();
  }
}

Runtime::~Runtime() = default;

Result<void> Runtime::open_blobs(Executor executor) {
  const bool has_sources = !options_.s3_source_buckets.empty();
  if (options_.s3_bucket != nullptr || has_sources) {
    PIXMILL_TRY(s3_network_, make_s3_network(std::move(executor), settings_));
  }
  if (options_.s3_bucket == nullptr) {
    PIXMILL_TRY(blobs_, storage::open_local_store(options_.files_root, settings_.durability));
  } else {
    auto options = s3_store_options(settings_.s3, options_.s3_prefix);
    blobs_ = storage::make_s3_store(s3_network_.parts(metrics_), options_.s3_bucket, std::move(options));
  }
  PIXMILL_RETURN_IF_ERROR(open_marks());
  return open_tables();
}

Result<void> Runtime::open_marks() {
  if (!options_.marks_root.empty()) {
    // A job is accepted only once its watermark is on the disk, as its table is.
    PIXMILL_TRY(marks_, storage::open_local_store(options_.marks_root, storage::Durability::kPower));
    return {};
  }
  auto options = s3_store_options(settings_.s3, fmt::format("{}{}watermarks/", options_.s3_prefix, kS3InternalPrefix));
  options.cache_control = "";
  marks_ = storage::make_s3_store(s3_network_.parts(metrics_), options_.s3_bucket, std::move(options));
  return {};
}

// With one database for several servers, a table that came to one of them must be there for the others.
Result<void> Runtime::open_tables() {
  if (!options_.shared_queue || options_.database_url.empty()) return {};
  if (options_.s3_bucket == nullptr) {
    const auto root = fmt::format("{}/{}tables", options_.files_root, kS3InternalPrefix);
    PIXMILL_TRY(tables_, storage::open_local_store(root, storage::Durability::kPower));
    return {};
  }
  auto options = s3_store_options(settings_.s3, fmt::format("{}{}tables/", options_.s3_prefix, kS3InternalPrefix));
  options.cache_control = "";
  // Somebody waits for the answer to an upload.
  options.patience.deadline = std::min(options.patience.deadline, kTablePatience);
  tables_ = storage::make_s3_store(s3_network_.parts(metrics_), options_.s3_bucket, std::move(options));
  return {};
}

// Wrong settings are said before anything else happens; while the server is merely away, work waits.
Task<Result<void>> Runtime::check_blobs() {
  if (options_.s3_bucket == nullptr) co_return Result<void>{};
  storage::S3Patience patience;
  patience.deadline = kS3CheckMax;
  const auto checked =
      co_await storage::check_bucket(s3_network_.parts(metrics_), options_.s3_bucket,
                                     fmt::format("{}{}", options_.s3_prefix, kS3InternalPrefix), patience);
  if (checked || checked.error().code == ErrorCode::kInvalidArgument) co_return checked;
  log::warning("s3_away", {{"message", checked.error().message}, {"detail", checked.error().detail}});
  co_return Result<void>{};
}

Result<void> Runtime::open_stores() {
  PIXMILL_TRY(stores_, open_database());
  return {};
}

Result<jobs::Stores> Runtime::open_database() {
  const jobs::EventBody event_body = [this](const std::string& type, const jobs::Job& job,
                                            const std::vector<jobs::Row>& rows) {
    return jobs::event_body(type, job, rows, calendar_.now(), options_.links);
  };
  if (options_.database_url.empty()) {
    jobs::SqliteOptions sqlite{
        .path = options_.database_path, .master_key = options_.master_key, .event_body = event_body};
    return jobs::open_sqlite_store(*clock_, std::move(sqlite));
  }
  jobs::PostgresOptions postgres;
  postgres.connect.url = options_.database_url;
  if (!settings_.works) postgres.connect.application_name = "pixmill api";  // in pg_stat_activity
  postgres.master_key = options_.master_key;
  postgres.event_body = event_body;
  postgres.server = options_.server_id;
  return jobs::open_postgres_store(*clock_, std::move(postgres));
}

std::unique_ptr<jobs::Queue> Runtime::make_queue(Executor executor) {
  if (options_.database_url.empty()) return jobs::make_local_queue(std::move(executor));
  db::pg::ConnectOptions connect;
  connect.url = options_.database_url;
  return jobs::make_postgres_queue(std::move(executor), std::move(connect), [this] {
    if (on_event_) on_event_();
  });
}

fetch::OwnEndpoints Runtime::own_endpoints() const {
  fetch::OwnEndpoints own;
  own.ports = options_.own_ports;
  if (own.ports.empty()) return own;
  const auto published = fetch::parse_source_url(settings_.public_base_url);
  if (published && published->literal) own.published = {.address = *published->literal, .port = published->port};
  return own;
}

void Runtime::build_work(Executor executor) {
  queue_ = make_queue(executor);
  if (redis_ && options_.shared_queue) {
    if (!options_.database_url.empty()) event_bell_ = std::move(queue_);
    queue_ = redis_->make_queue(store());
  }
  const bool tells_others = redis_ && options_.shared_queue;
  progress_ = tells_others ? redis_->make_progress_news(options_.shows_progress) : jobs::make_local_progress_news();
  ingest_ = std::make_unique<jobs::Ingest>(executor, store(), *queue_);
  fetch::Fetcher* fetcher = network_.fetcher.get();
  if (!options_.s3_source_buckets.empty()) {
    S3Sources sources{
        .settings = settings_.s3, .buckets = options_.s3_source_buckets, .bytes_max = settings_.fetch.body_bytes_max};
    s3_fetcher_ = make_s3_sources_fetcher(*fetcher, s3_network_.parts(metrics_), calendar_, std::move(sources));
    fetcher = s3_fetcher_.get();
  }
  if (options_.local_files) {
    file_fetcher_ = make_local_files_fetcher(*fetcher, settings_.fetch.body_bytes_max);
    fetcher = file_fetcher_.get();
  }
  budget_ = std::make_unique<ByteBudget>(executor, settings_.memory_bytes_max);
  const pipeline::WatermarkParts marks{.fetcher = *network_.fetcher, .uploads = *marks_};
  watermarks_ = std::make_unique<pipeline::Watermarks>(
      executor, marks, pipeline::WatermarkOptions{.item_bytes_max = settings_.engines.mark_bytes_max});
  pipeline_ = std::make_unique<pipeline::Pipeline>(pipeline::PipelineParts{.fetcher = *fetcher,
                                                                           .engines = *engines_,
                                                                           .blobs = *blobs_,
                                                                           .budget = *budget_,
                                                                           .watermarks = *watermarks_,
                                                                           .metrics = metrics_});
  settings_.worker.name = worker_name();
  settings_.worker.claims = settings_.works;
  settings_.worker.on_broken_store = [](const Error& error) { end_for(error); };
  settings_.worker.on_moved = [this](const JobId& job) { progress_->tell(job); };
  settings_.worker.sweeps = options_.database_url.empty();
  settings_.worker.may_claim = [this] { return enough_free_space(); };
  settings_.worker.open_earlier = [this](const std::string& files) { return open_earlier(files); };
  worker_ = std::make_unique<worker::Worker>(executor,
                                             worker::WorkerParts{.store = store(),
                                                                 .queue = *queue_,
                                                                 .pipeline = *pipeline_,
                                                                 .blobs = *blobs_,
                                                                 .clock = *clock_,
                                                                 .metrics = metrics_},
                                             settings_.worker);
}

Result<std::shared_ptr<storage::BlobStore>> Runtime::open_earlier(const std::string& files) {
  if (!files.starts_with("s3://")) {
    PIXMILL_TRY(auto folder, storage::open_local_store_to_read(files));
    return std::shared_ptr<storage::BlobStore>(std::move(folder));
  }
  if (!s3_network_.client) return fail(ErrorCode::kUnavailable, "this process has no use of buckets");
  PIXMILL_TRY(const auto place, storage::parse_s3_location(files));
  PIXMILL_TRY(auto bucket, make_s3_bucket(settings_.s3, place.bucket, calendar_));
  auto options = s3_store_options(settings_.s3, place.key.empty() ? "" : place.key + "/");
  return std::shared_ptr<storage::BlobStore>(
      storage::make_s3_store(s3_network_.parts(metrics_), std::move(bucket), std::move(options)));
}

Result<void> Runtime::enough_free_space() const {
  const auto free = storage::free_bytes(options_.files_root);
  // Whoever cannot tell how full the disk is finds out by writing to it.
  if (!free || *free >= settings_.disk_free_bytes_min) return {};
  return fail(ErrorCode::kDiskFull, fmt::format("only {} are free, {} are needed", format_bytes(*free),
                                                format_bytes(settings_.disk_free_bytes_min)));
}

Task<Result<std::unique_ptr<Runtime>>> Runtime::create(asio::io_context& io, Settings settings,
                                                       RuntimeOptions options) {
  std::unique_ptr<Runtime> runtime(new Runtime(std::move(settings), std::move(options)));
  PIXMILL_CO_RETURN_IF_ERROR(runtime->open_blobs(io.get_executor()));
  PIXMILL_CO_RETURN_IF_ERROR(co_await runtime->check_blobs());
  PIXMILL_CO_RETURN_IF_ERROR(runtime->open_stores());
  const auto connections_max = runtime->options_.connections_max;
  PIXMILL_CO_TRY(runtime->network_, make_network(io.get_executor(), runtime->settings_, runtime->own_endpoints(),
                                                 connections_max, runtime->metrics_));
  if (runtime->settings_.redis) {
    PIXMILL_CO_TRY(runtime->redis_, RedisServices::create(io.get_executor(), runtime->settings_,
                                                          *runtime->network_.resolver, runtime->metrics_));
    runtime->network_.hosts->join(runtime->redis_->make_fleet_limits());
  }
  auto engines = runtime->settings_.engines;
  engines.executable = "/proc/self/exe";
  PIXMILL_CO_TRY(runtime->engines_, co_await engine::Pool::create(io.get_executor(), engines, runtime->metrics_));
  runtime->build_work(io.get_executor());
  co_return runtime;
}

Task<void> Runtime::start() {
  // Other processes may work on these items already, and store what no row names yet: there the files of a dead attempt
  // go with the review of their job.
  if (options_.database_url.empty()) {
    const auto removed = co_await worker::sweep_interrupted(store(), *blobs_, std::move(stores_.interrupted));
    if (removed > 0) log::info("orphans_removed", {{"files", removed}});
  }
  if (redis_) redis_->start();
  worker_->start();
}

Task<void> Runtime::drain(milliseconds grace) {
  stopping_ = true;
  ingest_->stop();
  network_.hosts->stop();
  budget_->stop();
  watermarks_->stop();
  co_await worker_->drain(grace);
  queue_->stop();
  if (event_bell_) event_bell_->stop();
  progress_->stop();
  engines_->stop();
  if (redis_) redis_->stop();
}

Task<Result<void>> Runtime::ingest_until_done(JobId job, std::string path) {
  while (!stopping_) {
    auto done = co_await ingest_->run(job, path);
    if (done || done.error().code == ErrorCode::kCancelled) break;
    if (!is_transient(done.error().code)) co_return done;
    log::warning("ingest_waits", {{"job", job.text()}, {"code", code_text(done.error())}});
    co_await pause_for(kIngestRetryWait);
  }
  co_return Result<void>{};
}

}  // namespace pixmill::app
