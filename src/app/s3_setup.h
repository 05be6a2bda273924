// What it takes to use a bucket, put together: the identity, connections that are not those which fetch what users
// name, and the links that results get.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "app/settings.h"
#include "base/error.h"
#include "base/metrics.h"
#include "base/task.h"
#include "http/client.h"
#include "http/resolver.h"
#include "storage/s3_bucket.h"
#include "storage/s3_store.h"

namespace pixmill::app {

// `clock` must outlive it. Errors: kInvalidArgument naming the variable that is missing or wrong.
[[nodiscard]] Result<std::shared_ptr<storage::S3Bucket>> make_s3_bucket(const S3Settings& settings,
                                                                        const std::string& bucket, const Clock& clock);

struct S3Network {
  std::unique_ptr<http::Client> client;
  std::unique_ptr<http::Resolver> resolver;
  [[nodiscard]] storage::S3Parts parts(Metrics& metrics) const {
    return {.client = *client, .resolver = *resolver, .metrics = metrics};
  }
};
// The address policy for pictures does not hold here: the operator's own server may well be a private one. Errors:
// those of Client and Resolver.
[[nodiscard]] Result<S3Network> make_s3_network(Executor executor, const Settings& settings);

// Of results below `key_prefix`.
[[nodiscard]] storage::S3StoreOptions s3_store_options(const S3Settings& settings, const std::string& key_prefix);

// How results link to an object below `key_prefix`; null when they link to our own server. Thread-safe.
[[nodiscard]] std::function<std::string(const std::string& key)> s3_links(const S3Settings& settings,
                                                                          std::shared_ptr<storage::S3Bucket> bucket,
                                                                          const std::string& key_prefix);

// Where things that are nobody's results lie, below the prefix: no link leads there.
inline constexpr std::string_view kS3InternalPrefix = ".pixmill-internal/";

}  // namespace pixmill::app
