#include "app/redis_services.h"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/log.h"
#include "jobs/progress_news.h"
#include "jobs/redis_queue.h"
#include "redis/server_info.h"

namespace pixmill::app {

namespace {

constexpr std::uint32_t kRepublishedMax = 100;
constexpr milliseconds kFirstAnswer{5'000};

std::string member_name() {
  char host[256] = "localhost";
  static_cast<void>(::gethostname(host, sizeof host - 1));
  return fmt::format("{}:{}:{}", host, ::getpid(), Uuid::random().text().substr(0, 8));
}

Task<Result<std::vector<JobId>>> unfinished_jobs(jobs::JobStore& store) {
  jobs::JobQuery query{.state = jobs::JobState::kRunning, .limit = kRepublishedMax, .before = std::nullopt};
  PIXMILL_CO_TRY(const auto page, co_await store.jobs(std::move(query)));
  std::vector<JobId> ids;
  for (const auto& job : page.jobs) {
    if (job.remaining > 0) ids.push_back(job.id);
  }
  co_return ids;
}

// Nothing is lost when Redis drops keys, but workers then wake late and hosts get more than their share.
Task<void> look_at_server(std::shared_ptr<redis::Connection> connection) {
  if (!co_await connection->wait_until_up(kFirstAnswer)) co_return;
  const auto info = co_await redis::ask_server_info(*connection);
  if (!info) {
    log::debug("redis_info_refused", {{"code", code_text(info.error())}, {"detail", info.error().detail}});
    co_return;
  }
  log::info("redis_connected", {{"version", info->version}});
  if (!info->may_evict()) co_return;
  log::warning("redis_may_evict", {{"maxmemory_policy", info->memory_policy},
                                   {"message", "set maxmemory-policy to noeviction: Redis may drop hints and limits"}});
}

}  // namespace

Result<std::unique_ptr<RedisServices>> RedisServices::create(Executor executor, const Settings& settings,
                                                             http::Resolver& resolver, Metrics& metrics) {
  std::unique_ptr<RedisServices> services(new RedisServices(executor, settings, resolver, metrics));
  services->member_ = member_name();
  PIXMILL_TRY(services->commands_, services->connect(services->connection_options("commands")));
  PIXMILL_TRY(services->blocking_, services->connect(services->connection_options("hints")));
  return services;
}

redis::ConnectionOptions RedisServices::connection_options(const char* name) const {
  redis::ConnectionOptions options;
  options.endpoint = settings_.redis.value();
  options.ca_file = settings_.redis_ca_file;
  options.name = name;
  return options;
}

Result<std::shared_ptr<redis::Connection>> RedisServices::connect(redis::ConnectionOptions options) {
  const auto resolve = [&resolver = resolver_](std::string host) { return resolver.resolve(std::move(host)); };
  return redis::Connection::create(executor_, std::move(options), resolve, metrics_);
}

RedisServices::~RedisServices() { stop(); }

void RedisServices::start() {
  commands_->start();
  blocking_->start();
  if (hearing_) hearing_->start();
  asio::co_spawn(executor_, look_at_server(commands_),
                 [](const std::exception_ptr& error) { PIXMILL_CHECK(error == nullptr); });
}

void RedisServices::stop() {
  if (commands_) commands_->stop();
  if (blocking_) blocking_->stop();
  if (hearing_) hearing_->stop();
}

std::unique_ptr<jobs::Queue> RedisServices::make_queue(jobs::JobStore& store) {
  jobs::RedisQueueOptions options;
  options.member = member_;
  options.key_prefix = settings_.redis_key_prefix;
  options.unfinished = [&store] { return unfinished_jobs(store); };
  return jobs::make_redis_queue(executor_, commands_, blocking_, std::move(options));
}

std::shared_ptr<jobs::ProgressNews> RedisServices::make_progress_news(bool hears) {
  const std::string channel = settings_.redis_key_prefix + ":progress";
  std::shared_ptr<jobs::RedisProgressNews> news =
      jobs::make_redis_progress_news(executor_, commands_, {.channel = channel, .member = member_});
  if (!hears) return news;
  auto options = connection_options("progress");
  options.channel = channel;
  options.on_message = [weak = std::weak_ptr(news)](const std::string& message) {
    if (const auto alive = weak.lock()) alive->hear(message);
  };
  // The certificates could be read for the others.
  hearing_ = connect(std::move(options)).value();
  return news;
}

std::shared_ptr<fetch::FleetLimits> RedisServices::make_fleet_limits() const {
  return fetch::make_redis_fleet_limits(commands_, settings_.redis_key_prefix, member_);
}

std::string RedisServices::state() const {
  const std::string place = settings_.redis->shown();
  if (is_up()) return place;
  return fmt::format("{} is away, the database dispatches: {}", place,
                     commands_->trouble() ? commands_->trouble()->message : "not connected yet");
}

}  // namespace pixmill::app
