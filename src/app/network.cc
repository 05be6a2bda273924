#include "app/network.h"

#include <utility>

namespace pixmill::app {

Result<Network> make_network(Executor executor, const Settings& settings, fetch::OwnEndpoints own,
                             std::uint32_t connections_max, Metrics& metrics) {
  Network network;
  PIXMILL_TRY(auto policy, fetch::AddressPolicy::create(settings.allow, std::move(own)));
  network.policy = std::make_unique<fetch::AddressPolicy>(std::move(policy));
  http::ResolverOptions names;
  names.servers = settings.dns_servers;
  PIXMILL_TRY(network.resolver, http::Resolver::create(executor, std::move(names)));
  http::ClientOptions client;
  client.ca_file = settings.ca_file;
  client.connections_max = connections_max;
  client.connections_per_host_max = settings.hosts.per_host;
  client.may_connect = [allowed = network.policy.get()](const asio::ip::address& address, std::uint16_t port) {
    return allowed->allows(address, port);
  };
  PIXMILL_TRY(network.client, http::Client::create(executor, std::move(client)));
  auto limits = settings.hosts;
  limits.metrics = &metrics;
  network.hosts = std::make_unique<fetch::HostLimits>(executor, limits);
  network.fetcher = fetch::make_http_fetcher({.client = *network.client,
                                              .resolver = *network.resolver,
                                              .policy = *network.policy,
                                              .limits = *network.hosts,
                                              .metrics = metrics},
                                             settings.fetch);
  return network;
}

}  // namespace pixmill::app
