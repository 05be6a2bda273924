// What `pixmill` tells the shell. The numbers are part of the interface (docs/OPERATIONS.md).
#pragma once

#include "base/error.h"

namespace pixmill::app {

enum class ExitCode : int {
  kOk = 0,
  kUnexpected = 1,
  kUsage = 2,
  kSomeFailed = 3,
  kAuthentication = 4,
  kNotFound = 5,
  kInputRejected = 6,
  kUnreachable = 7,
  kJobFailed = 8,
  kConflict = 9,
  kInterrupted = 130,
};

[[nodiscard]] constexpr ExitCode exit_code_for(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return ExitCode::kUsage;
    case ErrorCode::kNotFound:
      return ExitCode::kNotFound;
    case ErrorCode::kConflict:
      return ExitCode::kConflict;
    default:
      return ExitCode::kUnexpected;
  }
}

}  // namespace pixmill::app
