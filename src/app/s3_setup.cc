#include "app/s3_setup.h"

#include <fmt/format.h>

#include <utility>

#include "base/text.h"

namespace pixmill::app {

Result<std::shared_ptr<storage::S3Bucket>> make_s3_bucket(const S3Settings& settings, const std::string& bucket,
                                                          const Clock& clock) {
  if (settings.credentials.access_key_id.empty() || settings.credentials.secret_access_key.empty()) {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("the bucket {} needs credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", bucket));
  }
  const storage::S3AddressOptions address{
      .bucket = bucket, .region = settings.region, .endpoint = settings.endpoint, .style = settings.style};
  auto made = storage::S3Bucket::create(address, settings.credentials, clock);
  if (made) return made;
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("AWS_STORAGE_BUCKET_NAME, AWS_REGION, AWS_ENDPOINT_URL: {}", made.error().message));
}

Result<S3Network> make_s3_network(Executor executor, const Settings& settings) {
  S3Network network;
  http::ResolverOptions names;
  names.servers = settings.dns_servers;
  PIXMILL_TRY(network.resolver, http::Resolver::create(executor, std::move(names)));
  http::ClientOptions client;
  client.ca_file = settings.s3.ca_file;
  client.connections_max = settings.s3.connections;
  client.connections_per_host_max = settings.s3.connections;
  PIXMILL_TRY(network.client, http::Client::create(executor, std::move(client)));
  return network;
}

storage::S3StoreOptions s3_store_options(const S3Settings& settings, const std::string& key_prefix) {
  storage::S3StoreOptions options;
  options.key_prefix = key_prefix;
  options.cache_control = settings.cache_control;
  options.patience.deadline = settings.timeout;
  return options;
}

std::function<std::string(const std::string& key)> s3_links(const S3Settings& settings,
                                                            std::shared_ptr<storage::S3Bucket> bucket,
                                                            const std::string& key_prefix) {
  switch (settings.links) {
    case S3Links::kServer:
      return nullptr;
    case S3Links::kPresigned:
      return [bucket = std::move(bucket), key_prefix, valid_for = settings.link_valid_for](const std::string& key) {
        return bucket->presigned_url(key_prefix + key, valid_for);
      };
    case S3Links::kPublic:
      break;
  }
  if (settings.public_url.empty()) {
    return [bucket = std::move(bucket), key_prefix](const std::string& key) {
      return bucket->address().url(key_prefix + key);
    };
  }
  return [base = settings.public_url, key_prefix](const std::string& key) {
    return fmt::format("{}/{}", base, percent_encode_path(key_prefix + key));
  };
}

}  // namespace pixmill::app
