// The environment, and a .env file behind it. Read once at start, on the main thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace pixmill {

class Env {
 public:
  // The process environment over the .env file of the working directory, if there is one: the environment wins.
  // Errors: kInvalidArgument with the line number when the file is malformed, kIo when it exists and cannot be read.
  [[nodiscard]] static Result<Env> load(const std::string& dotenv_path = ".env");
  [[nodiscard]] static Env from_map(std::map<std::string, std::string> values);

  // nullopt when unset or empty.
  [[nodiscard]] std::optional<std::string> get(std::string_view name) const;
  [[nodiscard]] std::string get_or(std::string_view name, std::string_view fallback) const;
  // "1", "true", "yes", "on" in any case. Errors: kInvalidArgument for other text than these and their opposites.
  [[nodiscard]] Result<bool> flag(std::string_view name, bool fallback) const;
  // A whole number in [min, max]. Errors: kInvalidArgument, naming the variable and the range.
  [[nodiscard]] Result<std::int64_t> integer(std::string_view name, std::int64_t fallback, std::int64_t min,
                                             std::int64_t max) const;

 private:
  std::map<std::string, std::string, std::less<>> values_;
};

// KEY=value lines; '#' comments; optional "export "; single or double quotes, \n \" \\ in double ones.
[[nodiscard]] Result<std::map<std::string, std::string>> parse_dotenv(std::string_view text);

}  // namespace pixmill
