#include "app/server_session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>

#include "api/api.h"
#include "app/commands/commands.h"
#include "app/descriptors.h"
#include "app/fleet.h"
#include "app/runtime.h"
#include "app/s3_setup.h"
#include "app/secrets.h"
#include "app/server_address.h"
#include "base/folder_lock.h"
#include "base/log.h"
#include "base/version.h"
#include "base/wakeup.h"
#include "http/server.h"
#include "jobs/postgres_store.h"
#include "jobs/recipe_book.h"
#include "webhook/deliverer.h"
#include "worker/reconciler.h"
#include "worker/remover.h"

namespace pixmill::app {

namespace {

namespace fs = std::filesystem;

constexpr milliseconds kRequestGrace{2'000};
constexpr milliseconds kItemGrace{6'000};
constexpr milliseconds kStopMax{9'000};  // all of it together: service managers and P12 allow 10 s
constexpr milliseconds kReconcilerPoll{20};
constexpr milliseconds kForever = std::chrono::hours(1);

// What a server is known by.
struct Identity {
  std::string master_key;
  std::string server_id;
  WebhookSecret secret;
};

// With PostgreSQL the webhook secret is the database's, so that receivers meet one, whoever delivers.
Result<Identity> load_identity(const Settings& settings) {
  PIXMILL_TRY(auto master_key, load_master_key(settings.data_folder, settings.master_key));
  if (settings.database_url.empty()) {
    PIXMILL_TRY(auto secret, load_webhook_secret(settings.data_folder, master_key, settings.webhook_secret));
    return Identity{.master_key = std::move(master_key), .server_id = {}, .secret = std::move(secret)};
  }
  PIXMILL_TRY(auto server_id, load_server_id(settings.data_folder));
  const auto postgres = database_of(settings, master_key);
  PIXMILL_RETURN_IF_ERROR(jobs::prepare_postgres(SystemClock(), postgres));
  PIXMILL_TRY(auto secret, agree_on_webhook_secret(postgres, settings.webhook_secret));
  return Identity{.master_key = std::move(master_key), .server_id = std::move(server_id), .secret = std::move(secret)};
}

class ServerSession {
 public:
  ServerSession(asio::io_context& io, Settings settings, Identity identity)
      : io_(io),
        settings_(std::move(settings)),
        master_key_(std::move(identity.master_key)),
        server_id_(std::move(identity.server_id)),
        secret_(std::move(identity.secret)),
        shares_(share_descriptors(raise_descriptor_limit(), settings_.engines.engines)),
        signals_(io, SIGINT, SIGTERM),
        stop_(io.get_executor()) {}

  // Reads the settings of the bucket, if there are any.
  Result<void> find_bucket();
  // Binds the port first, so that a port in use is said before anything else happens.
  Result<void> listen();
  // What the fleet's workers need to know of this server. After listen().
  [[nodiscard]] Result<void> tell_fleet() const;
  Task<void> main();
  [[nodiscard]] ExitCode exit_code() const { return exit_code_; }
  [[nodiscard]] bool left_work_behind() const {
    return runtime_ != nullptr && (parts_stopping_ > 0 || runtime_->worker().in_flight() > 0);
  }

 private:
  Task<Result<void>> start();
  Task<Result<void>> check_default_recipe();
  Task<void> shut_down();
  void stop_beside(Task<void> part);
  Task<void> stop_front();
  Task<void> stop_reconciler();
  void start_webhooks();
  void start_reconciler();
  void start_remover();
  void on_signal();
  [[nodiscard]] std::string address() const;  // that is listened on
  [[nodiscard]] std::string base_url() const;
  [[nodiscard]] jobs::Links links() const;
  [[nodiscard]] std::vector<std::string> source_buckets() const;
  [[nodiscard]] api::ApiOptions api_options() const;
  [[nodiscard]] std::vector<api::ServiceState> services() const;

  asio::io_context& io_;
  Settings settings_;
  SystemClock clock_;
  std::shared_ptr<storage::S3Bucket> s3_bucket_;  // null: results lie on this machine's disk
  std::string master_key_;
  std::string server_id_;
  WebhookSecret secret_;
  DescriptorShares shares_;
  asio::signal_set signals_;
  Wakeup stop_;
  bool stopping_ = false;
  int parts_stopping_ = 0;
  ExitCode exit_code_ = ExitCode::kOk;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<webhook::Deliverer> deliverer_;
  std::unique_ptr<worker::Reconciler> reconciler_;
  int reconciling_ = 0;  // of its two loops
  std::unique_ptr<worker::Remover> remover_;
  std::unique_ptr<api::Api> api_;
  http::Server::RequestHandler handler_;
  std::unique_ptr<http::Server> server_;
};

Result<void> ServerSession::find_bucket() {
  if (settings_.s3.bucket.empty()) return {};
  PIXMILL_TRY(s3_bucket_, make_s3_bucket(settings_.s3, settings_.s3.bucket, clock_));
  return {};
}

Result<void> ServerSession::listen() {
  http::ServerOptions options;
  options.host = settings_.host;
  options.port = settings_.port;
  options.connections_max = shares_.server_connections;
  // Connections are accepted only after start(), when the real handler is there.
  PIXMILL_TRY(server_, http::Server::create(io_.get_executor(), std::move(options),
                                            [this](http::Request& request) { return handler_(request); }));
  return {};
}

std::string ServerSession::address() const {
  const bool is_ipv6 = settings_.host.find(':') != std::string::npos;
  return fmt::format("http://{}{}{}:{}", is_ipv6 ? "[" : "", settings_.host, is_ipv6 ? "]" : "", server_->port());
}

std::string ServerSession::base_url() const {
  return settings_.public_base_url.empty() ? address() : settings_.public_base_url;
}

jobs::Links ServerSession::links() const { return make_links(settings_, base_url(), s3_bucket_); }

Result<void> ServerSession::tell_fleet() const {
  if (settings_.database_url.empty()) return {};
  PIXMILL_TRY(auto results, results_place(settings_));
  const FleetFacts facts{.base_url = base_url(), .results = std::move(results)};
  return app::tell_fleet(database_of(settings_, master_key_), facts);
}

// Everybody who may send a table may name what lies in them, so none is open unless the operator says so.
std::vector<std::string> ServerSession::source_buckets() const {
  return settings_.s3.source_buckets.value_or(std::vector<std::string>());
}

api::ApiOptions ServerSession::api_options() const {
  api::ApiOptions options;
  options.links = links();
  options.spool_folder = settings_.data_folder + "/spool";
  options.data_folder = settings_.data_folder;
  options.version = std::string(kVersion);
  options.default_recipe = settings_.default_recipe;
  options.frontend_url = settings_.frontend_url;
  options.cors_allow_all = settings_.cors_allow_all;
  options.allowed_hosts = settings_.allowed_hosts;
  options.listen_host = settings_.host;
  options.free_bytes_min = settings_.disk_free_bytes_min;
  options.s3_source_buckets = source_buckets();
  options.event_streams_max = shares_.server_connections / 2;
  options.ingest_lease = settings_.worker.lease;
  options.ingest_look_every = settings_.worker.rescue_every;
  options.id_secret = master_key_;
  return options;
}

std::vector<api::ServiceState> ServerSession::services() const {
  std::vector<api::ServiceState> states;
  if (const auto* redis = runtime_->redis()) {
    states.push_back({.name = "redis", .ok = redis->is_up(), .detail = redis->state(), .needed = false});
  }
  return states;
}

void ServerSession::start_webhooks() {
  webhook::DelivererParts parts{.outbox = runtime_->outbox(),
                                .client = runtime_->client(),
                                .resolver = runtime_->resolver(),
                                .policy = runtime_->policy(),
                                .clock = runtime_->clock(),
                                .metrics = runtime_->metrics(),
                                .calendar = &clock_};
  deliverer_ = std::make_unique<webhook::Deliverer>(io_.get_executor(), parts, secret_, settings_.webhooks);
  runtime_->on_event([this] { deliverer_->wake(); });
  runtime_->worker().on_jobs_finished([this](const std::vector<JobId>& jobs) {
    for (const auto& job : jobs) log::info("job_finished", {{"job", job.text()}});
    deliverer_->wake();
  });
}

void ServerSession::start_reconciler() {
  const worker::ReconcilerParts parts{.store = runtime_->store(),
                                      .upkeep = runtime_->upkeep(),
                                      .blobs = runtime_->blobs(),
                                      .clock = runtime_->clock(),
                                      .metrics = runtime_->metrics()};
  reconciler_ = std::make_unique<worker::Reconciler>(io_.get_executor(), parts, settings_.reconciler, [this] {
    deliverer_->wake();
    runtime_->queue().announce({});
  });
  const auto run = [this](Task<void> loop) {
    ++reconciling_;
    asio::co_spawn(io_, std::move(loop), [this](const std::exception_ptr& error) {
      PIXMILL_CHECK(error == nullptr);
      --reconciling_;
      stop_.ring();
    });
  };
  run(reconciler_->run_rounds());
  run(reconciler_->run_reviews());
}

Task<void> ServerSession::stop_reconciler() {
  reconciler_->stop();
  while (reconciling_ > 0) co_await pause_for(kReconcilerPoll);
}

void ServerSession::start_remover() {
  const worker::RemoverParts parts{.store = runtime_->store(),
                                   .blobs = runtime_->blobs(),
                                   .marks = runtime_->marks(),
                                   .metrics = runtime_->metrics()};
  auto options = settings_.remover;
  options.lease = settings_.worker.lease;
  remover_ = std::make_unique<worker::Remover>(io_.get_executor(), parts, options);
  remover_->start();
}

// A name is looked up with every upload, and should be there when the server starts.
Task<Result<void>> ServerSession::check_default_recipe() {
  PIXMILL_CO_TRY(const auto saved, co_await runtime_->recipes().saved_recipes());
  const auto found = jobs::RecipeBook(saved).resolve(settings_.default_recipe);
  if (found) co_return Result<void>{};
  co_return fail(ErrorCode::kInvalidArgument, "DEFAULT_RECIPE: " + found.error().message);
}

Task<Result<void>> ServerSession::start() {
  RuntimeOptions options{.folder = settings_.data_folder,
                         .database_path = settings_.data_folder + "/pixmill.db",
                         .database_url = settings_.database_url,
                         .server_id = server_id_,
                         .files_root = s3_bucket_ ? settings_.data_folder : settings_.data_folder + "/files",
                         .marks_root = s3_bucket_ ? "" : settings_.data_folder + "/watermarks",
                         .master_key = master_key_,
                         .links = links(),
                         .own_ports = std::vector<std::uint16_t>(1, server_->port()),
                         .connections_max = shares_.client_connections,
                         .local_files = false,
                         .shows_progress = true,
                         .shared_queue = true,
                         .s3_bucket = s3_bucket_,
                         .s3_prefix = settings_.s3.key_prefix,
                         .s3_source_buckets = source_buckets()};
  PIXMILL_CO_TRY(runtime_, co_await Runtime::create(io_, settings_, std::move(options)));
  PIXMILL_CO_RETURN_IF_ERROR(co_await check_default_recipe());
  start_webhooks();
  api::ApiParts parts{.store = runtime_->store(),
                      .outbox = runtime_->outbox(),
                      .recipes = runtime_->recipes(),
                      .queue = runtime_->queue(),
                      .ingest = runtime_->ingest(),
                      .blobs = runtime_->blobs(),
                      .watermarks = runtime_->watermarks(),
                      .policy = runtime_->policy(),
                      .clock = runtime_->clock(),
                      .metrics = runtime_->metrics(),
                      .hosts = &runtime_->hosts(),
                      .engines = &runtime_->engines(),
                      .progress = &runtime_->progress(),
                      .wake_deliverer = [this] { deliverer_->wake(); },
                      .services = [this] { return services(); },
                      .upkeep = &runtime_->upkeep(),
                      .remove_soon =
                          [this] {
                            if (remover_) remover_->soon();
                          },
                      .tables = runtime_->tables()};
  api_ = std::make_unique<api::Api>(io_.get_executor(), std::move(parts), api_options());
  handler_ = api_->handler();
  PIXMILL_CO_RETURN_IF_ERROR(co_await api_->start());
  co_await runtime_->start();
  deliverer_->start();
  start_reconciler();
  start_remover();
  server_->start();
  // Commands find the server by it; without it they say that the folder is taken.
  const auto told = write_server_address(settings_.data_folder,
                                         local_address(settings_.host, server_->port(), settings_.allowed_hosts));
  if (!told) log::warning("address_not_written", {{"message", told.error().message}});
  co_return Result<void>{};
}

void ServerSession::on_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int) {
    if (error) return;
    if (stopping_) ::_exit(static_cast<int>(ExitCode::kInterrupted));
    stopping_ = true;
    stop_.ring();
    on_signal();
  });
}

Task<void> ServerSession::main() {
  on_signal();
  const auto started = co_await start();
  if (!started) {
    log::debug("start_failed", {{"detail", started.error().detail}});
    exit_code_ = refuse(started.error());
  } else {
    const std::string reached = settings_.public_base_url.empty() ? "" : ", reached as " + settings_.public_base_url;
    std::fprintf(stderr, "pixmill %.*s listening on %s%s\n", static_cast<int>(kVersion.size()), kVersion.data(),
                 address().c_str(), reached.c_str());
    log::info(
        "started",
        {{"address", address()}, {"public_base_url", links().base_url}, {"engines", runtime_->engines().engines()}});
    while (!stopping_) co_await stop_.wait(kForever);
    log::info("stopping");
  }
  co_await shut_down();
  signals_.cancel();
}

// Each part may have to wait for another peer that hangs: requests for their senders, items for origins, deliveries for
// receivers. So they stop side by side, and whatever is left at the deadline is left to its lease.
Task<void> ServerSession::shut_down() {
  const auto give_up_at = std::chrono::steady_clock::now() + kStopMax;
  if (server_) stop_beside(stop_front());
  if (runtime_) stop_beside(runtime_->drain(kItemGrace));
  if (deliverer_) stop_beside(deliverer_->stop());
  if (reconciler_) stop_beside(stop_reconciler());
  if (remover_) stop_beside(remover_->stop());
  while (parts_stopping_ > 0) {
    const auto left = std::chrono::ceil<milliseconds>(give_up_at - std::chrono::steady_clock::now());
    if (left <= milliseconds(0)) break;
    co_await stop_.wait(left);
  }
  if (parts_stopping_ > 0) log::warning("stopped_at_deadline", {{"parts", parts_stopping_}});
  io_.stop();  // what a part has left behind may wait for the bucket for a minute yet
}

void ServerSession::stop_beside(Task<void> part) {
  ++parts_stopping_;
  asio::co_spawn(io_, std::move(part), [this](const std::exception_ptr& error) {
    PIXMILL_CHECK(error == nullptr);
    --parts_stopping_;
    stop_.ring();
  });
}

Task<void> ServerSession::stop_front() {
  remove_server_address(settings_.data_folder);
  if (api_) api_->end_streams();
  co_await server_->stop(kRequestGrace);
  if (api_) co_await api_->stop();
}

}  // namespace

Result<void> check_listen_address(const std::string& host, bool no_auth, const std::string& public_base_url) {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(host, error);
  if (error) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("--host {}: give a literal address, such as 127.0.0.1, ::1 or 0.0.0.0", host));
  }
  if (!address.is_loopback() && !no_auth) {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format(
            "--host {} reaches beyond this machine, and this version has no API keys: anyone who can connect could "
            "submit jobs and read results. Listen on 127.0.0.1 behind a proxy that authenticates, or say --no-auth",
            host));
  }
  if (address.is_unspecified() && public_base_url.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("--host {} is every address of this machine, and links in results and webhooks must begin "
                            "with one that others can reach: set PUBLIC_BASE_URL, such as http://images.example:8000",
                            host));
  }
  return {};
}

ExitCode serve_here(Settings settings) {
  const auto lock = FolderLock::take(settings.data_folder);
  if (!lock) {
    Error error = lock.error();
    error.message = fmt::format("{}: {}", settings.data_folder, error.message);
    return refuse(error);
  }
  auto identity = load_identity(settings);
  if (!identity) return refuse(identity.error());

  asio::io_context io(1);
  auto session = std::make_unique<ServerSession>(io, std::move(settings), std::move(*identity));
  if (const auto found = session->find_bucket(); !found) return refuse(found.error());
  if (const auto listening = session->listen(); !listening) return refuse(listening.error());
  if (const auto told = session->tell_fleet(); !told) return refuse(told.error());
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
