// Everything that can be set, read once at start: defaults, then the environment (and .env), then the command line on
// top. docs/OPERATIONS.md lists the variables; a CTest compares that list with this file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/s3_settings.h"
#include "base/env.h"
#include "base/error.h"
#include "base/log.h"
#include "engine/pool.h"
#include "fetch/fetcher.h"
#include "fetch/host_limits.h"
#include "redis/endpoint.h"
#include "storage/local_store.h"
#include "webhook/deliverer.h"
#include "worker/reconciler.h"
#include "worker/remover.h"
#include "worker/worker.h"

namespace pixmill::app {

struct Settings {
  fetch::FetchOptions fetch;
  fetch::HostLimitOptions hosts;
  std::string allow;        // FETCH_ALLOW: CIDRs besides the public addresses
  std::string dns_servers;  // PIXMILL_DNS_SERVERS; "": as the system says
  std::string ca_file;      // FETCH_CA_FILE: more trusted roots, PEM
  engine::PoolOptions engines;
  worker::WorkerOptions worker;
  worker::RemoverOptions remover;
  webhook::DelivererOptions webhooks;
  worker::ReconcilerOptions reconciler;
  S3Settings s3;
  std::uint64_t memory_bytes_max = 96ULL << 20;  // of source and result bytes in flight in this process
  std::uint64_t disk_free_bytes_min = 100ULL << 20;
  storage::Durability durability = storage::Durability::kProcess;
  log::Level log_level = log::Level::kInfo;
  log::Format log_format = log::Format::kText;

  std::optional<redis::Endpoint> redis;      // REDIS_URL, or REDIS_HOST and its kin; nullopt: none
  std::string redis_ca_file;                 // REDIS_CA_FILE: more trusted roots for rediss://, PEM
  std::string redis_key_prefix = "pixmill";  // REDIS_KEY_PREFIX: what belongs to one fleet

  // serve
  std::string host = "127.0.0.1";
  std::uint16_t port = 8000;
  std::string data_folder = "./pixmill-data";
  bool works = true;            // serve --workers 0: others of the fleet do the items
  std::string database_url;     // DATABASE_URL, of PostgreSQL; "": SQLite in the data folder
  std::string public_base_url;  // "" : http://host:port
  std::string frontend_url = "http://localhost:3000";
  bool cors_allow_all = false;
  std::vector<std::string> allowed_hosts;   // "*": any Host header; empty: this machine's own
  std::string default_recipe = "compress";  // of /imgproc/upload
  std::string webhook_secret;               // WEBHOOK_SECRET; "": made at first start
  std::string master_key;                   // PIXMILL_MASTER_KEY, base64 of 32 bytes; "": <data>/master.key
};

// TMP_OUTPUT_PATH, or what it is without.
[[nodiscard]] std::string default_data_folder(const Env& env);

// How long jobs are kept, by `name`: PIXMILL_KEEP or --keep. Errors: kInvalidArgument, naming it.
[[nodiscard]] Result<void> set_keep(std::string_view text, std::string_view name, Settings& settings);

// Errors: kInvalidArgument, naming the variable, its value and what is allowed.
[[nodiscard]] Result<Settings> load_settings(const Env& env);

}  // namespace pixmill::app
