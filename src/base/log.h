// Structured logs on stderr: one event name and fields, as JSON lines or as text for people. Thread-safe.
// Never pass secrets, header values or whole URLs with credentials; fetch/source_url has a form that is safe to log.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace pixmill::log {

enum class Level : std::uint8_t { kDebug, kInfo, kWarning, kError, kOff };
enum class Format : std::uint8_t { kText, kJson };

// A value that keeps its JSON type. `raw` holds the JSON text of numbers and booleans.
struct Field {
  Field(std::string_view name, std::string_view value) : key(name), text(value), quoted(true) {}
  Field(std::string_view name, const char* value) : Field(name, std::string_view(value)) {}
  Field(std::string_view name, const std::string& value) : Field(name, std::string_view(value)) {}
  Field(std::string_view name, bool value) : key(name), text(value ? "true" : "false") {}
  template <std::integral Number>
  Field(std::string_view name, Number value) : key(name), text(std::to_string(value)) {}
  Field(std::string_view name, double value);

  std::string key;
  std::string text;
  bool quoted = false;
};

// Once, at start, before other threads run. The default is text at level info.
void configure(Level level, Format format);

void debug(std::string_view event, std::initializer_list<Field> fields = {});
void info(std::string_view event, std::initializer_list<Field> fields = {});
void warning(std::string_view event, std::initializer_list<Field> fields = {});
void error(std::string_view event, std::initializer_list<Field> fields = {});

// The line that would be written, without the newline; for tests. `unix_ms` is its time.
[[nodiscard]] std::string render_line(Format format, Level level, std::int64_t unix_ms, std::string_view event,
                                      std::initializer_list<Field> fields);

}  // namespace pixmill::log
