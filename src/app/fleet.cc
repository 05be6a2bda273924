#include "app/fleet.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "app/s3_setup.h"
#include "app/small_file.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"

namespace pixmill::app {

namespace {

namespace fs = std::filesystem;

constexpr const char* kBaseUrlSetting = "base_url";
constexpr const char* kResultsSetting = "results_place";
constexpr std::size_t kNameFileMax = 4'096;

// The first process makes the name. Of two that make one at the same time the later wins, and the earlier is told of
// the difference at its next start.
Result<std::string> folder_name(const std::string& folder) {
  const std::string inside = folder + "/.pixmill-internal";
  std::error_code error;
  fs::create_directories(inside, error);
  if (error) return fail(ErrorCode::kIo, fmt::format("{} cannot be made: {}", inside, error.message()));
  const std::string path = inside + "/name";
  const auto stored = read_file(path, kNameFileMax);
  if (stored) {
    if (const auto name = Uuid::parse(trim(*stored))) return name->text();
  } else if (stored.error().code != ErrorCode::kNotFound) {
    return stored;
  }
  const auto name = Uuid::random().text();
  PIXMILL_RETURN_IF_ERROR(write_file(path, name + "\n", 0644));
  return name;
}

}  // namespace

jobs::PostgresOptions database_of(const Settings& settings, const std::string& master_key) {
  jobs::PostgresOptions options;
  options.connect.url = settings.database_url;
  options.master_key = master_key;
  return options;
}

Result<std::string> results_place(const Settings& settings) {
  const auto& s3 = settings.s3;
  if (!s3.bucket.empty()) {
    return fmt::format("s3 {} {}/{}", s3.endpoint.empty() ? "AWS" : s3.endpoint, s3.bucket, s3.key_prefix);
  }
  PIXMILL_TRY(const auto name, folder_name(settings.data_folder + "/files"));
  return "folder " + name;
}

Result<void> tell_fleet(const jobs::PostgresOptions& database, const FleetFacts& facts) {
  const SystemClock clock;
  PIXMILL_TRY(const auto before, jobs::read_setting(database, kResultsSetting));
  if (before && *before != facts.results) {
    log::warning("results_elsewhere", {{"before", *before},
                                       {"now", facts.results},
                                       {"message", "results made before are not moved; all processes need one place"}});
  }
  for (const auto& [name, value] : {std::pair(kBaseUrlSetting, facts.base_url), {kResultsSetting, facts.results}}) {
    const auto said = jobs::agree_on_setting(database, clock, name, value, true);
    if (!said) return std::unexpected(said.error());
  }
  return {};
}

Result<FleetFacts> ask_fleet(const jobs::PostgresOptions& database) {
  PIXMILL_TRY(auto base_url, jobs::read_setting(database, kBaseUrlSetting));
  PIXMILL_TRY(auto results, jobs::read_setting(database, kResultsSetting));
  if (!base_url || !results) {
    return fail(ErrorCode::kNotFound,
                "no `pixmill serve` has started on this database yet: start one first, it says "
                "where results lie and how links begin");
  }
  return FleetFacts{.base_url = std::move(*base_url), .results = std::move(*results)};
}

jobs::Links make_links(const Settings& settings, const std::string& base_url,
                       const std::shared_ptr<storage::S3Bucket>& bucket) {
  jobs::Links links{.base_url = base_url, .files_base = base_url + "/files"};
  if (bucket) links.address_of = s3_links(settings.s3, bucket, settings.s3.key_prefix);
  return links;
}

}  // namespace pixmill::app
