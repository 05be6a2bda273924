#include "api/items.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "api/checked_handler.h"
#include "base/text.h"

namespace pixmill::api {

namespace {

constexpr std::uint32_t kPageMax = 1'000;
constexpr std::uint64_t kItemMax = std::numeric_limits<std::int64_t>::max();

Checked<std::optional<jobs::ItemState>> parse_state(const http::Request& request) {
  const auto text = request.query_value("state");
  if (!text || text->empty()) return std::nullopt;
  if (const auto state = jobs::parse_item_state(*text)) return state;
  std::string allowed;
  for (int i = 0; i <= static_cast<int>(jobs::ItemState::kCancelled); ++i) {
    allowed += fmt::format("{}{}", i == 0 ? "" : ", ", jobs::to_text(static_cast<jobs::ItemState>(i)));
  }
  return refuse(wrong_parameter("state", *text, std::move(allowed)));
}

Checked<std::string> parse_code(const http::Request& request) {
  const std::string code = request.query_value("code").value_or("");
  const bool good = code.size() <= 64 && std::ranges::all_of(code, [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
                    });
  if (!good) return refuse(wrong_parameter("code", code, "an error code such as timeout or http_404"));
  return code;
}

Checked<jobs::ItemQuery> parse_query(const http::Request& request) {
  jobs::ItemQuery query;
  PIXMILL_TRY(query.state, parse_state(request));
  PIXMILL_TRY(query.error_code, parse_code(request));
  PIXMILL_TRY(const auto limit, number_parameter(request, "limit", 100, 1, kPageMax));
  query.limit = static_cast<std::uint32_t>(limit);
  PIXMILL_TRY(query.after, number_parameter(request, "after", 0, 0, kItemMax));
  if (const auto offset = request.query_value("offset")) {
    if (request.query_value("after"))
      return refuse(wrong_parameter("offset", *offset, "either offset or after, not both"));
    PIXMILL_TRY(query.offset, number_parameter(request, "offset", 0, 0, kItemMax));
  }
  return query;
}

Problem no_such_item() { return not_found("The job has no such image"); }

}  // namespace

void Items::add_routes(http::Router& router) {
  router.add("GET", "/v1/jobs/{id}/items", checked(this, &Items::list), true);
  router.add("GET", "/v1/jobs/{id}/items/{item}", checked(this, &Items::show), true);
  router.add("GET", "/v1/jobs/{id}/errors", checked(this, &Items::errors), true);
}

Task<Checked<http::Response>> Items::list(http::Request& request) {
  PIXMILL_API_TRY(const JobId id, job_id_of(request));
  PIXMILL_API_TRY(jobs::ItemQuery query, parse_query(request));
  const std::size_t limit = query.limit;
  // One more than asked for shows whether there is a next page.
  if (query.limit < kPageMax) ++query.limit;
  auto page = co_await context_.parts.store.items(id, std::move(query));
  if (!page) co_return refuse(problem_of(page.error()));
  std::optional<std::uint64_t> next;
  const bool more = page->items.size() > limit || (limit == kPageMax && page->items.size() == limit);
  if (page->items.size() > limit) page->items.resize(limit);
  if (more) next = page->items.back().item;
  co_return http::json_response(200, jobs::item_list_document(page->items, page->total, next, context_.options.links));
}

Task<Checked<http::Response>> Items::show(http::Request& request) {
  PIXMILL_API_TRY(const JobId id, job_id_of(request));
  const auto number = parse_integer(request.params["item"]);
  if (!number || *number < 1) co_return refuse(no_such_item());
  const auto item = static_cast<std::uint64_t>(*number);
  jobs::ItemQuery query;
  query.after = item - 1;
  query.limit = 1;
  const auto page = co_await context_.parts.store.items(id, std::move(query));
  if (!page) co_return refuse(problem_of(page.error()));
  if (page->items.empty() || page->items.front().item != item) co_return refuse(no_such_item());
  co_return http::json_response(200, jobs::item_document(page->items.front(), context_.options.links));
}

Task<Checked<http::Response>> Items::errors(http::Request& request) {
  PIXMILL_API_TRY(const JobId id, job_id_of(request));
  const auto groups = co_await context_.parts.store.failures(id);
  if (!groups) co_return refuse(problem_of(groups.error()));
  co_return http::json_response(200, fmt::format(R"({{"errors":{}}})", jobs::failures_document(*groups)));
}

}  // namespace pixmill::api
