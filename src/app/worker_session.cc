#include "app/worker_session.h"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "app/commands/commands.h"
#include "app/descriptors.h"
#include "app/fleet.h"
#include "app/runtime.h"
#include "app/s3_setup.h"
#include "app/secrets.h"
#include "base/folder_lock.h"
#include "base/log.h"
#include "base/text.h"
#include "base/version.h"
#include "base/wakeup.h"
#include "jobs/postgres_store.h"

namespace pixmill::app {

namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr milliseconds kItemGrace{6'000};
constexpr milliseconds kStopMax{9'000};  // all of it together: service managers and P12 allow 10 s
constexpr milliseconds kLookEvery{250};  // whether anything is left, when draining
constexpr milliseconds kForever = std::chrono::hours(1);

// What a worker has found out before its loop runs.
struct Membership {
  std::string master_key;
  std::string server_id;
  FleetFacts fleet;
  std::shared_ptr<storage::S3Bucket> s3_bucket;  // null: results lie in a folder that all processes reach
};

class WorkerSession {
 public:
  WorkerSession(asio::io_context& io, Settings settings, Membership member, WorkOptions options)
      : io_(io),
        settings_(std::move(settings)),
        member_(std::move(member)),
        options_(options),
        shares_(share_descriptors(raise_descriptor_limit(), settings_.engines.engines)),
        signals_(io, SIGINT, SIGTERM),
        stop_(io.get_executor()) {}

  Task<void> main();
  [[nodiscard]] ExitCode exit_code() const { return exit_code_; }
  [[nodiscard]] bool left_work_behind() const { return runtime_ != nullptr && runtime_->worker().in_flight() > 0; }

 private:
  [[nodiscard]] RuntimeOptions runtime_options() const;
  Task<Result<void>> start();
  // Until a signal, the end of the time, or nothing is left.
  Task<void> work();
  void on_signal();

  asio::io_context& io_;
  Settings settings_;
  Membership member_;
  WorkOptions options_;
  DescriptorShares shares_;
  asio::signal_set signals_;
  Wakeup stop_;
  bool stopping_ = false;
  ExitCode exit_code_ = ExitCode::kOk;
  std::unique_ptr<Runtime> runtime_;
};

RuntimeOptions WorkerSession::runtime_options() const {
  const bool on_disk = member_.s3_bucket == nullptr;
  return {.folder = settings_.data_folder,
          .database_path = {},
          .database_url = settings_.database_url,
          .server_id = member_.server_id,
          .files_root = on_disk ? settings_.data_folder + "/files" : settings_.data_folder,
          .marks_root = on_disk ? settings_.data_folder + "/watermarks" : "",
          .master_key = member_.master_key,
          .links = make_links(settings_, member_.fleet.base_url, member_.s3_bucket),
          .own_ports = {},
          .connections_max = shares_.client_connections + shares_.server_connections,
          .local_files = false,
          .shared_queue = true,
          .s3_bucket = member_.s3_bucket,
          .s3_prefix = settings_.s3.key_prefix,
          .s3_source_buckets = settings_.s3.source_buckets.value_or(std::vector<std::string>())};
}

Task<Result<void>> WorkerSession::start() {
  PIXMILL_CO_TRY(runtime_, co_await Runtime::create(io_, settings_, runtime_options()));
  runtime_->worker().on_jobs_finished([](const std::vector<JobId>& jobs) {
    for (const auto& job : jobs) log::info("job_finished", {{"job", job.text()}});
  });
  co_await runtime_->start();
  co_return Result<void>{};
}

void WorkerSession::on_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int) {
    if (error) return;
    if (stopping_) ::_exit(static_cast<int>(ExitCode::kInterrupted));
    stopping_ = true;
    stop_.ring();
    on_signal();
  });
}

Task<void> WorkerSession::work() {
  const auto end_at = options_.time_max ? SteadyClock::now() + *options_.time_max : SteadyClock::time_point::max();
  while (!stopping_) {
    milliseconds wait = options_.drain ? kLookEvery : kForever;
    if (options_.time_max) {
      const auto left = std::chrono::ceil<milliseconds>(end_at - SteadyClock::now());
      if (left <= milliseconds(0)) break;
      wait = std::min(wait, left);
    }
    co_await stop_.wait(wait);
    if (options_.drain && !stopping_ && runtime_->worker().is_idle()) break;
  }
}

