// The S3 store against OpenStack Swift, which verifies signatures, the hashes of bodies and clocks. Started by
// tests/support/with_servers.py, which says in the environment where the server is.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "storage/s3_store.h"
#include "tests/conformance/blob_store_suite.h"
#include "tests/support/awkward_keys.h"
#include "tests/support/run_task.h"
#include "tests/support/temp_folder.h"

namespace pixmill::storage {
namespace {

using ::testing::HasSubstr;

std::string setting(const std::string& name) {
  const char* value = std::getenv(("TEST_" + name).c_str());
  if (value == nullptr) {
    std::fprintf(stderr, "TEST_%s is not set: start this with tests/support/with_servers.py swift\n", name.c_str());
    std::abort();
  }
  return value;
}

AwsCredentials credentials() {
  return {.access_key_id = setting("AWS_ACCESS_KEY_ID"), .secret_access_key = setting("AWS_SECRET_ACCESS_KEY")};
}

S3AddressOptions address() {
  return {.bucket = setting("AWS_STORAGE_BUCKET_NAME"),
          .region = setting("AWS_REGION"),
          .endpoint = setting("AWS_ENDPOINT_URL")};
}

class ShiftedClock final : public Clock {
 public:
  explicit ShiftedClock(milliseconds shift) : shift_(shift) {}
  TimePoint now() const override { return SystemClock().now() + shift_; }

 private:
  milliseconds shift_;
};

// A loop of its own, so that it can stand behind every store of a test, and what the store needs.
struct World {
  explicit World(milliseconds clock_shift = milliseconds(0)) : clock(clock_shift) {}

  // Below a prefix that nobody else uses.
  std::unique_ptr<BlobStore> open(asio::io_context& io, const S3AddressOptions& where, AwsCredentials who,
                                  S3StoreOptions options = {}) {
    if (!client) {
      client = http::Client::create(io.get_executor(), {}).value();
      http::ResolverOptions names;
      names.hosts_file = hosts_file;
      resolver = http::Resolver::create(io.get_executor(), std::move(names)).value();
    }
    bucket = S3Bucket::create(where, std::move(who), clock).value();
    if (options.key_prefix.empty()) options.key_prefix = Uuid::random().text() + "/";
    prefix = options.key_prefix;
    const S3Parts parts{.client = *client, .resolver = *resolver, .metrics = metrics};
    return make_s3_store(parts, bucket, std::move(options));
  }

  ShiftedClock clock;
  Metrics metrics;
  std::string hosts_file = "/etc/hosts";
  std::string prefix;
  std::unique_ptr<http::Client> client;
  std::unique_ptr<http::Resolver> resolver;
  std::shared_ptr<S3Bucket> bucket;
};

BlobStoreFixture make_fixture(asio::io_context& io, S3StoreOptions options) {
  auto world = std::make_shared<World>();
  auto store = world->open(io, address(), credentials(), std::move(options));
  return {.keeper = std::move(world), .store = std::move(store)};
}

INSTANTIATE_TEST_SUITE_P(Swift, BlobStoreSuite, ::testing::Values(BlobStoreFactory([](asio::io_context& io) {
                           return make_fixture(io, {});
                         })));
// Parts of 5 MiB are the smallest that servers take.
INSTANTIATE_TEST_SUITE_P(SwiftInParts, BlobStoreSuite, ::testing::Values(BlobStoreFactory([](asio::io_context& io) {
                           return make_fixture(io, {.multipart_above_bytes = 1u << 20, .part_bytes = 5u << 20});
                         })));

class Swift : public ::testing::Test {
 protected:
  std::unique_ptr<BlobStore> open() { return world_.open(io_, address(), credentials()); }
  Result<void> put(BlobStore& store, const std::string& key, std::string_view bytes) {
    return testing::run_task(io_, store.put(key, bytes, "image/jpeg"));
  }

