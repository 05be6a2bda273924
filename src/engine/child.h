// The other side of the pool: the main function of `pixmill engine`. Never returns normally to the product's main loop.
#pragma once

#include <string>
#include <vector>

namespace pixmill::engine {

// argv after "engine". The socket is descriptor 3. Returns the exit code: 0 when the parent closed the socket,
// 70 when the sandbox could not be set up (said on stderr).
[[nodiscard]] int run_child(const std::vector<std::string>& arguments);

}  // namespace pixmill::engine
