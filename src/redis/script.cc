#include "redis/script.h"

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include "base/crypto.h"

namespace pixmill::redis {

namespace {

// Redis names scripts by SHA-1; nothing here rests on its strength.
std::string sha1_hex(const std::string& text) {
  std::array<std::uint8_t, 20> digest{};
  unsigned int bytes = 0;
  PIXMILL_CHECK(EVP_Digest(text.data(), text.size(), digest.data(), &bytes, EVP_sha1(), nullptr) == 1);
  return to_hex(digest);
}

Command call(std::string verb, const std::string& script, const std::vector<std::string>& keys,
             const std::vector<std::string>& arguments) {
  Command command;
  command.push_back(std::move(verb));
  command.push_back(script);
  command.push_back(std::to_string(keys.size()));
  command.insert(command.end(), keys.begin(), keys.end());
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

}  // namespace

Script::Script(std::string text) : text_(std::move(text)), digest_(sha1_hex(text_)) {}

Task<Result<Reply>> Script::run(Connection& connection, std::vector<std::string> keys,
                                std::vector<std::string> arguments) const {
  Command by_digest = call("EVALSHA", digest_, keys, arguments);
  PIXMILL_CO_TRY(auto reply, co_await connection.send(std::move(by_digest)));
  if (reply.is_error() && reply.refusal() == Refusal::kNoScript) {
    Command whole = call("EVAL", text_, keys, arguments);
    PIXMILL_CO_TRY(reply, co_await connection.send(std::move(whole)));
  }
  if (reply.is_error()) co_return std::unexpected(error_of(reply));
  co_return reply;
}

}  // namespace pixmill::redis
