#include "http/router.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"

namespace pixmill::http {

namespace {

// The kinds of segments, the more literal the smaller; a rest swallows everything behind it.
enum class SegmentKind : std::uint8_t { kLiteral, kOne, kRest };

SegmentKind kind_of(std::string_view segment) {
  if (!segment.starts_with('{')) return SegmentKind::kLiteral;
  return segment.ends_with("...}") ? SegmentKind::kRest : SegmentKind::kOne;
}

std::string_view name_of(std::string_view segment) {
  const std::size_t behind = kind_of(segment) == SegmentKind::kRest ? 4 : 1;
  return segment.substr(1, segment.size() - 1 - behind);
}

// "/a/b" and "a/b" give {"a", "b"}; "/" gives {""}.
std::vector<std::string_view> segments_of(std::string_view path) {
  if (path.starts_with('/')) path.remove_prefix(1);
  return split(path, '/');
}

using Params = std::map<std::string, std::string>;

std::optional<Params> bind(const std::vector<std::string>& pattern, std::string_view path) {
  Params params;
  if (!path.starts_with('/')) return std::nullopt;
  const auto parts = segments_of(path);
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (i >= parts.size()) return std::nullopt;
    const SegmentKind kind = kind_of(pattern[i]);
    if (kind == SegmentKind::kRest) {
      const std::string_view rest = path.substr(static_cast<std::size_t>(parts[i].data() - path.data()));
      if (rest.empty()) return std::nullopt;
      params.emplace(name_of(pattern[i]), rest);
      return params;
    }
    if (kind == SegmentKind::kLiteral && parts[i] != pattern[i]) return std::nullopt;
    if (kind == SegmentKind::kOne && parts[i].empty()) return std::nullopt;
    if (kind == SegmentKind::kOne) params.emplace(name_of(pattern[i]), parts[i]);
  }
  return parts.size() == pattern.size() ? std::optional(std::move(params)) : std::nullopt;
}

std::string_view without_trailing_slash(std::string_view path) {
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return path;
}

// Left to right, the first segment that differs in kind decides.
bool more_literal(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::ranges::lexicographical_compare(a, b, {}, kind_of, kind_of);
}

bool serves(std::string_view route_method, std::string_view method) {
  return route_method == method || (method == "HEAD" && route_method == "GET");
}

}  // namespace

void Router::add(std::string method, std::string pattern, Handler handler, bool either_slash) {
  PIXMILL_CHECK(pattern.starts_with('/'));
  std::vector<std::string> segments;
  for (const auto segment : segments_of(either_slash ? without_trailing_slash(pattern) : pattern)) {
    segments.emplace_back(segment);
  }
  routes_.push_back(Route{.method = std::move(method),
                          .pattern = std::move(pattern),
                          .segments = std::move(segments),
                          .handler = std::move(handler),
                          .either_slash = either_slash});
}

Router::Match Router::match(std::string_view method, std::string_view path) const {
  Match match;
  const Route* best = nullptr;
  bool best_serves = false;
  for (const auto& route : routes_) {
    auto params = bind(route.segments, route.either_slash ? without_trailing_slash(path) : path);
    if (!params) continue;
    match.allowed_methods.push_back(route.method);
    if (route.method == "GET") match.allowed_methods.emplace_back("HEAD");
    const bool route_serves = serves(route.method, method);
    // A route that has the method beats one that has not, so that two patterns over one path may share its methods.
    const bool better = best == nullptr || (route_serves && !best_serves) ||
                        (route_serves == best_serves && more_literal(route.segments, best->segments));
    if (!better) continue;
    best = &route;
    best_serves = route_serves;
    match.params = std::move(*params);
  }
  if (best == nullptr) return match;
  match.pattern = best->pattern;
  match.handler = best_serves ? &best->handler : nullptr;
  std::ranges::sort(match.allowed_methods);
  const auto repeated = std::ranges::unique(match.allowed_methods);
  match.allowed_methods.erase(repeated.begin(), repeated.end());
  return match;
}

}  // namespace pixmill::http
