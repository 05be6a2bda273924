// Tries, from inside an engine, what its sandbox must deny. Part of the start-up self-test; harmless where it is
// allowed.
#pragma once

#include <sys/types.h>

#include "engine/protocol.h"

namespace pixmill::engine {

// From the calling thread, a second one, and one that libvips starts. `parent` is the process to be signalled and
// traced.
[[nodiscard]] ProbedAnswer probe_sandbox(pid_t parent);

// True when every attempt was denied and no loader is open that should be blocked.
[[nodiscard]] bool all_denied(const ProbedAnswer& answer);

}  // namespace pixmill::engine