  // What anybody's HTTP client gets.
  Result<http::ClientResponse> get(const std::string& url) {
    const auto scheme_end = url.find("://") + 3;
    const auto path = url.find('/', scheme_end);
    const std::string authority = url.substr(scheme_end, path - scheme_end);
    const auto colon = authority.find(':');
    http::ClientRequest request;
    request.scheme = "http";
    request.host = authority.substr(0, colon);
    request.port = static_cast<std::uint16_t>(std::stoi(authority.substr(colon + 1)));
    request.target = url.substr(path);
    request.addresses.push_back(asio::ip::make_address("127.0.0.1"));
    return testing::run_task(io_, world_.client->send(std::move(request)));
  }

  asio::io_context io_;
  World world_;
};

// The body and, behind a line break, the status that curl gets, which knows nothing of how the address was made.
std::string curl(const std::string& url) {
  const std::string command = fmt::format("curl -sS -g --path-as-is --noproxy '*' -w '\\n%{{http_code}}' '{}'", url);
  FILE* pipe = ::popen(command.c_str(), "r");
  PIXMILL_CHECK(pipe != nullptr);
  std::string answer;
  std::array<char, 4'096> buffer;
  while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe))
    answer.append(buffer.data(), count);
  ::pclose(pipe);
  return answer;
}

TEST_F(Swift, ServesPresignedAddressesOfAwkwardKeys) {
  const auto store = open();
  for (const auto& key : testing::awkward_keys()) {
    ASSERT_TRUE(put(*store, key, "bytes of " + key)) << key;
    const auto url = world_.bucket->presigned_url(world_.prefix + key, std::chrono::minutes(5));
    EXPECT_EQ(curl(url), "bytes of " + key + "\n200");
  }
}

TEST_F(Swift, RefusesPresignedAddressesThatWereChanged) {
  const auto store = open();
  ASSERT_TRUE(put(*store, "a", "a") && put(*store, "b", "b"));
  auto url = world_.bucket->presigned_url(world_.prefix + "a", std::chrono::minutes(5));
  EXPECT_EQ(get(url)->status, 200);
  EXPECT_NE(get(world_.bucket->address().url(world_.prefix + "a"))->status, 200) << "without a signature";
  url.replace(url.find("/a?") + 1, 1, "b");
  EXPECT_EQ(get(url)->status, 403);
}

TEST_F(Swift, RefusesPresignedAddressesWhoseTimeIsOver) {
  World past(-std::chrono::hours(2));
  const auto elsewhere = past.open(io_, address(), credentials());
  const auto store = open();
  EXPECT_EQ(get(past.bucket->presigned_url("x", std::chrono::minutes(5)))->status, 403);
}

TEST_F(Swift, KeepsHeaders) {
  const auto store = world_.open(io_, address(), credentials(), {.key_prefix = {}, .cache_control = "max-age=86400"});
  ASSERT_TRUE(testing::run_task(io_, store->put("t.csv", "a,b", "text/csv")));
  const auto answer = get(world_.bucket->presigned_url(world_.prefix + "t.csv", std::chrono::minutes(5)));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->headers.get("Cache-Control"), "max-age=86400");
  EXPECT_EQ(answer->headers.get("Content-Disposition"), "attachment");
  EXPECT_THAT(std::string(answer->headers.get("Content-Type").value_or("")), HasSubstr("text/csv"));
}

TEST_F(Swift, IsReachedByAHostNameOfTheBuckets) {
  testing::TempFolder folder;
  world_.hosts_file = folder.file("hosts");
  const std::string domain = setting("AWS_STORAGE_DOMAIN");
  auto where = address();
  std::ofstream(world_.hosts_file) << "127.0.0.1 " << where.bucket << "." << domain << "\n";
  const auto port = where.endpoint.substr(where.endpoint.rfind(':'));
  where.endpoint = "http://" + domain + port;
  where.style = S3Style::kVirtualHost;
  const auto store = world_.open(io_, where, credentials());
  const std::string key = "caf\xc3\xa9 +/100%.jpg";
  ASSERT_TRUE(put(*store, key, "abc"));
  EXPECT_EQ(testing::run_task(io_, store->get(key, 3)), "abc");
  ASSERT_TRUE(testing::run_task(io_, store->copy(key, "copy")));
  EXPECT_EQ(testing::run_task(io_, store->list("", "", 10))->size(), 2u);
  EXPECT_EQ(get(world_.bucket->presigned_url(world_.prefix + key, std::chrono::minutes(5)))->body, "abc");
}

