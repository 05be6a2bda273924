// Audits a job for `pixmill audit`: on PostgreSQL directly; in a data folder itself, when no server runs there, else
// through that server. Blocking.
#pragma once

#include <string>

#include "app/settings.h"
#include "base/error.h"
#include "base/ids.h"

namespace pixmill::app {

struct AuditRequest {
  JobId job;
  bool repair = false;
  bool deep = false;
};

// The document of jobs::audit_document. Errors: kNotFound when there is no such job, or no database; kConflict when
// another program than a server that can be asked holds the folder; those of the stores.
[[nodiscard]] Result<std::string> audit_own_job(const Settings& settings, const AuditRequest& request);

// The document for people. Errors: kInternal when it is none.
[[nodiscard]] Result<std::string> audit_text(const std::string& document);
[[nodiscard]] Result<bool> audit_is_clean(const std::string& document);

}  // namespace pixmill::app
