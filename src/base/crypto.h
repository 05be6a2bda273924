// Digests, MACs, sealing and text encodings, over OpenSSL's libcrypto. Pure functions; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace pixmill {

using Sha256Digest = std::array<std::uint8_t, 32>;

[[nodiscard]] Sha256Digest sha256(std::string_view bytes);
[[nodiscard]] Sha256Digest hmac_sha256(std::string_view key, std::string_view message);

// Takes input in pieces; finish() may be called once.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(std::string_view bytes);
  [[nodiscard]] Sha256Digest finish();

 private:
  void* context_;  // EVP_MD_CTX
};

[[nodiscard]] std::string to_hex(std::span<const std::uint8_t> bytes);  // lower case
[[nodiscard]] std::string to_base64(std::string_view bytes);            // RFC 4648 section 4, padded
// nullopt for anything but padded standard base64.
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);

// `count` bytes from the kernel.
[[nodiscard]] std::string random_bytes(std::size_t count);

// Time independent of where the two differ; false at once when the sizes differ.
[[nodiscard]] bool constant_time_equal(std::string_view a, std::string_view b);

// AES-256-GCM with a random 96-bit nonce: nonce ‖ ciphertext ‖ tag (NIST SP 800-38D). `key` has 32 bytes.
// `context` is authenticated with it, so that a sealed value cannot be moved to another row.
[[nodiscard]] std::string seal(std::string_view key, std::string_view plain, std::string_view context);
// Errors: kInvalidArgument when key, context or bytes are not those of seal().
[[nodiscard]] Result<std::string> unseal(std::string_view key, std::string_view sealed, std::string_view context);

}  // namespace pixmill
