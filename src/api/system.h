// /healthz, /readyz, /metrics, /v1/system and the page at /. Lives on the loop.
#pragma once

#include <vector>

#include "api/context.h"
#include "http/router.h"

namespace pixmill::api {

class System {
 public:
  explicit System(Context& context);
  void add_routes(http::Router& router);

 private:
  struct Check {
    std::string name;
    bool ok = false;
    std::string detail = {};  // for people
    bool needed = true;       // false: worth knowing, but the process is ready all the same
  };

  [[nodiscard]] Task<http::Response> health(http::Request& request);
  [[nodiscard]] Task<http::Response> ready(http::Request& request);
  [[nodiscard]] Task<http::Response> metrics(http::Request& request);
  [[nodiscard]] Task<http::Response> system(http::Request& request);
  [[nodiscard]] Task<http::Response> front_page(http::Request& request);
  [[nodiscard]] Task<Check> check_store();
  [[nodiscard]] std::vector<Check> check_engines() const;
  [[nodiscard]] Check check_disk() const;

  Context& context_;
  PatientQuestion<jobs::JobStore::QueueDepth> depth_;
  Gauge pending_;
  Gauge leased_;
  // Sums alone: the names of hosts come from tables and would make as many series as there are.
  struct HostGauges {
    explicit HostGauges(Metrics& metrics);
    void set(const fetch::HostLimits::Totals& totals) const;
    Gauge known, backing_off, silent, in_flight, waiting;
  } hosts_;
};

}  // namespace pixmill::api
