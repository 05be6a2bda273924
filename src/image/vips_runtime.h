// libvips in this process: started once, without threads, with every loader blocked but those of the formats Pixmill
// reads.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"

namespace pixmill::image {

// Starts libvips and makes it load what it loads lazily, so that a process can give up its file system afterwards.
// Starts no thread. May be called again; only the first call does something. Before other threads run. Errors:
// kInternal.
[[nodiscard]] Result<void> start_vips();

// The loaders that are not blocked, by libvips' names. Those that should be are a constant of this module.
[[nodiscard]] std::vector<std::string> open_loaders();
[[nodiscard]] std::vector<std::string> expected_loaders();

// libvips' own words about the last failure, which are then forgotten. For the log.
[[nodiscard]] std::string take_vips_message();

// The one funnel from libvips' errors to ours: kTooLarge when memory ran out, else kDecodeFailed. Whether the file was
// cut off is asked by the caller, who has its bytes.
[[nodiscard]] std::unexpected<Error> vips_failed();

// Runs `function` on a thread that libvips starts, and waits for it: what the sandbox denies must be denied there too.
// False when libvips ran it on the calling thread or not at all.
[[nodiscard]] bool run_on_vips_thread(const std::function<void()>& function);

// Gives free memory back to the system when there is more of it than `keep_bytes`, which the next picture is likely to
// want again.
void release_memory_above(std::size_t keep_bytes);

}  // namespace pixmill::image
