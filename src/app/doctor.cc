#include "app/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "app/descriptors.h"
#include "app/server_address.h"
#include "app/small_file.h"
#include "base/folder_lock.h"
#include "base/metrics.h"
#include "base/text.h"
#include "db/sqlite.h"
#include "engine/pool.h"
#include "http/resolver.h"
#include "storage/local_store.h"

namespace pixmill::app {

namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using doctor::broken;
using doctor::ClockDifference;
using doctor::Tools;

constexpr std::uint64_t kOpenFilesWanted = 4'096;
constexpr std::uintmax_t kQuickCheckBytesMax = 1ULL << 30;  // of a database; a larger one is only opened
constexpr milliseconds kClockTolerance{1'000};
constexpr const char* kNoSuchName = "pixmill-doctor.invalid";  // RFC 6761: never registered
constexpr int kReadyStatus = 200;
constexpr int kUnreadyStatus = 503;

Finding look_at_folder(const Settings& settings) {
  const std::string& folder = settings.data_folder;
  std::error_code error;
  if (!fs::exists(folder, error)) {
    return {.name = "data folder",
            .health = Health::kOk,
            .found = fmt::format("{} is not there yet, it is made at the first start", folder),
            .advice = ""};
  }
  const std::string probe = folder + "/.pixmill-doctor";
  const auto written = write_file(probe, "written by pixmill doctor\n", 0600);
  fs::remove(probe, error);
  if (!written) {
    return broken("data folder", written.error(), fmt::format("let this user write to {}, or set --data", folder));
  }
  const auto free = storage::free_bytes(folder);
  if (!free) return broken("data folder", free.error(), "look at the disk");
  const auto room = fmt::format("{}: {} free", folder, format_bytes(*free));
  if (*free >= settings.disk_free_bytes_min) return {"data folder", Health::kOk, room, ""};
  return broken(
      "data folder", room,
      fmt::format("free {} at least (PIXMILL_DISK_FREE_MIN_BYTES), or nothing is accepted and nothing claimed",
                  format_bytes(settings.disk_free_bytes_min)));
}

Finding look_at_open_files() {
  const auto limit = raise_descriptor_limit();
  Finding finding{"open files", Health::kOk, fmt::format("at most {}", format_count(limit)), ""};
  if (limit >= kOpenFilesWanted) return finding;
  finding.health = Health::kWarning;
  finding.advice = fmt::format("allow {} (ulimit -Hn, LimitNOFILE=): few clients and downloads fit at once",
                               format_count(kOpenFilesWanted));
  return finding;
}

// The checks of /readyz that fail, as its answer has them.
std::string failing_checks(const std::string& body) {
  boost::system::error_code error;
  const auto parsed = json::parse(body, error);
  const auto* object = error ? nullptr : parsed.if_object();
  const auto* checks = object == nullptr ? nullptr : object->if_contains("checks");
  if (checks == nullptr || !checks->is_array()) return "it does not say why";
  std::string failing;
  for (const auto& entry : checks->get_array()) {
    const auto* check = entry.if_object();
    if (check == nullptr || !check->contains("ok") || check->at("ok") == true) continue;
    const auto text = [check](const char* key) {
      const auto* value = check->if_contains(key);
      return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
    };
    failing += fmt::format("{}{}: {}", failing.empty() ? "" : "; ", text("name"), text("detail"));
  }
  return failing;
}

Finding look_at_server(const Settings& settings) {
  const auto address = read_server_address(settings.data_folder);
  if (!address) return {"server", Health::kOk, "none runs on this data folder", ""};
  const auto place = fmt::format("{}:{}", address->ip, address->port);
  const auto answer = ask_server(*address, "GET", "/readyz", "");
  if (!answer) {
    return {"server", Health::kWarning, fmt::format("{} was its address, and does not answer", place),
            "start `pixmill serve`; if it runs, look at its log"};
  }
  if (answer->status == kReadyStatus) return {"server", Health::kOk, fmt::format("ready at {}", place), ""};
  const std::string why =
      answer->status == kUnreadyStatus ? failing_checks(answer->body) : fmt::format("it answers {}", answer->status);
  return broken("server", fmt::format("not ready at {}: {}", place, why), "see the other lines, and its log");
}

Result<std::string> check_sqlite_file(const std::string& path, std::uintmax_t bytes) {
  static constexpr std::string_view kQuickCheck = "PRAGMA quick_check(1)";
  static constexpr std::string_view kFirstPage = "SELECT 'ok' FROM sqlite_schema LIMIT 1";
  PIXMILL_TRY(auto database, db::Database::open(path, db::OpenMode::kReader));
  auto& statement = database.prepare(bytes <= kQuickCheckBytesMax ? kQuickCheck : kFirstPage);
  PIXMILL_TRY(const bool row, statement.step());
  std::string said = row ? statement.text(0) : "it is empty";
  statement.reset();
  return said;
}

Finding look_at_sqlite(const Settings& settings) {
  const std::string path = settings.data_folder + "/pixmill.db";
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  if (error) return {"database", Health::kOk, "SQLite; the file is made at the first start", ""};
  const auto lock = FolderLock::take(settings.data_folder);
  if (!lock) return {"database", Health::kOk, fmt::format("SQLite, {}, in use", format_bytes(bytes)), ""};
  const std::string restore = "restore a backup (pixmill restore); keep the broken file for a look at it";
  const auto said = check_sqlite_file(path, bytes);
  if (!said) return broken("database", said.error(), restore);
  if (*said != "ok") return broken("database", fmt::format("SQLite, {}: {}", format_bytes(bytes), *said), restore);
  const std::string looked = bytes <= kQuickCheckBytesMax ? "whole" : "opened; too large for a quick check";
  return {"database", Health::kOk, fmt::format("SQLite, {}, {}", format_bytes(bytes), looked), ""};
}

std::string describe(const engine::SandboxReport& sandbox) {
  return fmt::format("seccomp {}, Landlock {}, untrusted loaders refused", sandbox.seccomp ? "on" : "off",
                     sandbox.landlock ? fmt::format("ABI {}", sandbox.landlock_abi) : "not in this kernel");
}

Task<Finding> look_at_engines(Tools& tools) {
  const auto executor = co_await asio::this_coro::executor;
  auto options = tools.settings.engines;
  const auto wanted = options.engines;
  options.executable = "/proc/self/exe";
  options.engines = 1;
  const std::string advice =
      "run without MemoryDenyWriteExecute=, with the seccomp and the libraries of a Debian package, and with the "
      "memory that PIXMILL_ENGINE_MEMORY_BYTES names";
  const auto pool = co_await engine::Pool::create(executor, options, tools.metrics);
  if (!pool) co_return broken("engines", pool.error(), advice);
  const engine::SandboxReport report = (*pool)->sandbox();
  (*pool)->stop();
  if (!report.problem.empty()) co_return broken("engines", report.problem, advice);
  const std::string count = wanted == 0 ? "one per core" : fmt::format("{}", wanted);
  co_return Finding{"engines", Health::kOk,
                    fmt::format("{}; every format read and written, {}", count, describe(report)), ""};
}

// A name that cannot be there: whoever says so is a name server.
Task<Finding> look_at_names(Tools& tools) {
  const std::string advice = "pictures by name cannot be fetched: look at /etc/resolv.conf, or set PIXMILL_DNS_SERVERS";
  const auto answer = co_await tools.resolver->resolve(kNoSuchName);
  if (answer) {
    co_return Finding{"name servers", Health::kWarning, fmt::format("one has an address for {}", kNoSuchName),
                      "a name server that invents addresses turns wrong URLs into wrong answers; use another"};
  }
  if (answer.error().code == ErrorCode::kDnsNotFound) co_return Finding{"name servers", Health::kOk, "they answer", ""};
  co_return Finding{"name servers", Health::kWarning, fmt::format("none answers: {}", answer.error().message), advice};
}

Finding look_at_clocks(const std::vector<ClockDifference>& clocks) {
  if (clocks.empty()) return {"clock", Health::kOk, "nothing here to compare it with", ""};
  std::string found;
  milliseconds most{0};
  for (const auto& [whose, ahead] : clocks) {
    found += fmt::format("{}{:+.1f} s against {}", found.empty() ? "" : ", ",
                         static_cast<double>(ahead.count()) / 1000.0, whose);
    most = std::max(most, milliseconds(std::abs(ahead.count())));
  }
  if (most <= kClockTolerance) return {"clock", Health::kOk, found, ""};
  return {"clock", Health::kWarning, found,
          "keep the machines' clocks together (NTP): leases, retries and signatures go by them"};
}

Finding look_at_links(const Settings& settings) {
  Finding finding{"links", Health::kOk, "", ""};
  if (!settings.s3.bucket.empty() && settings.s3.links == S3Links::kPublic) {
    finding.found = "to the bucket itself (S3_LINKS=public): its policy must let everybody read";
  } else if (!settings.s3.bucket.empty() && settings.s3.links == S3Links::kPresigned) {
    finding.found = fmt::format("presigned, for {}", format_duration(settings.s3.link_valid_for.count()));
  } else if (!settings.public_base_url.empty()) {
    finding.found = settings.public_base_url + "/files/…";
  } else {
    finding.found = "to the address that is listened on, which other machines may not reach";
    finding.health = Health::kWarning;
    finding.advice = "set PUBLIC_BASE_URL if others are to follow links of results and webhooks";
  }
  return finding;
}

class Examination {
 public:
  Examination(Tools& tools, const std::function<void(const Finding&)>& say) : tools_(tools), say_(say) {}

  Task<void> run() {
    const auto& settings = tools_.settings;
    add(look_at_folder(settings));
    add(look_at_open_files());
    add(look_at_server(settings));
    if (settings.database_url.empty()) {
      add(look_at_sqlite(settings));
    } else {
      for (auto& finding : doctor::look_at_postgres(settings, tools_.clocks)) add(std::move(finding));
    }
    const auto executor = co_await asio::this_coro::executor;
    http::ResolverOptions names;
    names.servers = settings.dns_servers;
    auto resolver = http::Resolver::create(executor, std::move(names));
    if (resolver) {
      tools_.resolver = std::move(*resolver);
      co_await ask_services();
    } else {
      add(broken("name servers", resolver.error(), "look at PIXMILL_DNS_SERVERS and /etc/resolv.conf"));
    }
    add(look_at_links(settings));
    add(co_await look_at_engines(tools_));
    add(look_at_clocks(tools_.clocks));
  }
  std::vector<Finding> take() { return std::move(findings_); }

 private:
  Task<void> ask_services() {
    if (tools_.settings.redis) add(co_await doctor::look_at_redis(tools_));
    if (!tools_.settings.s3.bucket.empty()) add(co_await doctor::look_at_bucket(tools_));
    add(co_await look_at_names(tools_));
  }
  void add(Finding finding) {
    say_(finding);
    findings_.push_back(std::move(finding));
  }

  Tools& tools_;
  const std::function<void(const Finding&)>& say_;
  std::vector<Finding> findings_;
};

}  // namespace

std::string_view to_text(Health health) {
  switch (health) {
    case Health::kOk:
      return "ok";
    case Health::kWarning:
      return "warning";
    case Health::kBroken:
      break;
  }
  return "broken";
}

Finding doctor::broken(std::string name, std::string found, std::string advice) {
  return {std::move(name), Health::kBroken, std::move(found), std::move(advice)};
}

Finding doctor::broken(std::string name, const Error& error, std::string advice) {
  const std::string detail = error.detail.empty() ? "" : fmt::format(" ({})", error.detail);
  return broken(std::move(name), error.message + detail, std::move(advice));
}

std::vector<Finding> examine(const Settings& settings, const std::function<void(const Finding&)>& say) {
  Tools tools{.settings = settings, .metrics = {}, .resolver = nullptr, .clocks = {}};
  Examination examination(tools, say);
  asio::io_context io(1);
  asio::co_spawn(io, examination.run(), [&io](const std::exception_ptr& error) {
    PIXMILL_CHECK(error == nullptr);
    io.stop();  // connections of its parts may still be closing
  });
  io.run();
  tools.resolver.reset();  // it belongs to the loop
  return examination.take();
}

}  // namespace pixmill::app
