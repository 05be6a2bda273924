#include "base/log.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <mutex>

#include "base/text.h"
#include "base/time.h"

namespace pixmill::log {

namespace {

// What the process logs, and how; set once before threads run, atomic so that a late call is no data race.
std::atomic<Level> g_level = Level::kInfo;
std::atomic<Format> g_format = Format::kText;
std::mutex g_write_mutex;

constexpr std::array<std::string_view, 5> kLevelNames = {"debug", "info", "warning", "error", "off"};
constexpr int kStuckSinkPatienceMs = 100;

std::string_view name_of(Level level) { return kLevelNames[static_cast<std::size_t>(level)]; }

// JSON's string escapes (RFC 8259 section 7). Text for people uses them too: a line break or an escape sequence in a
// logged value must not forge a line or speak to the terminal.
void append_escaped(std::string& line, std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    switch (c) {
      case '"':
        line += "\\\"";
        break;
      case '\\':
        line += "\\\\";
        break;
      case '\n':
        line += "\\n";
        break;
      case '\r':
        line += "\\r";
        break;
      case '\t':
        line += "\\t";
        break;
      default:
        if (byte < 0x20 || byte == 0x7f) {
          line += fmt::format("\\u{:04x}", byte);
        } else {
          line += c;
        }
    }
  }
}

void append_quoted(std::string& line, std::string_view text) {
  line += '"';
  append_escaped(line, is_valid_utf8(text) ? std::string(text) : replace_invalid_utf8(text));
  line += '"';
}

bool is_plain_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7f && c != '"' && c != '\\' &&
           c != '=';
  });
}

std::string render_json(Level level, std::string_view ts, std::string_view event, std::initializer_list<Field> fields) {
  std::string line = fmt::format(R"({{"ts":"{}","level":"{}","event":)", ts, name_of(level));
  append_quoted(line, event);
  for (const auto& field : fields) {
    line += ',';
    append_quoted(line, field.key);
    line += ':';
    if (field.quoted) {
      append_quoted(line, field.text);
    } else {
      line += field.text;
    }
  }
  line += '}';
  return line;
}

std::string render_text(Level level, std::string_view ts, std::string_view event, std::initializer_list<Field> fields) {
  std::string line = fmt::format("{} {:<7} ", ts, name_of(level));
  append_escaped(line, replace_invalid_utf8(event));
  for (const auto& field : fields) {
    line += ' ';
    append_escaped(line, replace_invalid_utf8(field.key));
    line += '=';
    if (!field.quoted || is_plain_word(field.text)) {
      line += field.text;
    } else {
      append_quoted(line, field.text);
    }
  }
  return line;
}

// One write(2) per line: lines of several processes on one pipe do not mix up to PIPE_BUF, those of one process never
// do.
void write_line(std::string line) {
  line += '\n';
  std::string_view rest = line;
  const std::lock_guard lock(g_write_mutex);
  while (!rest.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, rest.data(), rest.size());
    if (written > 0) {
      rest.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      // Somebody made stderr non-blocking and nobody reads it: a log line is not worth stopping the loop for long.
      pollfd poll_entry{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
      if (::poll(&poll_entry, 1, kStuckSinkPatienceMs) <= 0) return;
    } else if (errno != EINTR) {
      return;
    }
  }
}

void emit(Level level, std::string_view event, std::initializer_list<Field> fields) {
  if (level < g_level.load(std::memory_order_relaxed)) return;
  const SystemClock clock;
  write_line(render_line(g_format.load(std::memory_order_relaxed), level, to_unix_ms(clock.now()), event, fields));
}

}  // namespace

Field::Field(std::string_view name, double value)
    : key(name), text(std::isfinite(value) ? fmt::format("{}", value) : "null") {}

void configure(Level level, Format format) {
  g_level = level;
  g_format = format;
}

void debug(std::string_view event, std::initializer_list<Field> fields) { emit(Level::kDebug, event, fields); }
void info(std::string_view event, std::initializer_list<Field> fields) { emit(Level::kInfo, event, fields); }
void warning(std::string_view event, std::initializer_list<Field> fields) { emit(Level::kWarning, event, fields); }
void error(std::string_view event, std::initializer_list<Field> fields) { emit(Level::kError, event, fields); }

std::string render_line(Format format, Level level, std::int64_t unix_ms, std::string_view event,
                        std::initializer_list<Field> fields) {
  const std::string ts = to_rfc3339(from_unix_ms(unix_ms));
  return format == Format::kJson ? render_json(level, ts, event, fields) : render_text(level, ts, event, fields);
}

}  // namespace pixmill::log
