#include "app/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <cstdlib>

#include "base/text.h"

namespace pixmill::app {

namespace {

constexpr auto kMeterWindow = std::chrono::seconds(15);
constexpr auto kPlainEvery = std::chrono::seconds(2);
constexpr auto kJsonEvery = std::chrono::seconds(1);
constexpr std::size_t kFailuresShown = 3;
constexpr std::size_t kBarCells = 24;

int percent(const ProgressView& view) {
  if (view.total == 0) return 0;
  return static_cast<int>(view.done * 100 / view.total);
}

std::string bar(const ProgressView& view) {
  const std::size_t halves = view.total == 0 ? 0 : static_cast<std::size_t>(view.done * kBarCells * 2 / view.total);
  std::string text;
  for (std::size_t i = 0; i < halves / 2; ++i) text += "━";
  if (halves % 2 == 1) text += "╸";
  text.append(kBarCells - (halves + 1) / 2, ' ');
  return text;
}

std::string counts(const ProgressView& view) {
  return fmt::format("{} / {}{}", format_count(view.done), format_count(view.total), view.ingesting ? "+" : "");
}

std::string pace(const ProgressView& view) {
  std::string text = fmt::format("{:.0f} img/s", view.images_per_second);
  if (view.images_per_second > 0 && view.images_per_second < 10)
    text = fmt::format("{:.1f} img/s", view.images_per_second);
  if (view.eta_seconds && view.done < view.total && !view.ingesting)
    text += "   ETA " + format_duration(*view.eta_seconds);
  return text;
}

std::string trouble_text(const Error& error) {
  return fmt::format("waiting: {} ({})", code_text(error), error.message);
}

std::string detail_line(const ProgressView& view) {
  std::string line = savings_text(view.bytes_in, view.bytes_out);
  const auto append = [&line](const std::string& part) {
    if (part.empty()) return;
    if (!line.empty()) line += "    ";
    line += part;
  };
  if (view.trouble) append(trouble_text(*view.trouble));
  if (view.unchanged > 0) append("unchanged " + format_count(view.unchanged));
  append(failures_text(view.failed, view.failures));
  if (!view.limited_by.empty()) append("held back by the limit of " + view.limited_by + "; see --per-host");
  return line;
}

std::size_t terminal_columns() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

// Cuts after `columns` characters (UTF-8 code points; the bar's cells are one column each).
std::string cut(std::string text, std::size_t columns) {
  std::size_t seen = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) == 0x80) continue;
    if (seen++ == columns) {
      text.resize(i);
      break;
    }
  }
  return text;
}

}  // namespace

std::optional<ProgressMode> parse_progress_mode(std::string_view text) {
  if (text == "auto") return ProgressMode::kAuto;
  if (text == "bar") return ProgressMode::kBar;
  if (text == "plain") return ProgressMode::kPlain;
  if (text == "json") return ProgressMode::kJson;
  if (text == "none") return ProgressMode::kNone;
  return std::nullopt;
}

std::string savings_text(std::uint64_t bytes_in, std::uint64_t bytes_out) {
  if (bytes_in == 0) return "";
  const double change =
      100.0 * (static_cast<double>(bytes_in) - static_cast<double>(bytes_out)) / static_cast<double>(bytes_in);
  return fmt::format("{} {:.1f} %  {} → {}", change >= 0 ? "saved" : "grew", std::abs(change), format_bytes(bytes_in),
                     format_bytes(bytes_out));
}

std::string failures_text(std::uint64_t failed, const std::vector<jobs::FailureGroup>& failures) {
  if (failed == 0) return "";
  std::string causes;
  for (std::size_t i = 0; i < std::min(kFailuresShown, failures.size()); ++i) {
    causes += fmt::format("{}{} {}", i == 0 ? "" : ", ", failures[i].code, format_count(failures[i].count));
  }
  if (failures.size() > kFailuresShown) causes += fmt::format(", +{} more", failures.size() - kFailuresShown);
  return causes.empty() ? fmt::format("failed {}", format_count(failed))
                        : fmt::format("failed {} ({})", format_count(failed), causes);
}

std::string since_text(const jobs::Job& job) {
  return fmt::format("{} new, {} changed, {} unchanged, {} gone",
                     format_count(job.succeeded - job.changed - job.unchanged), format_count(job.changed),
                     format_count(job.unchanged), format_count(job.gone));
}

std::string render_bar(const ProgressView& view, std::size_t columns, bool colour) {
  const std::string left = fmt::format("{:>3} % ", percent(view));
  const std::string right = fmt::format(" {:>20}   {}", counts(view), pace(view));
  const std::string first = cut(left + bar(view) + right, columns);
  const std::string second = cut("      " + detail_line(view), columns);
  if (!colour) return first + "\n" + second;
  return "\x1b[36m" + first + "\x1b[0m\n" + second;
}

