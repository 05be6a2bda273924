#include "app/own_audit.h"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "app/fleet.h"
#include "app/s3_setup.h"
#include "app/secrets.h"
#include "app/server_address.h"
#include "base/folder_lock.h"
#include "base/metrics.h"
#include "base/time.h"
#include "jobs/job_audit.h"
#include "jobs/job_document.h"
#include "jobs/postgres_store.h"
#include "jobs/sqlite_store.h"
#include "storage/local_store.h"
#include "worker/sweeper.h"

namespace pixmill::app {

namespace {

namespace json = boost::json;

constexpr int kOkStatus = 200;
// A server that is asked reads as much as there is before it answers.
constexpr std::chrono::hours kAuditPatience{24};

// Everything an audit here needs, in the order in which it is taken down last to first.
class Here {
 public:
  explicit Here(const Settings& settings) : settings_(settings) {}
  Result<void> open_database();
  Result<void> open_blobs();
  Result<jobs::AuditReport> audit(const AuditRequest& request);

 private:
  [[nodiscard]] Result<jobs::Stores> open_stores();
  [[nodiscard]] Result<jobs::PostgresOptions> join_fleet();
  [[nodiscard]] jobs::EventBody event_body() const;
  Task<Result<jobs::AuditReport>> run(AuditRequest request);

  const Settings& settings_;
  SystemClock clock_;
  Metrics metrics_;
  asio::io_context io_{1};
  // How links of events begin that a repair writes; where nobody says, as a server has it that nothing was told.
  std::string base_url_ = settings_.public_base_url.empty() ? "http://127.0.0.1:8000" : settings_.public_base_url;
  std::shared_ptr<storage::S3Bucket> bucket_;
  S3Network network_;
  std::unique_ptr<storage::BlobStore> blobs_;
  jobs::Stores stores_;
};

// Of an event that a repair writes; it links to where the server is reached.
jobs::EventBody Here::event_body() const {
  const auto links = make_links(settings_, base_url_, bucket_);
  return [this, links](const std::string& type, const jobs::Job& job, const std::vector<jobs::Row>& rows) {
    return jobs::event_body(type, job, rows, clock_.now(), links);
  };
}

// What is looked for elsewhere would all be missing.
Result<jobs::PostgresOptions> Here::join_fleet() {
  const auto master_key = find_master_key(settings_.data_folder, settings_.master_key);
  if (!master_key) {
    return fail(ErrorCode::kInvalidArgument,
                "an audit needs the master key of the fleet: set PIXMILL_MASTER_KEY, or --data of the server that has "
                "master.key");
  }
  auto options = database_of(settings_, *master_key);
  PIXMILL_TRY(auto fleet, ask_fleet(options));
  PIXMILL_TRY(const auto place, results_place(settings_));
  if (place != fleet.results) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("the fleet keeps results in another place (theirs: {}; here: {}): set the same AWS_… and "
                            "S3_PREFIX, or --data of one of its servers",
                            fleet.results, place));
  }
  if (settings_.public_base_url.empty()) base_url_ = std::move(fleet.base_url);
  return options;
}

Result<jobs::Stores> Here::open_stores() {
  if (!settings_.database_url.empty()) {
    PIXMILL_TRY(auto options, join_fleet());
    options.connect.application_name = "pixmill audit";
    options.event_body = event_body();
    options.migrate = false;
    return jobs::open_postgres_store(clock_, std::move(options));
  }
  const std::string path = settings_.data_folder + "/pixmill.db";
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return fail(ErrorCode::kNotFound, fmt::format("there is no database in {}", settings_.data_folder));
  }
  PIXMILL_TRY(auto master_key, load_master_key(settings_.data_folder, settings_.master_key));
  jobs::SqliteOptions options{.path = path, .master_key = std::move(master_key), .event_body = event_body()};
  return jobs::open_sqlite_store(clock_, std::move(options));
}

Result<void> Here::open_database() {
  PIXMILL_TRY(stores_, open_stores());
  return {};
}

Result<void> Here::open_blobs() {
  if (settings_.s3.bucket.empty()) {
    PIXMILL_TRY(blobs_, storage::open_local_store(settings_.data_folder + "/files", settings_.durability));
    return {};
  }
  PIXMILL_TRY(bucket_, make_s3_bucket(settings_.s3, settings_.s3.bucket, clock_));
  PIXMILL_TRY(network_, make_s3_network(io_.get_executor(), settings_));
  blobs_ = storage::make_s3_store(network_.parts(metrics_), bucket_,
                                  s3_store_options(settings_.s3, settings_.s3.key_prefix));
  return {};
}

Task<Result<jobs::AuditReport>> Here::run(AuditRequest request) {
  // Opening a data folder gave back what a killed server held: its files are swept now, as the server would have.
  if (settings_.database_url.empty()) {
    co_await worker::sweep_interrupted(*stores_.jobs, *blobs_, std::move(stores_.interrupted));
  }
  const jobs::SweepParts parts{.store = *stores_.jobs, .upkeep = *stores_.upkeep, .blobs = *blobs_};
  jobs::AuditOptions options{.repair = request.repair, .deep = request.deep};
  co_return co_await jobs::audit_job(parts, request.job, std::move(options));
}

Result<jobs::AuditReport> Here::audit(const AuditRequest& request) {
  std::optional<Result<jobs::AuditReport>> report;
  asio::co_spawn(io_, run(request), [&](const std::exception_ptr& error, Result<jobs::AuditReport> done) {
    PIXMILL_CHECK(error == nullptr);
    report.emplace(std::move(done));
    io_.stop();
  });
  io_.run();
  PIXMILL_CHECK(report.has_value());
  return std::move(*report);
}

