#include "jobs/csv_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace pixmill::jobs {

// One record while it is being read: the states of Python's csv module (Modules/_csv.c, strict=False), byte by byte.
class CsvReader::Record {
 public:
  explicit Record(CsvReader& reader) : reader_(reader), options_(reader.options_) {}

  // Takes bytes off the front of `text` until the record is complete or `text` is empty. True when it is complete.
  Result<bool> take(std::string_view& text) {
    while (!text.empty()) {
      const char c = text.front();
      if (const bool line_end = c == '\n' || c == '\r'; line_end) {
        text.remove_prefix(1);
        const bool second_half = c == '\n' && reader_.after_cr_;
        reader_.after_cr_ = c == '\r';
        if (!second_half) ++reader_.next_line_;
        if (state_ == State::kStartRecord) continue;  // a blank line, or the LF of the record before
        if (state_ == State::kInQuotes) {
          PIXMILL_RETURN_IF_ERROR(add(std::string_view(&c, 1)));
          continue;
        }
        PIXMILL_RETURN_IF_ERROR(end_field());
        return true;
      }
      reader_.after_cr_ = false;
      if (state_ == State::kStartRecord) {
        reader_.line_ = reader_.next_line_;
        state_ = State::kStartField;
      }
      PIXMILL_RETURN_IF_ERROR(take_inside_line(text));
    }
    return false;
  }

  // The input has ended. False when there was no record any more.
  Result<bool> finish() {
    if (state_ == State::kStartRecord) return false;
    if (state_ == State::kInQuotes) return broken("a quote is never closed");
    PIXMILL_RETURN_IF_ERROR(end_field());
    return true;
  }

  [[nodiscard]] std::vector<std::string> take_fields() { return std::move(fields_); }

 private:
  enum class State : std::uint8_t { kStartRecord, kStartField, kInField, kInQuotes, kQuoteInQuotes };

  // `text` begins with a byte that ends no line.
  Result<void> take_inside_line(std::string_view& text) {
    const char c = text.front();
    const auto take_one = [&]() -> Result<void> {
      text.remove_prefix(1);
      return count(1);
    };
    switch (state_) {
      case State::kStartRecord:
      case State::kStartField:
        if (c == '"') {
          state_ = State::kInQuotes;
          return take_one();
        }
        if (c == ' ' && options_.skip_spaces_after_delimiter) return take_one();
        if (c == options_.delimiter) return end_field_at_delimiter(text);
        state_ = State::kInField;
        return {};
      case State::kInField:
        if (c == options_.delimiter) return end_field_at_delimiter(text);
        return add_run(text, options_.delimiter);
      case State::kInQuotes:
        if (c != '"') return add_run(text, '"');
        state_ = State::kQuoteInQuotes;
        return take_one();
      case State::kQuoteInQuotes:
        if (c == options_.delimiter) return end_field_at_delimiter(text);
        // "" is a quote and the field goes on; anything else is kept, and quotes mean nothing any more in this field.
        state_ = c == '"' ? State::kInQuotes : State::kInField;
        text.remove_prefix(1);
        return add(std::string_view(&c, 1));
    }
    return {};
  }

  Result<void> end_field_at_delimiter(std::string_view& text) {
    text.remove_prefix(1);
    PIXMILL_RETURN_IF_ERROR(count(1));
    state_ = State::kStartField;
    return end_field();
  }

  // Adds all bytes up to the next line end or `stop`; at most one more than fits is looked at.
  Result<void> add_run(std::string_view& text, char stop) {
    const std::size_t limit = std::min(text.size(), options_.field_bytes_max + 1);
    std::size_t length = 0;
    while (length < limit && text[length] != stop && text[length] != '\n' && text[length] != '\r') ++length;
    const auto run = text.substr(0, length);
    text.remove_prefix(length);
    return add(run);
  }

  Result<void> add(std::string_view bytes) {
    // Whichever limit comes first, so that the answer does not depend on the pieces.
    const std::size_t field_left = options_.field_bytes_max - field_.size();
    if (bytes.size() > field_left && field_left <= options_.record_bytes_max - record_bytes_) {
      return too_large(fmt::format("a field is longer than {} bytes{}", format_count(options_.field_bytes_max),
                                   state_ == State::kInQuotes ? "; perhaps a quote is never closed" : ""));
    }
    field_ += bytes;
    return count(bytes.size());
  }

  Result<void> count(std::size_t bytes) {
    if (bytes > options_.record_bytes_max - record_bytes_) {
      return too_large(fmt::format("it is longer than {} bytes", format_count(options_.record_bytes_max)));
    }
    record_bytes_ += bytes;
    return {};
  }

  Result<void> end_field() {
    if (fields_.size() >= options_.columns_max) {
      return too_large(fmt::format("it has more than {} columns", options_.columns_max));
    }
    if (field_.find('\0') != std::string::npos) return broken("it holds a NUL byte");
    if (!is_valid_utf8(field_)) return broken("it is not UTF-8 text");
    fields_.push_back(std::exchange(field_, {}));
    return {};
  }

  std::unexpected<Error> broken(std::string_view why) const {
    return fail(ErrorCode::kInvalidArgument, fmt::format("Line {}: {}.", reader_.line_, why));
  }
  std::unexpected<Error> too_large(std::string_view why) const {
    return fail(ErrorCode::kTooLarge, fmt::format("Line {}: {}.", reader_.line_, why));
  }

  CsvReader& reader_;
  const CsvOptions& options_;
  State state_ = State::kStartRecord;
  std::string field_;
  std::vector<std::string> fields_;
  std::size_t record_bytes_ = 0;
};

CsvReader::CsvReader(Source source, CsvOptions options) : source_(std::move(source)), options_(options) {}

Result<bool> CsvReader::read(Record& record) {
  while (true) {
    PIXMILL_TRY(const bool complete, record.take(chunk_));
    if (complete) return true;
    if (!at_end_) {
      PIXMILL_TRY(chunk_, source_());
      at_end_ = chunk_.empty();
    }
    if (at_end_) return record.finish();
  }
}

Result<std::optional<std::vector<std::string>>> CsvReader::next() {
  if (error_) return std::unexpected(*error_);
  Record record(*this);
  const auto complete = read(record);
  if (!complete) {
    error_ = complete.error();
    return std::unexpected(complete.error());
  }
  if (!*complete) return std::nullopt;
  return record.take_fields();
}

}  // namespace pixmill::jobs