std::string render_plain(const ProgressView& view) {
  std::string line = fmt::format("{} %  {}  {}", percent(view), counts(view), pace(view));
  const auto details = detail_line(view);
  if (!details.empty()) line += "  " + details;
  return line;
}

std::string render_json(const ProgressView& view) {
  boost::json::object failures;
  for (const auto& group : view.failures) failures[group.code] = group.count;
  boost::json::object line{{"event", "progress"},
                           {"job", view.job_name},
                           {"ingesting", view.ingesting},
                           {"total", view.total},
                           {"done", view.done},
                           {"failed", view.failed},
                           {"unchanged", view.unchanged},
                           {"bytes_in", view.bytes_in},
                           {"bytes_out", view.bytes_out},
                           {"images_per_second", view.images_per_second},
                           {"failures", std::move(failures)}};
  line["eta_seconds"] = view.eta_seconds ? boost::json::value(*view.eta_seconds) : boost::json::value(nullptr);
  line["limited_by"] = view.limited_by.empty() ? boost::json::value(nullptr) : boost::json::value(view.limited_by);
  line["trouble"] = nullptr;
  if (view.trouble) {
    line["trouble"] = boost::json::object{{"code", code_text(*view.trouble)}, {"message", view.trouble->message}};
  }
  return boost::json::serialize(line);
}

void RateMeter::add(Instant at, std::uint64_t done) {
  samples_.push_back({at, done});
  while (samples_.size() > 2 && samples_.back().at - samples_.front().at > kMeterWindow) samples_.pop_front();
}

double RateMeter::per_second() const {
  if (samples_.size() < 2) return 0;
  const std::chrono::duration<double> span = samples_.back().at - samples_.front().at;
  if (span.count() <= 0 || samples_.back().done < samples_.front().done) return 0;
  return static_cast<double>(samples_.back().done - samples_.front().done) / span.count();
}

std::optional<std::int64_t> RateMeter::eta_seconds(std::uint64_t remaining) const {
  const double rate = per_second();
  if (rate <= 0) return std::nullopt;
  return static_cast<std::int64_t>(static_cast<double>(remaining) / rate + 0.5);
}

Reporter::Reporter(ProgressMode mode) : mode_(mode) {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  if (mode_ == ProgressMode::kAuto) mode_ = terminal ? ProgressMode::kBar : ProgressMode::kPlain;
  const char* no_colour = std::getenv("NO_COLOR");
  colour_ = terminal && (no_colour == nullptr || *no_colour == '\0');
}

Reporter::~Reporter() = default;

void Reporter::erase() {
  for (; lines_drawn_ > 1; --lines_drawn_) std::fputs("\x1b[2K\x1b[1A", stderr);
  if (lines_drawn_ == 1) std::fputs("\x1b[2K\r", stderr);
  lines_drawn_ = 0;
}

void Reporter::draw(const ProgressView& view) {
  erase();
  const auto text = render_bar(view, terminal_columns() - 1, colour_);
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
  lines_drawn_ = 2;
}

void Reporter::show(const ProgressView& view) {
  if (mode_ == ProgressMode::kBar) return draw(view);
  if (mode_ == ProgressMode::kNone || !is_due()) return;
  std::fprintf(stderr, "%s\n", (mode_ == ProgressMode::kJson ? render_json(view) : render_plain(view)).c_str());
}

bool Reporter::is_due() {
  const auto now = std::chrono::steady_clock::now();
  if (now - last_line_ < (mode_ == ProgressMode::kJson ? kJsonEvery : kPlainEvery)) return false;
  last_line_ = now;
  return true;
}

void Reporter::checking(const std::string& name, std::uint64_t rows) {
  if (mode_ == ProgressMode::kNone) return;
  if (mode_ == ProgressMode::kBar) {
    erase();
    const auto line = cut(fmt::format("{}: checking {} rows", name, format_count(rows)), terminal_columns() - 1);
    std::fputs(line.c_str(), stderr);
    std::fflush(stderr);
    lines_drawn_ = 1;
    return;
  }
  if (!is_due()) return;
  const boost::json::object event{{"event", "checking"}, {"job", name}, {"rows", rows}};
  const auto line = mode_ == ProgressMode::kJson ? boost::json::serialize(event)
                                                 : fmt::format("{}: checking {} rows", name, format_count(rows));
  std::fprintf(stderr, "%s\n", line.c_str());
}

void Reporter::finish(const ProgressView& view) {
  if (mode_ == ProgressMode::kBar) {
    draw(view);
    std::fputs("\n", stderr);
    lines_drawn_ = 0;
    return;
  }
  last_line_ = {};
  show(view);
}

void Reporter::note(const std::string& text) {
  if (mode_ == ProgressMode::kBar) erase();
  std::fprintf(stderr, "%s\n", text.c_str());
}

}  // namespace pixmill::app
