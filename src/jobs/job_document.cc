#include "jobs/job_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <optional>
#include <utility>

#include "base/text.h"

namespace pixmill::jobs {

namespace {

namespace json = boost::json;

constexpr std::size_t kFailureGroupsShown = 50;
constexpr std::size_t kTableBytesMax = 2u << 20;

json::value time_or_null(const std::optional<TimePoint>& at) {
  if (!at) return nullptr;
  return json::value(to_rfc3339(*at));
}

json::value text_or_null(const std::string& text) {
  if (text.empty()) return nullptr;
  return json::value(text);
}

// A job as a whole fails for its table alone.
constexpr std::string_view kTableAdvice = "Correct the table and send it again.";

json::value error_or_null(const std::string& code, const std::string& message, std::string_view what_to_do) {
  if (code.empty()) return nullptr;
  return json::object{{"code", code}, {"message", message}, {"advice", what_to_do}};
}

json::object links_of(const Job& job, const Links& links) {
  if (job.origin == JobOrigin::kRun) {
    // There is no server; the files lie beside the pictures' folder.
    std::string folder = job.blob_prefix;
    if (constexpr std::string_view kPictures = "images/"; folder.ends_with(kPictures)) {
      folder.resize(folder.size() - kPictures.size());
    }
    return {{"self", nullptr},
            {"items", nullptr},
            {"result_csv", links.file(folder + "result.csv")},
            {"images_csv", links.file(folder + "images.csv")},
            {"gone_csv", job.since ? json::value(links.file(folder + "gone.csv")) : json::value(nullptr)}};
  }
  const std::string self = fmt::format("{}/v1/jobs/{}", links.base_url, job.id.text());
  return {{"self", self},
          {"items", self + "/items"},
          {"result_csv", self + "/result.csv"},
          {"images_csv", self + "/images.csv"},
          {"gone_csv", job.since ? json::value(self + "/gone.csv") : json::value(nullptr)}};
}

// Of a job that is compared with an earlier one.
json::value since_count(const Job& job, std::uint64_t count) {
  if (!job.since) return nullptr;
  return json::value(count);
}

json::object job_object(const Job& job, const Links& links) {
  return {{"id", job.id.text()},
          {"name", job.name},
          {"state", to_text(job.state)},
          {"status", legacy_status(job.state)},
          {"origin", to_text(job.origin)},
          {"generation", job.generation},
          {"recipe", job.recipe},
          {"recipe_name", text_or_null(job.recipe_name)},
          {"row_recipes", job.row_recipes},
          {"total", job.total},
          {"remaining", job.remaining},
          {"succeeded", job.succeeded},
          {"failed", job.failed},
          {"cancelled", job.cancelled},
          {"since", text_or_null(job.since ? job.since->text() : "")},
          {"new", since_count(job, job.succeeded - job.changed - job.unchanged)},
          {"changed", since_count(job, job.changed)},
          {"unchanged", since_count(job, job.unchanged)},
          {"gone", since_count(job, job.gone)},
          {"rows", job.rows},
          {"invalid_rows", job.invalid},
          {"bytes_in", job.bytes_in},
          {"bytes_out", job.bytes_out},
          {"created_at", to_rfc3339(job.created_at)},
          {"started_at", time_or_null(job.started_at)},
          {"finished_at", time_or_null(job.finished_at)},
          {"webhook_url", text_or_null(job.webhook_url)},
          {"error", error_or_null(job.error_code, job.error_message, kTableAdvice)},
          {"links", links_of(job, links)}};
}

json::object output_object(const Output& output, const Links& links) {
  return {{"rendition", output.rendition},
          {"key", output.key},
          {"url", links.file(output.key)},
          {"bytes", output.bytes},
          {"width", output.width_px},
          {"height", output.height_px},
          {"format", output.format},
          {"quality", output.quality > 0 ? json::value(output.quality) : json::value(nullptr)},
          {"sha256", output.sha256},
          {"note", text_or_null(output.note)}};
}

json::object item_object(const Item& item, const Links& links) {
  json::array outputs;
  for (const auto& output : item.outputs) outputs.push_back(output_object(output, links));
  return {{"item", item.item},
          {"row", item.row},
          {"index", item.index},
          {"url", item.url},
          {"state", to_text(item.state)},
          {"attempts", item.attempts},
          {"generation", item.generation},
          {"error", error_or_null(item.error_code, item.error_message, advice(item.error_code))},
          {"retry_at", time_or_null(item.retry_at)},
          {"leased_until", time_or_null(item.leased_until)},
          {"same_as", item.same_as ? json::value(*item.same_as) : json::value(nullptr)},
          {"bytes_in", item.bytes_in},
          {"times",
           {{"fetch_ms", item.times.fetch_ms},
            {"transform_ms", item.times.transform_ms},
            {"store_ms", item.times.store_ms}}},
          {"finished_at", time_or_null(item.finished_at)},
          {"recipe", item.recipe ? json::value(item.recipe->text) : json::value(nullptr)},
          {"recipe_name", text_or_null(item.recipe ? item.recipe->name : "")},
          {"outputs", std::move(outputs)}};
}

// The cell of the first column of one of these names; nullopt when there is none.
std::optional<std::string> cell_of(const Job& job, const Row& row, std::initializer_list<std::string_view> names) {
  for (const auto name : names) {
    const auto is_it = [&](const std::string& column) { return equals_ignoring_case(trim(column), name); };
    const auto column = std::ranges::find_if(job.columns, is_it) - job.columns.begin();
    if (column < std::ssize(row.cells) && column < std::ssize(job.columns)) {
      return row.cells[static_cast<std::size_t>(column)];
    }
  }
  return std::nullopt;
}

std::string input_urls(const Job& job, const Row& row) {
  if (auto cell = cell_of(job, row, {"Input Image Urls"})) return std::move(*cell);
  std::string urls;
  for (const auto& item : row.items) {
    if (!urls.empty()) urls += ", ";
    urls += item.url;
  }
  return urls;
}

// Links in the order of the inputs; where a picture failed, why.
std::string output_cell(const Row& row, const Links& links) {
  std::string html;
  for (const auto& item : row.items) {
    if (!html.empty()) html += ", ";
    if (!item.outputs.empty()) {
      const std::string address = html_escape(links.file(item.outputs.front().key));
      html += fmt::format("<a href=\"{0}\" target=\"_blank\" rel=\"noopener\">{0}</a>", address);
    } else {
      html += html_escape(item.error_code.empty() ? std::string(to_text(item.state)) : "failed: " + item.error_code);
    }
  }
  return row.problem.empty() ? html : html_escape(row.problem);
}

}  // namespace

std::string Links::file(const std::string& key) const {
  if (address_of) return address_of(key);
  const bool is_address = files_base.find("://") != std::string::npos || files_base == base_url + "/files";
  return fmt::format("{}/{}", files_base, is_address ? percent_encode_path(key) : key);
}

std::string job_document(const Job& job, const Links& links) { return json::serialize(job_object(job, links)); }

std::string item_document(const Item& item, const Links& links) { return json::serialize(item_object(item, links)); }

std::string delivery_document(const Delivery& delivery) {
  json::array attempts;
  for (const auto& attempt : delivery.attempts) {
    attempts.push_back(
        {{"attempt", attempt.attempt},
         {"at", to_rfc3339(attempt.at)},
         {"http_status", attempt.http_status > 0 ? json::value(attempt.http_status) : json::value(nullptr)},
         {"error", text_or_null(attempt.error)},
         {"elapsed_ms", attempt.elapsed_ms}});
  }
  return json::serialize(json::object{{"id", delivery.event_id},
                                      {"type", delivery.type},
                                      {"url", delivery.url},
                                      {"state", to_text(delivery.state)},
                                      {"next_at", time_or_null(delivery.next_at)},
                                      {"attempts", std::move(attempts)}});
}

std::string failures_document(const std::vector<FailureGroup>& groups) {
  json::array list;
  for (const auto& group : groups) {
    if (list.size() == kFailureGroupsShown) break;
    list.push_back(json::object{{"code", group.code}, {"count", group.count}, {"example", group.example}});
  }
  return json::serialize(list);
}

std::string job_list_document(const std::vector<Job>& jobs, std::uint64_t total, const std::optional<std::string>& next,
                              const Links& links) {
  json::array list;
  for (const auto& job : jobs) list.push_back(job_object(job, links));
  return json::serialize(json::object{
      {"jobs", std::move(list)}, {"total", total}, {"next", next ? json::value(*next) : json::value(nullptr)}});
}

std::string item_list_document(const std::vector<Item>& items, std::uint64_t total,
                               const std::optional<std::uint64_t>& next, const Links& links) {
  json::array list;
  for (const auto& item : items) list.push_back(item_object(item, links));
  return json::serialize(json::object{
      {"items", std::move(list)}, {"total", total}, {"next", next ? json::value(*next) : json::value(nullptr)}});
}

std::string event_body(const std::string& type, const Job& job, const std::vector<Row>& first_rows, TimePoint at,
                       const Links& links) {
  json::object body{{"type", type},
                    {"timestamp", to_rfc3339(at)},
                    {"request_id", job.id.text()},
                    {"status", legacy_status(job.state)},
                    {"job", job_object(job, links)}};
  if (job.origin == JobOrigin::kLegacyUpload) body["data"] = legacy_table(job, first_rows, links);
  return json::serialize(body);
}

std::string legacy_table(const Job& job, const std::vector<Row>& rows, const Links& links) {
  std::string html =
      "<table>\n<thead><tr><th>S.No.</th><th>Product Name</th><th>Input Image URLs</th><th>Output Image URLs</th>"
      "</tr></thead>\n<tbody>\n";
  std::uint64_t shown = 0;
  for (const auto& row : rows) {
    if (html.size() > kTableBytesMax) break;
    const std::string serial = cell_of(job, row, {"S.No."}).value_or(std::to_string(row.row));
    const std::string product = cell_of(job, row, {"Product Name", "product"}).value_or("");
    html += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n", html_escape(serial),
                        html_escape(product), html_escape(input_urls(job, row)), output_cell(row, links));
    ++shown;
  }
  html += "</tbody>\n</table>\n";
  if (shown < job.rows) {
    const json::object addresses = links_of(job, links);
    html += fmt::format("<p>The first {} of {} rows. <a href=\"{}\">All rows as CSV</a></p>\n", format_count(shown),
                        format_count(job.rows), html_escape(std::string_view(addresses.at("result_csv").as_string())));
  }
  return html;
}

}  // namespace pixmill::jobs
