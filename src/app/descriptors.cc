#include "app/descriptors.h"

#include <sys/resource.h>

#include <algorithm>
#include <thread>

namespace pixmill::app {

namespace {

constexpr std::uint64_t kOwnFiles = 64;  // the database, the log, spools, names being resolved
constexpr std::uint64_t kPerEngine = 8;  // its process, socket, standard error and shared memory
constexpr std::uint64_t kPerServerConnection = 2;
constexpr std::uint32_t kServerConnectionsMax = 10'000;
constexpr std::uint32_t kClientConnectionsMax = 512;
constexpr std::uint32_t kConnectionsMin = 16;  // below this nothing would work at all

}  // namespace

std::uint64_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1'024;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : before;
}

DescriptorShares share_descriptors(std::uint64_t limit, std::uint32_t engines) {
  const std::uint64_t processes = 1 + (engines > 0 ? engines : std::max(1u, std::thread::hardware_concurrency()));
  const std::uint64_t fixed = kOwnFiles + kPerEngine * processes;
  const std::uint64_t left = limit > fixed ? limit - fixed : 0;
  const auto client = std::clamp<std::uint64_t>(left / 3, kConnectionsMin, kClientConnectionsMax);
  const std::uint64_t rest = left > client ? left - client : 0;
  const auto server = std::clamp<std::uint64_t>(rest / kPerServerConnection, kConnectionsMin, kServerConnectionsMax);
  return {.server_connections = static_cast<std::uint32_t>(server),
          .client_connections = static_cast<std::uint32_t>(client)};
}

}  // namespace pixmill::app
