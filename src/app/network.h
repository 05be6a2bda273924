// What it takes to fetch from the network, put together: policy, names, connections, hosts' turns, the fetcher. One per
// process; lives on the loop.
#pragma once

#include <cstdint>
#include <memory>

#include "app/settings.h"
#include "base/error.h"
#include "base/metrics.h"
#include "base/task.h"
#include "fetch/address_policy.h"
#include "fetch/fetcher.h"
#include "fetch/host_limits.h"
#include "http/client.h"
#include "http/resolver.h"

namespace pixmill::app {

struct Network {
  std::unique_ptr<fetch::AddressPolicy> policy;
  std::unique_ptr<http::Resolver> resolver;
  std::unique_ptr<http::Client> client;
  std::unique_ptr<fetch::HostLimits> hosts;
  std::unique_ptr<fetch::Fetcher> fetcher;
};

// `own`: addresses of this process that nothing may be fetched from. Errors: kInvalidArgument for settings that make no
// sense, kInternal.
[[nodiscard]] Result<Network> make_network(Executor executor, const Settings& settings, fetch::OwnEndpoints own,
                                           std::uint32_t connections_max, Metrics& metrics);

}  // namespace pixmill::app