Task<void> WorkerSession::main() {
  on_signal();
  const auto begun = SteadyClock::now();
  const auto started = co_await start();
  if (!started) {
    log::debug("start_failed", {{"detail", started.error().detail}});
    exit_code_ = refuse(started.error());
  } else {
    std::fprintf(stderr, "pixmill %.*s working, %u engines\n", static_cast<int>(kVersion.size()), kVersion.data(),
                 runtime_->engines().engines());
    log::info("started", {{"engines", runtime_->engines().engines()}});
    co_await work();
    log::info("stopping");
  }
  // With the database away each item that is given back waits for it: what is left then is left to its lease.
  asio::steady_timer deadline(io_);
  deadline.expires_after(kStopMax);
  deadline.async_wait([this](const boost::system::error_code& error) {
    if (!error) io_.stop();
  });
  if (runtime_) co_await runtime_->drain(kItemGrace);
  deadline.cancel();
  if (started) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(SteadyClock::now() - begun).count();
    std::fprintf(stderr, "pixmill: ended after %s\n", format_duration(seconds).c_str());
  }
  signals_.cancel();
  io_.stop();  // releases may still wait for the database
}

Error no_database() {
  return {.code = ErrorCode::kInvalidArgument,
          .message =
              "work joins a fleet, whose processes share a database: set "
              "DATABASE_URL=postgres://user@host/name. One process alone is `pixmill serve`",
          .detail = {}};
}

Error no_master_key() {
  return {.code = ErrorCode::kInvalidArgument,
          .message =
              "work needs the master key of the fleet: set PIXMILL_MASTER_KEY to what is in master.key of the "
              "first server's data folder, for every process",
          .detail = {}};
}

Error other_place(const std::string& theirs, const std::string& ours) {
  return {.code = ErrorCode::kInvalidArgument,
          .message = "the servers of this fleet keep results in another place than this worker would (theirs: " +
                     theirs + "; here: " + ours +
                     "): set the same AWS_… and S3_PREFIX, or, without a bucket, let `files` in its data folder be "
                     "the servers' one (a mount or a symbolic link)",
          .detail = {}};
}

Result<Membership> join(const Settings& settings) {
  Membership member;
  auto master_key = find_master_key(settings.data_folder, settings.master_key);
  if (!master_key && master_key.error().code == ErrorCode::kNotFound) return std::unexpected(no_master_key());
  if (!master_key) return std::unexpected(master_key.error());
  member.master_key = std::move(*master_key);
  PIXMILL_TRY(member.server_id, load_server_id(settings.data_folder));
  const auto database = database_of(settings, member.master_key);
  PIXMILL_RETURN_IF_ERROR(jobs::prepare_postgres(SystemClock(), database));
  PIXMILL_TRY(member.fleet, ask_fleet(database));
  if (!settings.public_base_url.empty()) member.fleet.base_url = settings.public_base_url;
  PIXMILL_TRY(const auto place, results_place(settings));
  if (place != member.fleet.results) return std::unexpected(other_place(member.fleet.results, place));
  if (!settings.s3.bucket.empty()) {
    static const SystemClock clock;
    PIXMILL_TRY(member.s3_bucket, make_s3_bucket(settings.s3, settings.s3.bucket, clock));
  }
  return member;
}

}  // namespace

ExitCode work_here(Settings settings, WorkOptions options) {
  if (settings.database_url.empty()) return refuse(no_database());
  const auto lock = FolderLock::take(settings.data_folder);
  if (!lock) {
    Error error = lock.error();
    error.message = settings.data_folder + ": ";
    error.message += error.code == ErrorCode::kConflict
                         ? "another Pixmill process uses this folder; give each one of its own with --data"
                         : lock.error().message;
    return refuse(error);
  }
  auto member = join(settings);
  if (!member) return refuse(member.error());

  asio::io_context io(1);
  auto session = std::make_unique<WorkerSession>(io, std::move(settings), std::move(*member), options);
  asio::co_spawn(io, session->main(), [](const std::exception_ptr& error) { PIXMILL_CHECK(error == nullptr); });
  io.run();
  const ExitCode code = session->exit_code();
  if (session->left_work_behind()) {
    std::fflush(nullptr);
    ::_exit(static_cast<int>(code));
  }
  return code;
}

}  // namespace pixmill::app