TEST_F(Swift, RefusesAWrongSecretAndAnUnknownKey) {
  auto wrong = credentials();
  wrong.secret_access_key += "x";
  const auto store = world_.open(io_, address(), wrong);
  const auto refused = put(*store, "k", "x");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("AWS_SECRET_ACCESS_KEY"));
  auto unknown = credentials();
  unknown.access_key_id = "test:nobody";
  const auto other = world_.open(io_, address(), unknown);
  EXPECT_EQ(put(*other, "k", "x").error().code, ErrorCode::kUnavailable);
}

TEST_F(Swift, RefusesAWrongRegionAndAMissingBucket) {
  auto elsewhere = address();
  elsewhere.region = "eu-west-1";
  const auto far = world_.open(io_, elsewhere, credentials());
  const auto refused = put(*far, "k", "x");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("AWS_REGION=us-east-1"));
  auto nowhere = address();
  nowhere.bucket = "no-such-bucket";
  const auto missing = world_.open(io_, nowhere, credentials());
  EXPECT_THAT(put(*missing, "k", "x").error().message, HasSubstr("no bucket 'no-such-bucket'"));
}

// Swift allows 5 minutes, AWS 15.
TEST_F(Swift, IsSignedForWithItsOwnTimeWhenOursIsWrong) {
  for (const auto shift : {std::chrono::hours(1), std::chrono::hours(-3)}) {
    World wrong(shift);
    const auto store = wrong.open(io_, address(), credentials());
    ASSERT_TRUE(put(*store, "k", "abc"));
    EXPECT_EQ(testing::run_task(io_, store->get("k", 3)), "abc");
    EXPECT_NEAR(static_cast<double>(wrong.bucket->clock_offset().count()),
                static_cast<double>(-milliseconds(shift).count()), 5'000);
  }
}

TEST_F(Swift, TakesLargeBlobsInParts) {
  const auto store = open();
  std::string bytes((17u << 20) + 1, 'x');
  for (std::size_t i = 0; i < bytes.size(); i += 4'099) bytes[i] = static_cast<char>(i >> 12);
  ASSERT_TRUE(put(*store, "large +", bytes));
  EXPECT_TRUE(testing::run_task(io_, store->get("large +", bytes.size())) == bytes);
  EXPECT_TRUE(testing::run_task(io_, store->copy("large +", "copy")));
  EXPECT_EQ(testing::run_task(io_, store->head("copy"))->bytes, bytes.size());
}

TEST_F(Swift, LeavesNoPartsBehind) {
  const auto store = world_.open(io_, address(), credentials(),
                                 {.key_prefix = {},
                                  .cache_control = {},
                                  .patience = {},
                                  .multipart_above_bytes = 1u << 20,
                                  .part_bytes = 1u << 20});
  // Parts below 5 MiB are refused when the upload is completed; it is given up then.
  EXPECT_EQ(put(*store, "k", std::string(3u << 20, 'x')).error().code, ErrorCode::kStoreFailed);
  EXPECT_EQ(testing::run_task(io_, store->head("k")).error().code, ErrorCode::kNotFound);
  const S3Parts parts{.client = *world_.client, .resolver = *world_.resolver, .metrics = world_.metrics};
  S3Client client(parts, world_.bucket, {});
  S3Call uploads{.query = {{"uploads", ""}, {"prefix", world_.prefix}}, .has_xml_answer = true};
  const auto under_way = testing::run_task(io_, client.call(std::move(uploads)));
  ASSERT_TRUE(under_way.has_value());
  EXPECT_THAT(under_way->body, HasSubstr("<ListMultipartUploadsResult"));
  EXPECT_THAT(under_way->body, ::testing::Not(HasSubstr("<UploadId>")));
}

}  // namespace
}  // namespace pixmill::storage
