// The installation's two secrets, kept beside its data or in its database: the master key and the webhook secret sealed
// under it.
// Blocking, at start.
#pragma once

#include <string>

#include "base/error.h"
#include "base/signature.h"
#include "jobs/postgres_store.h"

namespace pixmill::app {

// `from_environment` (base64 of 32 bytes), else <folder>/master.key, which is made with mode 0600 when it is missing.
// Errors: kInvalidArgument when the key is malformed, kIo.
[[nodiscard]] Result<std::string> load_master_key(const std::string& folder, const std::string& from_environment);

// The same, but none is made: it would be another than that of the processes to be joined. Errors: kNotFound, and as
// above.
[[nodiscard]] Result<std::string> find_master_key(const std::string& folder, const std::string& from_environment);

// `given` ("whsec_…", stored for the next start), else the one stored in <folder>/webhook.secret, else a new one,
// stored. Errors: kInvalidArgument when `given` is malformed or the stored one was sealed under another master key,
// kIo.
[[nodiscard]] Result<WebhookSecret> load_webhook_secret(const std::string& folder, const std::string& master_key,
                                                        const std::string& given);

// The same for all servers on one PostgreSQL: `given` replaces what is stored there, else the stored one, else a new
// one. The database is prepared. Errors: those of the database, kInvalidArgument as above.
[[nodiscard]] Result<WebhookSecret> agree_on_webhook_secret(const jobs::PostgresOptions& database,
                                                            const std::string& given);
// That one. Errors: kNotFound when no server has started there yet.
[[nodiscard]] Result<WebhookSecret> read_webhook_secret(const jobs::PostgresOptions& database);

// What a data folder is called in a database that several servers share; made at the first start there, and not a
// secret. Errors: kIo.
[[nodiscard]] Result<std::string> load_server_id(const std::string& folder);

[[nodiscard]] bool has_webhook_secret(const std::string& folder);

// The stored one, for `pixmill webhooks secret`. Errors: kNotFound, and as above.
[[nodiscard]] Result<WebhookSecret> read_webhook_secret(const std::string& folder, const std::string& master_key);

}  // namespace pixmill::app
