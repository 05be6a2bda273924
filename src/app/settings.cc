#include "app/settings.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "db/postgres.h"
#include "image/recipe.h"
#include "jobs/recipe_book.h"
#include "jobs/retention.h"

namespace pixmill::app {

namespace {

constexpr std::int64_t kDayMs = 24LL * 3600 * 1000;

Result<void> read_ms(const Env& env, std::string_view name, milliseconds& target, std::int64_t min_ms,
                     std::int64_t max_ms) {
  PIXMILL_TRY(const auto value, env.integer(name, target.count(), min_ms, max_ms));
  target = milliseconds(value);
  return {};
}

Result<void> load_fetch(const Env& env, Settings& settings) {
  auto& fetch = settings.fetch;
  settings.allow = env.get_or("FETCH_ALLOW", "");
  settings.dns_servers = env.get_or("PIXMILL_DNS_SERVERS", "");
  settings.ca_file = env.get_or("FETCH_CA_FILE", "");
  PIXMILL_TRY(fetch.respect_robots, env.flag("FETCH_RESPECT_ROBOTS", false));
  fetch.user_agent = env.get_or("FETCH_USER_AGENT", fetch.user_agent);
  PIXMILL_RETURN_IF_ERROR(read_ms(env, "FETCH_TIMEOUT_MS", fetch.total_timeout, 1, kDayMs));
  PIXMILL_RETURN_IF_ERROR(read_ms(env, "FETCH_CONNECT_TIMEOUT_MS", fetch.connect_timeout, 1, kDayMs));
  PIXMILL_RETURN_IF_ERROR(read_ms(env, "FETCH_TURN_PATIENCE_MS", fetch.turn_patience, 1, kDayMs));
  PIXMILL_TRY(const auto bytes_max,
              env.integer("FETCH_MAX_BYTES", static_cast<std::int64_t>(fetch.body_bytes_max), 1, 1LL << 30));
  fetch.body_bytes_max = static_cast<std::uint64_t>(bytes_max);
  // What may be fetched must be renderable, or FETCH_MAX_BYTES would promise too much.
  settings.engines.source_bytes_max = std::max(settings.engines.source_bytes_max, fetch.body_bytes_max);
  PIXMILL_TRY(const auto slow, env.integer("FETCH_LOW_SPEED_BYTES", fetch.low_speed_bytes_per_second, 0, 1LL << 30));
  fetch.low_speed_bytes_per_second = static_cast<std::uint32_t>(slow);
  PIXMILL_TRY(const auto slow_seconds, env.integer("FETCH_LOW_SPEED_SECONDS", fetch.low_speed_time.count(), 1, 3600));
  fetch.low_speed_time = seconds(slow_seconds);
  PIXMILL_TRY(const auto per_host, env.integer("FETCH_PER_HOST", settings.hosts.per_host, 1, 256));
  settings.hosts.per_host = static_cast<std::uint32_t>(per_host);
  if (const auto rate = env.get("FETCH_HOST_RATE")) {
    const auto value = parse_decimal(*rate);
    if (!value || *value <= 0 || *value > 100'000) {
      return fail(
          ErrorCode::kInvalidArgument,
          fmt::format("FETCH_HOST_RATE is '{}'; it must be requests per second, above 0 and at most 100000", *rate));
    }
    settings.hosts.requests_per_second = *value;
  }
  return {};
}

Result<void> load_engines(const Env& env, Settings& settings) {
  auto& engines = settings.engines;
  PIXMILL_TRY(const auto count, env.integer("PIXMILL_ENGINES", 0, 0, 256));
  engines.engines = static_cast<std::uint32_t>(count);
  PIXMILL_RETURN_IF_ERROR(read_ms(env, "PIXMILL_PICTURE_DEADLINE_MS", engines.picture_deadline, 10, kDayMs));
  PIXMILL_TRY(const auto memory,
              env.integer("PIXMILL_ENGINE_MEMORY_BYTES", static_cast<std::int64_t>(engines.memory_bytes_max),
                          64LL << 20, 64LL << 30));
  engines.memory_bytes_max = static_cast<std::uint64_t>(memory);
  PIXMILL_TRY(const auto pixels,
              env.integer("IMAGE_MAX_PIXELS", static_cast<std::int64_t>(engines.limits.pixels_max), 1, 10'000'000'000));
  engines.limits.pixels_max = static_cast<std::uint64_t>(pixels);
  PIXMILL_TRY(
      const auto budget,
      env.integer("PIXMILL_MEMORY_BYTES", static_cast<std::int64_t>(settings.memory_bytes_max), 16LL << 20, 1LL << 40));
  settings.memory_bytes_max = static_cast<std::uint64_t>(budget);
  return {};
}

Result<void> load_worker(const Env& env, Settings& settings) {
  auto& worker = settings.worker;
  PIXMILL_TRY(const auto in_flight, env.integer("PIXMILL_ITEMS_IN_FLIGHT", worker.items_in_flight, 1, 10'000));
  worker.items_in_flight = static_cast<std::uint32_t>(in_flight);
  PIXMILL_RETURN_IF_ERROR(read_ms(env, "PIXMILL_LEASE_MS", worker.lease, 100, kDayMs));
  PIXMILL_RETURN_IF_ERROR(read_ms(env, "PIXMILL_HEARTBEAT_MS", worker.heartbeat, 10, kDayMs));
  PIXMILL_RETURN_IF_ERROR(read_ms(env, "PIXMILL_RESCUE_EVERY_MS", worker.rescue_every, 10, kDayMs));
  PIXMILL_RETURN_IF_ERROR(read_ms(env, "PIXMILL_RECONCILE_EVERY_MS", settings.reconciler.every, 10, kDayMs));
  PIXMILL_RETURN_IF_ERROR(read_ms(env, "PIXMILL_REVIEW_AFTER_MS", settings.reconciler.review_after, 0, kDayMs));
  PIXMILL_RETURN_IF_ERROR(read_ms(env, "PIXMILL_RETRY_BASE_MS", worker.retry.base, 1, kDayMs));
  PIXMILL_RETURN_IF_ERROR(read_ms(env, "PIXMILL_RETRY_CEILING_MS", worker.retry.ceiling, 1, kDayMs));
  PIXMILL_TRY(const auto attempts, env.integer("PIXMILL_ATTEMPTS", worker.retry.attempts_max, 1, 100));
  worker.retry.attempts_max = static_cast<int>(attempts);
  if (worker.heartbeat * 2 > worker.lease) {
    return fail(ErrorCode::kInvalidArgument, "PIXMILL_HEARTBEAT_MS must be at most half of PIXMILL_LEASE_MS");
  }
  return {};
}

Result<void> load_remover(const Env& env, Settings& settings) {
  PIXMILL_RETURN_IF_ERROR(set_keep(env.get_or("PIXMILL_KEEP", ""), "PIXMILL_KEEP", settings));
  PIXMILL_RETURN_IF_ERROR(read_ms(env, "PIXMILL_MARK_IDLE_MS", settings.remover.mark_idle, 10, 30 * kDayMs));
  return read_ms(env, "PIXMILL_REMOVE_EVERY_MS", settings.remover.every, 10, kDayMs);
}

Result<void> load_webhooks(const Env& env, Settings& settings) {
  auto& webhooks = settings.webhooks;
  PIXMILL_RETURN_IF_ERROR(read_ms(env, "PIXMILL_WEBHOOK_TIMEOUT_MS", webhooks.attempt_timeout, 10, kDayMs));
  webhooks.user_agent = settings.fetch.user_agent;
  settings.webhook_secret = env.get_or("WEBHOOK_SECRET", "");
  settings.master_key = env.get_or("PIXMILL_MASTER_KEY", "");
  const auto schedule = env.get("PIXMILL_WEBHOOK_SCHEDULE_MS");
  if (!schedule) return {};
  for (const auto part : split(*schedule, ',')) {
    const auto wait_ms = parse_integer(trim(part));
    if (!wait_ms || *wait_ms < 0 || *wait_ms > 30 * kDayMs) {
      return fail(
          ErrorCode::kInvalidArgument,
          fmt::format("PIXMILL_WEBHOOK_SCHEDULE_MS holds '{}'; it must be milliseconds, separated by commas", part));
    }
    webhooks.schedule.emplace_back(*wait_ms);
  }
  return {};
}

Result<void> load_redis_parts(const Env& env, Settings& settings) {
  const auto host = env.get("REDIS_HOST");
  if (!host) {
    for (const auto* name : {"REDIS_PORT", "REDIS_USERNAME", "REDIS_PASSWORD"}) {
      if (env.get(name)) return fail(ErrorCode::kInvalidArgument, fmt::format("{} is set without REDIS_HOST", name));
    }
    return {};
  }
  redis::Endpoint endpoint;
  // The parser of addresses says what a host is.
  const bool is_v6 = host->find(':') != std::string::npos;
  const auto parsed = redis::parse_endpoint(fmt::format("redis://{}{}{}", is_v6 ? "[" : "", *host, is_v6 ? "]" : ""));
  if (!parsed || host->find_first_of("/@?") != std::string::npos) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("REDIS_HOST is '{}'; it must be a name or an address", *host));
  }
  endpoint.host = parsed->host;
  PIXMILL_TRY(const auto port, env.integer("REDIS_PORT", endpoint.port, 1, 65'535));
  endpoint.port = static_cast<std::uint16_t>(port);
  endpoint.username = env.get_or("REDIS_USERNAME", "");
  endpoint.password = env.get_or("REDIS_PASSWORD", "");
  if (!endpoint.username.empty() && endpoint.password.empty()) {
    return fail(ErrorCode::kInvalidArgument, "REDIS_USERNAME is set without REDIS_PASSWORD");
  }
  settings.redis = std::move(endpoint);
  return {};
}

// REDIS_URL says everything; the original platform's four variables say the same without TLS.
Result<void> load_redis(const Env& env, Settings& settings) {
  settings.redis_ca_file = env.get_or("REDIS_CA_FILE", "");
  settings.redis_key_prefix = env.get_or("REDIS_KEY_PREFIX", settings.redis_key_prefix);
  if (settings.redis_key_prefix.find_first_of("{}") != std::string::npos) {
    return fail(ErrorCode::kInvalidArgument, "REDIS_KEY_PREFIX must have no braces in it");
  }
  const auto url = env.get("REDIS_URL");
  if (!url) return load_redis_parts(env, settings);
  auto endpoint = redis::parse_endpoint(*url);
  if (!endpoint) return fail(ErrorCode::kInvalidArgument, "REDIS_URL: " + endpoint.error().message);
  settings.redis = std::move(*endpoint);
  return {};
}

Result<void> load_logging(const Env& env, Settings& settings) {
  const auto level = to_lower(env.get_or("LOG_LEVEL", "info"));
  if (level == "debug") {
    settings.log_level = log::Level::kDebug;
  } else if (level == "warning") {
    settings.log_level = log::Level::kWarning;
  } else if (level == "error") {
    settings.log_level = log::Level::kError;
  } else if (level != "info") {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("LOG_LEVEL is '{}'; it must be debug, info, warning or error", level));
  }
  const auto format = to_lower(env.get_or("LOG_FORMAT", "text"));
  if (format != "text" && format != "json") {
    return fail(ErrorCode::kInvalidArgument, fmt::format("LOG_FORMAT is '{}'; it must be text or json", format));
  }
  settings.log_format = format == "json" ? log::Format::kJson : log::Format::kText;
  return {};
}

Result<void> load_server(const Env& env, Settings& settings) {
  settings.data_folder = default_data_folder(env);
  settings.database_url = env.get_or("DATABASE_URL", "");
  if (!settings.database_url.empty() && !db::pg::is_postgres_url(settings.database_url)) {
    return fail(
        ErrorCode::kInvalidArgument,
        "DATABASE_URL must begin with postgres:// or postgresql://; without it Pixmill keeps SQLite in its data "
        "folder");
  }
  settings.public_base_url = env.get_or("PUBLIC_BASE_URL", "");
  while (settings.public_base_url.ends_with('/')) settings.public_base_url.pop_back();
  settings.frontend_url = env.get_or("FRONTEND_URL", settings.frontend_url);
  PIXMILL_TRY(settings.cors_allow_all, env.flag("CORS_ALLOW_ALL", false));
  const auto hosts = env.get_or("ALLOWED_HOSTS", "");
  for (const auto part : split(hosts, ',')) {
    if (!trim(part).empty()) settings.allowed_hosts.emplace_back(to_lower(trim(part)));
  }
  settings.default_recipe = env.get_or("DEFAULT_RECIPE", settings.default_recipe);
  // Whether a name stands for anything is known where the recipes lie.
  const bool is_name = jobs::parse_recipe_reference(settings.default_recipe).has_value();
  if (const auto recipe = image::parse_recipe(settings.default_recipe); !is_name && !recipe) {
    return fail(ErrorCode::kInvalidArgument, "DEFAULT_RECIPE: " + recipe.error().message);
  }
  PIXMILL_TRY(const auto free_min, env.integer("PIXMILL_DISK_FREE_MIN_BYTES",
                                               static_cast<std::int64_t>(settings.disk_free_bytes_min), 0, 1LL << 50));
  settings.disk_free_bytes_min = static_cast<std::uint64_t>(free_min);
  PIXMILL_TRY(const bool fsync, env.flag("PIXMILL_FSYNC", false));
  settings.durability = fsync ? storage::Durability::kPower : storage::Durability::kProcess;
  return {};
}

}  // namespace

Result<void> set_keep(std::string_view text, std::string_view name, Settings& settings) {
  const auto keep = jobs::parse_keep(text);
  if (!keep) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("{} is '{}'; {}", name, text, keep.error().message));
  }
  settings.remover.keep = *keep == jobs::kForever ? std::nullopt : *keep;
  return {};
}

std::string default_data_folder(const Env& env) { return env.get_or("TMP_OUTPUT_PATH", Settings{}.data_folder); }

Result<Settings> load_settings(const Env& env) {
  Settings settings;
  PIXMILL_RETURN_IF_ERROR(load_fetch(env, settings));
  PIXMILL_RETURN_IF_ERROR(load_engines(env, settings));
  PIXMILL_RETURN_IF_ERROR(load_worker(env, settings));
  PIXMILL_RETURN_IF_ERROR(load_remover(env, settings));
  PIXMILL_RETURN_IF_ERROR(load_webhooks(env, settings));
  PIXMILL_RETURN_IF_ERROR(load_redis(env, settings));
  PIXMILL_RETURN_IF_ERROR(load_logging(env, settings));
  PIXMILL_RETURN_IF_ERROR(load_server(env, settings));
  PIXMILL_TRY(settings.s3, load_s3_settings(env));
  return settings;
}

}  // namespace pixmill::app
