#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>
#include <utility>

#include "app/doctor.h"
#include "app/fleet.h"
#include "app/s3_setup.h"
#include "app/secrets.h"
#include "base/text.h"
#include "db/postgres.h"
#include "jobs/postgres_store.h"
#include "redis/connection.h"
#include "redis/server_info.h"
#include "storage/s3_store.h"

namespace pixmill::app::doctor {

namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr milliseconds kRedisPatience{5'000};
constexpr milliseconds kBucketPatience{10'000};
constexpr std::int64_t kConnectionsPerProcess = 5;
constexpr std::int64_t kOldTransactionSeconds = 3'600;
constexpr double kRedisVersionMin = 6.2;

milliseconds since(SteadyClock::time_point begun) {
  return std::chrono::duration_cast<milliseconds>(SteadyClock::now() - begun);
}

std::int64_t number(const db::pg::Rows& rows, int column) {
  std::int64_t value = 0;
  const std::string text = rows.empty() ? "" : rows[0].text(column);
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

struct DatabaseFacts {
  std::string version;
  bool autovacuum = true;
  std::int64_t connections_free = 0;
  std::int64_t oldest_transaction_seconds = 0;
  milliseconds answered_in{0};
  milliseconds ahead{0};  // our clock, of the server's
};

Result<DatabaseFacts> ask_database(db::pg::Connection& connection) {
  const auto begun = SteadyClock::now();
  const auto ours = SystemClock().now();
  PIXMILL_TRY(const auto clock, connection.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"));
  DatabaseFacts facts;
  facts.answered_in = since(begun);
  facts.ahead = milliseconds(to_unix_ms(ours) + facts.answered_in.count() / 2 - number(clock, 0));
  PIXMILL_TRY(
      const auto rows,
      connection.execute("SELECT current_setting('server_version'), current_setting('autovacuum') = 'on', "
                         "current_setting('max_connections')::bigint - (SELECT count(*) FROM pg_stat_activity), "
                         "coalesce((SELECT max(extract(epoch FROM now() - xact_start))::bigint FROM pg_stat_activity "
                         "WHERE state LIKE 'idle in transaction%' OR state = 'active'), 0)"));
  facts.version = rows[0].text(0);
  facts.autovacuum = rows[0].text(1) == "t";
  facts.connections_free = number(rows, 2);
  facts.oldest_transaction_seconds = number(rows, 3);
  return facts;
}

Finding judge(const Settings& settings, const DatabaseFacts& facts) {
  Finding finding{
      "database", Health::kOk,
      fmt::format("PostgreSQL {} at {}, answers in {} ms, {} connections free", facts.version,
                  db::pg::describe_url(settings.database_url), facts.answered_in.count(), facts.connections_free),
      ""};
  const auto warn = [&finding](const std::string& advice) {
    finding.health = Health::kWarning;
    finding.advice += (finding.advice.empty() ? "" : "; ") + advice;
  };
  if (!facts.autovacuum) warn("switch autovacuum on: claims become slower with every dead row");
  if (facts.connections_free < kConnectionsPerProcess) {
    warn(fmt::format("raise max_connections: each process of Pixmill takes {}", kConnectionsPerProcess));
  }
  if (facts.oldest_transaction_seconds > kOldTransactionSeconds) {
    warn(fmt::format("a transaction has been open for {}: end it, it keeps dead rows alive (pg_stat_activity)",
                     format_duration(facts.oldest_transaction_seconds)));
  }
  return finding;
}

// Who works, and what waits. Only once the schema is known to be right.
Result<Finding> look_at_work(db::pg::Connection& connection) {
  PIXMILL_TRY(
      const auto rows,
      connection.execute("SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                         "application_name = 'pixmill work'), (SELECT coalesce(sum(remaining - leased), 0) FROM "
                         "jobs WHERE state IN ('ingesting', 'running'))"));
  const auto processes = number(rows, 0), waiting = number(rows, 1);
  Finding finding{
      "fleet", Health::kOk,
      fmt::format("{} processes do pictures, {} pictures wait", format_count(processes), format_count(waiting)), ""};
  if (processes == 0 && waiting > 0) {
    finding.health = Health::kBroken;
    finding.advice = "nobody works on them: start `pixmill serve` or `pixmill work`";
  }
  return finding;
}

Finding look_at_agreement(const Settings& settings) {
  const auto key = find_master_key(settings.data_folder, settings.master_key);
  if (!key) {
    return {"secrets", Health::kWarning, "no master key here",
            "set the PIXMILL_MASTER_KEY of the fleet: the first server's data folder has it in master.key"};
  }
  const auto facts = ask_fleet(database_of(settings, *key));
  if (facts) {
    return {"secrets", Health::kOk,
            fmt::format("the fleet's master key; its links begin with {}, its results lie in {}", facts->base_url,
                        facts->results),
            ""};
  }
  if (facts.error().code == ErrorCode::kNotFound) return {"secrets", Health::kOk, "no server has started yet", ""};
  if (facts.error().code != ErrorCode::kInvalidArgument)
    return broken("secrets", facts.error(), "look at the database");
  return broken("secrets", "the database's secrets are sealed under another master key",
                "set the same PIXMILL_MASTER_KEY for every process on one database");
}

}  // namespace

std::vector<Finding> look_at_postgres(const Settings& settings, std::vector<ClockDifference>& clocks) {
  db::pg::ConnectOptions options;
  options.url = settings.database_url;
  options.application_name = "pixmill doctor";
  const std::string where = "look at DATABASE_URL, and whether the server runs and lets this machine and user in";
  std::vector<Finding> findings;
  auto connection = db::pg::Connection::open(options);
  if (!connection) return {broken("database", connection.error(), where)};
  const auto facts = ask_database(*connection);
  if (!facts) return {broken("database", facts.error(), where)};
  clocks.push_back({"PostgreSQL", facts->ahead});
  findings.push_back(judge(settings, *facts));

  const auto there =
      connection->execute(fmt::format("SELECT to_regclass('{}.migrations') IS NOT NULL", options.schema));
  if (there && there->size() == 1 && (*there)[0].text(0) == "f") {
    findings.push_back({"schema", Health::kOk, "none yet; `pixmill migrate` or the first start makes it", ""});
    return findings;
  }
  const auto schema = jobs::check_postgres_schema(options);
  if (!schema && schema.error().code == ErrorCode::kConflict) {
    findings.push_back(broken("schema", schema.error().message, "let every process be of one version"));
    return findings;
  }
  if (!schema) {
    findings.push_back(broken("schema", schema.error(), "look at the rights of DATABASE_URL's user"));
    return findings;
  }
  findings.push_back({"schema", Health::kOk, "as this version needs it", ""});
  findings.push_back(look_at_agreement(settings));
  const auto set = connection->execute(fmt::format("SET search_path = {}, pg_catalog", options.schema));
  if (!set) return findings;
  auto work = look_at_work(*connection);
  findings.push_back(work ? std::move(*work) : broken("fleet", work.error(), where));
  return findings;
}

Task<Finding> look_at_redis(Tools& tools) {
  const auto& settings = tools.settings;
  const auto executor = co_await asio::this_coro::executor;
  const std::string place = settings.redis->shown();
  const std::string advice = "look at REDIS_URL, and whether it runs; until then the database dispatches";
  redis::ConnectionOptions options;
  options.endpoint = *settings.redis;
  options.ca_file = settings.redis_ca_file;
  options.name = "doctor";
  const auto resolve = [&tools](std::string host) { return tools.resolver->resolve(std::move(host)); };
  const auto connection = redis::Connection::create(executor, options, resolve, tools.metrics);
  if (!connection) co_return broken("redis", connection.error(), advice);
  (*connection)->start();
  if (!co_await (*connection)->wait_until_up(kRedisPatience)) {
    const auto why = (*connection)->trouble();
    (*connection)->stop();
    co_return Finding{"redis", Health::kWarning,
                      fmt::format("{} is away: {}", place, why ? why->message : "it does not answer"), advice};
  }
  const auto begun = SteadyClock::now();
  redis::Command time(1, "TIME");
  const auto now = co_await (*connection)->send(std::move(time));
  const auto answered_in = since(begun);
  const auto info = co_await redis::ask_server_info(**connection);
  (*connection)->stop();
  if (now && now->kind == redis::Reply::Kind::kArray && now->elements.size() == 2) {
    const auto theirs = parse_integer(now->elements[0].text).value_or(0) * 1'000 +
                        parse_integer(now->elements[1].text).value_or(0) / 1'000;
    if (theirs > 0) tools.clocks.push_back({"Redis", milliseconds(to_unix_ms(SystemClock().now()) - theirs)});
  }
  Finding finding{"redis", Health::kOk, "", ""};
  finding.found = fmt::format("{} at {}, answers in {} ms{}", info ? info->version : "a server", place,
                              answered_in.count(), info ? ", " + info->memory_policy : "");
  if (info && info->may_evict()) {
    finding.health = Health::kWarning;
    finding.advice = "set maxmemory-policy to noeviction: Redis may drop hints and limits";
  }
  if (info && parse_decimal(info->version.substr(0, info->version.rfind('.'))).value_or(99) < kRedisVersionMin) {
    finding = broken("redis", finding.found, "Pixmill needs Redis 6.2 or later");
  }
  co_return finding;
}

Task<Finding> look_at_bucket(Tools& tools) {
  const auto& settings = tools.settings;
  static const SystemClock clock;
  const auto executor = co_await asio::this_coro::executor;
  const std::string place =
      fmt::format("{} at {}", settings.s3.bucket,
                  settings.s3.endpoint.empty() ? "AWS " + settings.s3.region : settings.s3.endpoint);
  const std::string advice =
      "look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_STORAGE_BUCKET_NAME, AWS_REGION and AWS_ENDPOINT_URL; the "
      "key needs s3:PutObject, GetObject and DeleteObject";
  auto bucket = make_s3_bucket(settings.s3, settings.s3.bucket, clock);
  if (!bucket) co_return broken("bucket", bucket.error(), advice);
  const auto network = make_s3_network(executor, settings);
  if (!network) co_return broken("bucket", network.error(), advice);
  storage::S3Patience patience;
  patience.deadline = kBucketPatience;
  const auto begun = SteadyClock::now();
  const auto checked = co_await storage::check_bucket(
      network->parts(tools.metrics), *bucket, fmt::format("{}{}", settings.s3.key_prefix, kS3InternalPrefix), patience);
  const auto took = since(begun);
  const auto offset = (*bucket)->clock_offset();
  if (!checked) co_return broken("bucket", fmt::format("{}: {}", place, checked.error().message), advice);
  tools.clocks.push_back({"S3", -offset});
  co_return Finding{"bucket", Health::kOk, fmt::format("{}: put, read and removed in {} ms", place, took.count()), ""};
}

}  // namespace pixmill::app::doctor
