// Closes the sandbox around the calling process: no new privileges, no capabilities, no core dumps, bounded memory (and
// no new shared one, which no limit counts), first in line when the machine runs out of it, Landlock where the kernel
// has it, and a seccomp allow-list for every thread there is or will be. What remains is computing, memory, threads and
// the descriptors that are open.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/error.h"

namespace pixmill::engine {

struct SandboxState {
  int landlock_abi = 0;  // 0: the kernel has none
};

// Dies with its parent from here on; terminal signals go to the parent alone. Errors: kInternal when `parent` is no
// longer the parent.
[[nodiscard]] Result<void> tie_to_parent(pid_t parent);

// Closes all descriptors from `first` on.
void close_descriptors_from(int first);

// The number of this process' threads; -1 when it cannot be told. Works until lock_down().
[[nodiscard]] int count_threads();

// For good, and only while the process has a single thread. Errors: kInternal, naming the step that failed; the process
// must then exit, for the sandbox may be half closed.
[[nodiscard]] Result<SandboxState> lock_down(std::uint64_t memory_bytes_max);

}  // namespace pixmill::engine
