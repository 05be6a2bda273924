#include "app/s3_sources.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "app/s3_setup.h"
#include "jobs/table_reader.h"

namespace pixmill::app {

namespace {

constexpr std::size_t kClientsMax = 256;  // buckets that are remembered

// As the user of a picture sees it: the address is at fault, or its server.
Error source_error(storage::S3Failure failure, const std::string& url) {
  Error error = std::move(failure.error);
  const auto become = [&](ErrorCode code, int http_status) {
    error.code = code;
    error.http_status = http_status;
  };
  switch (failure.fault) {
    case storage::S3Fault::kNotFound:
      become(ErrorCode::kHttpPermanent, 404);
      error.message = fmt::format("{}: there is no such object", url);
      break;
    case storage::S3Fault::kRefused:
    case storage::S3Fault::kClockWrong:
      become(ErrorCode::kHttpPermanent, 403);
      break;
    case storage::S3Fault::kAgain:
      become(ErrorCode::kHttpTransient, 503);
      break;
    default:
      if (error.code == ErrorCode::kStoreFailed) become(ErrorCode::kHttpPermanent, 400);
      break;
  }
  return error;
}

class S3SourcesFetcher final : public fetch::Fetcher {
 public:
  S3SourcesFetcher(fetch::Fetcher& network, storage::S3Parts parts, const Clock& clock, S3Sources sources)
      : network_(network), parts_(parts), clock_(clock), sources_(std::move(sources)) {}

  Task<Result<fetch::Fetched>> get(std::string url, const std::vector<fetch::HostHeader>& headers,
                                   ByteBudget::Grant* memory, const fetch::SourceVersion* known) override {
    if (!url.starts_with("s3://")) co_return co_await network_.get(std::move(url), headers, memory, known);
    PIXMILL_CO_TRY(auto object, storage::parse_s3_location(url));
    PIXMILL_CO_RETURN_IF_ERROR(check_open(object));
    PIXMILL_CO_TRY(const auto client, client_for(object.bucket));
    storage::S3Call call{
        .key = std::move(object.key), .answer_bytes_max = sources_.bytes_max, .memory = memory, .what = "source"};
    auto answer = co_await client->call(std::move(call));
    if (!answer) co_return std::unexpected(source_error(std::move(answer).error(), url));
    co_return fetch::Fetched{.bytes = std::move(answer->body), .final_url = std::move(url)};
  }

 private:
  using ClientPtr = std::shared_ptr<storage::S3Client>;

  Result<void> check_open(const storage::S3Location& object) const {
    const auto is_open = [&](const std::string& name) { return name == jobs::kEveryBucket || name == object.bucket; };
    if (std::ranges::none_of(sources_.buckets, is_open)) {
      return fail(ErrorCode::kBlockedAddress,
                  fmt::format("s3://{}: the bucket is not one of S3_SOURCES", object.bucket));
    }
    const bool is_internal =
        fmt::format("/{}", object.key).find(fmt::format("/{}", kS3InternalPrefix)) != std::string::npos;
    if (is_internal) return fail(ErrorCode::kBlockedAddress, "The object is one that Pixmill keeps for itself");
    if (object.key.empty()) return fail(ErrorCode::kInvalidUrl, "It names a bucket and no object in it");
    return {};
  }

  // Held by the task that uses it, so that forgetting the others does no harm.
  Result<ClientPtr> client_for(const std::string& bucket) {
    if (const auto found = clients_.find(bucket); found != clients_.end()) return found->second;
    PIXMILL_TRY(auto identity, make_s3_bucket(sources_.settings, bucket, clock_));
    storage::S3Patience patience;
    patience.deadline = sources_.settings.timeout;
    if (clients_.size() >= kClientsMax) clients_.clear();
    return clients_.emplace(bucket, std::make_shared<storage::S3Client>(parts_, std::move(identity), patience))
        .first->second;
  }

  fetch::Fetcher& network_;
  storage::S3Parts parts_;
  const Clock& clock_;
  S3Sources sources_;
  std::map<std::string, ClientPtr> clients_;
};

}  // namespace

std::unique_ptr<fetch::Fetcher> make_s3_sources_fetcher(fetch::Fetcher& network, storage::S3Parts parts,
                                                        const Clock& clock, S3Sources sources) {
  return std::make_unique<S3SourcesFetcher>(network, parts, clock, std::move(sources));
}

}  // namespace pixmill::app