Result<std::string> audit_here(const Settings& settings, const AuditRequest& request) {
  Here here(settings);
  PIXMILL_RETURN_IF_ERROR(here.open_blobs());
  PIXMILL_RETURN_IF_ERROR(here.open_database());
  PIXMILL_TRY(const auto report, here.audit(request));
  return jobs::audit_document(report);
}

// The server's own words, with the code that makes the same exit code as without it.
Error error_of(const ServerAnswer& answer) {
  Error error{.code = ErrorCode::kInternal,
              .message = fmt::format("the server answered {}", answer.status),
              .detail = answer.body};
  if (answer.status == 404) error.code = ErrorCode::kNotFound;
  if (answer.status == 409) error.code = ErrorCode::kConflict;
  boost::system::error_code broken;
  const auto parsed = json::parse(answer.body, broken);
  const auto* object = broken ? nullptr : parsed.if_object();
  const auto* said = object == nullptr ? nullptr : object->if_contains("detail");
  if (said != nullptr && said->is_string()) error.message = std::string(said->as_string());
  return error;
}

Result<std::string> audit_there(const Settings& settings, const Error& locked, const AuditRequest& request) {
  if (locked.code != ErrorCode::kConflict) return std::unexpected(locked);
  const auto address = read_server_address(settings.data_folder);
  if (!address) return std::unexpected(locked);
  const auto target = fmt::format("/v1/jobs/{}/audit?repair={}&deep={}", request.job.text(), request.repair ? 1 : 0,
                                  request.deep ? 1 : 0);
  PIXMILL_TRY(auto answer, ask_server(*address, "POST", target, "", kAuditPatience));
  if (answer.status != kOkStatus) return std::unexpected(error_of(answer));
  return std::move(answer.body);
}

std::string text_of(const json::value& value) {
  return value.is_string() ? std::string(value.as_string()) : std::string();
}

std::uint64_t number_of(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value == nullptr || !value->is_number() ? 0 : value->to_number<std::uint64_t>();
}

std::string examples_of(const json::object& object) {
  std::string text;
  const auto* examples = object.if_contains("examples");
  if (examples == nullptr || !examples->is_array()) return text;
  for (const auto& example : examples->as_array()) text += "    " + text_of(example) + "\n";
  return text;
}

Result<json::object> parse_document(const std::string& document) {
  boost::system::error_code broken;
  auto parsed = json::parse(document, broken);
  if (!broken && parsed.is_object() && parsed.as_object().contains("clean")) return std::move(parsed.as_object());
  return fail(ErrorCode::kInternal, "the server's answer is no report of an audit", document);
}

std::string findings_text(const json::object& report) {
  std::string text;
  const auto* findings = report.if_contains("findings");
  if (findings == nullptr || !findings->is_array()) return text;
  for (const auto& finding : findings->as_array()) {
    const auto* object = finding.if_object();
    if (object == nullptr) continue;
    const auto* open = object->if_contains("open");
    const bool is_open = open != nullptr && open->is_bool() && open->as_bool();
    text += fmt::format("  {}: {} ({}{})\n", text_of(object->at("harm")), text_of(object->at("says")),
                        number_of(*object, "violations"), is_open ? " found" : " found and put right");
    text += examples_of(*object);
  }
  return text;
}

std::string files_text(const json::object& report) {
  const auto& files = report.at("files").as_object();
  const auto& orphans = report.at("orphans").as_object();
  std::string text =
      fmt::format("  files of results: {} looked at, {} missing, {} of another size, {} with other bytes\n",
                  number_of(files, "results"), number_of(files, "missing"), number_of(files, "wrong_size"),
                  number_of(files, "wrong_bytes"));
  text += examples_of(files);
  if (!orphans.at("looked").as_bool()) {
    return text + "  files without a result: not looked for, the job has not ended or shares its folder\n";
  }
  text += fmt::format("  files without a result: {} of {}, {} removed\n", number_of(orphans, "unnamed"),
                      number_of(orphans, "files"), number_of(orphans, "removed"));
  return text + examples_of(orphans);
}

}  // namespace

Result<std::string> audit_own_job(const Settings& settings, const AuditRequest& request) {
  if (!settings.database_url.empty()) return audit_here(settings, request);
  const auto lock = FolderLock::take(settings.data_folder);
  if (lock) return audit_here(settings, request);
  return audit_there(settings, lock.error(), request);
}

Result<bool> audit_is_clean(const std::string& document) {
  PIXMILL_TRY(const auto report, parse_document(document));
  return report.at("clean").is_bool() && report.at("clean").as_bool();
}

Result<std::string> audit_text(const std::string& document) {
  PIXMILL_TRY(const auto report, parse_document(document));
  std::string text =
      fmt::format("job {}: {}, generation {}, {} images\n", text_of(report.at("job")), text_of(report.at("state")),
                  number_of(report, "generation"), number_of(report, "images"));
  text += fmt::format("lost {}, doubled {}, orphan {}, dangling {}, other {}\n", number_of(report, "lost"),
                      number_of(report, "doubled"), number_of(report, "orphan"), number_of(report, "dangling"),
                      number_of(report, "other"));
  const auto& compared = report.at("sums_compared");
  if (compared.is_bool() && !compared.as_bool()) text += "  counters: not compared, the job changed all the time\n";
  return text + findings_text(report) + files_text(report);
}

}  // namespace pixmill::app
