// Objects of S3 as sources: s3://bucket/key, asked for with the operator's own key. Whoever can name such an address
// can read what that key can read, so only the buckets that the operator has named are open.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/s3_settings.h"
#include "base/time.h"
#include "fetch/fetcher.h"
#include "storage/s3_client.h"

namespace pixmill::app {

struct S3Sources {
  S3Settings settings;
  std::vector<std::string> buckets;  // jobs::kEveryBucket: any
  std::uint64_t bytes_max = 0;       // of one object
};

// Serves s3: addresses itself and hands everything else to `network`, which must outlive it, as must `parts` and
// `clock`. Errors of objects: kBlockedAddress for a bucket that is not open, kHttpPermanent with 404 or 403,
// kHttpTransient with 503, kTooLarge, kInvalidUrl.
[[nodiscard]] std::unique_ptr<fetch::Fetcher> make_s3_sources_fetcher(fetch::Fetcher& network, storage::S3Parts parts,
                                                                      const Clock& clock, S3Sources sources);

}  // namespace pixmill::app
