// How the process shares its file descriptors out, so that clients that take many cannot keep the rest from working.
#pragma once

#include <cstdint>

namespace pixmill::app {

// Raises this process's own limit to the most that it may have (RLIMIT_NOFILE, soft to hard), for 1,024 is the usual
// default. Returns what the limit is then.
[[nodiscard]] std::uint64_t raise_descriptor_limit();

struct DescriptorShares {
  std::uint32_t server_connections = 0;  // of clients of the HTTP interface; each may have a file open besides
  std::uint32_t client_connections = 0;  // to origins and webhook receivers
};
// `engines` as in engine::PoolOptions: 0 is one per core.
[[nodiscard]] DescriptorShares share_descriptors(std::uint64_t limit, std::uint32_t engines);

}  // namespace pixmill::app
