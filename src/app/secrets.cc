#include "app/secrets.h"

#include <unistd.h>

#include "app/small_file.h"
#include "base/crypto.h"
#include "base/ids.h"
#include "base/text.h"
#include "base/time.h"

namespace pixmill::app {

namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kSecretFileMax = 4'096;
constexpr std::string_view kSecretContext = "webhook secret";
constexpr const char* kSecretSetting = "webhook_secret";

std::string key_path(const std::string& folder) { return folder + "/master.key"; }
std::string secret_path(const std::string& folder) { return folder + "/webhook.secret"; }

Result<std::string> decode_key(std::string_view text, const std::string& where) {
  auto key = from_base64(trim(text));
  if (!key || key->size() != kKeyBytes) {
    return fail(ErrorCode::kInvalidArgument, where + " must be base64 of exactly 32 bytes (openssl rand -base64 32)");
  }
  return std::move(*key);
}

}  // namespace

Result<std::string> find_master_key(const std::string& folder, const std::string& from_environment) {
  if (!from_environment.empty()) return decode_key(from_environment, "PIXMILL_MASTER_KEY");
  PIXMILL_TRY(const auto stored, read_file(key_path(folder), kSecretFileMax));
  return decode_key(stored, key_path(folder));
}

Result<std::string> load_master_key(const std::string& folder, const std::string& from_environment) {
  auto found = find_master_key(folder, from_environment);
  if (found || found.error().code != ErrorCode::kNotFound) return found;
  auto key = random_bytes(kKeyBytes);
  PIXMILL_RETURN_IF_ERROR(write_file(key_path(folder), to_base64(key) + "\n", 0600));
  return key;
}

bool has_webhook_secret(const std::string& folder) { return ::access(secret_path(folder).c_str(), F_OK) == 0; }

Result<WebhookSecret> read_webhook_secret(const std::string& folder, const std::string& master_key) {
  PIXMILL_TRY(const auto sealed, read_file(secret_path(folder), kSecretFileMax));
  const auto text = unseal(master_key, sealed, kSecretContext);
  if (!text) {
    return fail(ErrorCode::kInvalidArgument, secret_path(folder) +
                                                 " was sealed under another master key; restore PIXMILL_MASTER_KEY or "
                                                 "master.key, or give a new secret with --webhook-secret");
  }
  return WebhookSecret::parse(*text);
}

Result<WebhookSecret> load_webhook_secret(const std::string& folder, const std::string& master_key,
                                          const std::string& given) {
  if (given.empty()) {
    auto stored = read_webhook_secret(folder, master_key);
    if (stored || stored.error().code != ErrorCode::kNotFound) return stored;
  }
  auto secret = WebhookSecret::random();
  if (!given.empty()) {
    PIXMILL_TRY(secret, WebhookSecret::parse(given));
  }
  PIXMILL_RETURN_IF_ERROR(write_file(secret_path(folder), seal(master_key, secret.text(), kSecretContext), 0600));
  return secret;
}

Result<WebhookSecret> agree_on_webhook_secret(const jobs::PostgresOptions& database, const std::string& given) {
  auto secret = WebhookSecret::random();
  if (!given.empty()) {
    PIXMILL_TRY(secret, WebhookSecret::parse(given));
  }
  PIXMILL_TRY(const auto agreed,
              jobs::agree_on_setting(database, SystemClock(), kSecretSetting, secret.text(), !given.empty()));
  return WebhookSecret::parse(agreed);
}

Result<WebhookSecret> read_webhook_secret(const jobs::PostgresOptions& database) {
  PIXMILL_TRY(const auto stored, jobs::read_setting(database, kSecretSetting));
  if (stored) return WebhookSecret::parse(*stored);
  return fail(ErrorCode::kNotFound,
              "the database holds no webhook secret yet; it is made when `pixmill serve` first starts with it");
}

Result<std::string> load_server_id(const std::string& folder) {
  const auto path = folder + "/server.id";
  const auto stored = read_file(path, kSecretFileMax);
  if (stored) {
    if (const auto id = Uuid::parse(trim(*stored))) return id->text();
  } else if (stored.error().code != ErrorCode::kNotFound) {
    return stored;
  }
  const auto id = Uuid::random().text();
  PIXMILL_RETURN_IF_ERROR(write_file(path, id + "\n", 0600));
  return id;
}

}  // namespace pixmill::app
