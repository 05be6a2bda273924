// A fetcher, engines and a blob store in memory, for tests of what stands above them.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/pool.h"
#include "fetch/fetcher.h"
#include "image/tiny_pictures.h"
#include "storage/blob_store.h"

namespace pixmill::testing {

// A picture, as far as its header says, with other bytes for every address.
inline Result<fetch::Fetched> picture_at(const std::string& url) {
  return fetch::Fetched{.bytes = std::string(image::tiny_pictures().front().bytes) + "bytes of " + url,
                        .final_url = url};
}

class FakeFetcher final : public fetch::Fetcher {
 public:
  std::function<Result<fetch::Fetched>(const std::string& url)> answer = [](const std::string& url) {
    return Result<fetch::Fetched>(fetch::Fetched{.bytes = "bytes of " + url, .final_url = url});
  };
  std::vector<std::string> asked;
  std::vector<std::optional<fetch::SourceVersion>> known;  // in each of them
  milliseconds takes{0};
  std::function<void(const std::string& url)> on_get = [](const std::string&) {};

  Task<Result<fetch::Fetched>> get(std::string url, const std::vector<fetch::HostHeader>&, ByteBudget::Grant*,
                                   const fetch::SourceVersion* version) override {
    asked.push_back(url);
    known.push_back(version == nullptr ? std::nullopt : std::optional(*version));
    on_get(url);
    if (takes.count() > 0) co_await pause_for(takes);
    co_return answer(url);
  }
};

// Renders a source to the same bytes.
class FakePool final : public engine::Pool {
 public:
  std::function<Result<image::Rendered>(std::string_view source)> answer = [](std::string_view source) {
    image::Rendered rendered;
    rendered.renditions.push_back({.name = {},
                                   .format = image::Format::kJpeg,
                                   .width_px = 4,
                                   .height_px = 3,
                                   .quality = 50,
                                   .source_kept = false,
                                   .first_frame = false,
                                   .fitted = false,
                                   .bytes = std::string(source)});
    return Result<image::Rendered>(std::move(rendered));
  };

  std::vector<image::Recipe> asked;  // in the order of the renders
  std::function<void(const image::Recipe& recipe, const engine::RenderExtras& extras)> on_render =
      [](const image::Recipe&, const engine::RenderExtras&) {};

  using engine::Pool::render;
  Task<Result<image::Rendered>> render(std::string_view source, const image::Recipe& recipe,
                                       engine::RenderExtras extras) override {
    asked.push_back(recipe);
    on_render(recipe, extras);
    co_return answer(source);
  }
  std::map<std::string, Error> bad_marks;  // by their digests
  [[nodiscard]] std::optional<Error> bad_mark(const std::string& sha256) const override {
    const auto found = bad_marks.find(sha256);
    return found == bad_marks.end() ? std::nullopt : std::optional<Error>(found->second);
  }
  void stop() override {}
  [[nodiscard]] const engine::SandboxReport& sandbox() const override { return report_; }
  [[nodiscard]] std::vector<int> pids() const override { return {}; }
  [[nodiscard]] std::uint32_t engines() const override { return 1; }

 private:
  engine::SandboxReport report_;
};

class MemoryBlobs final : public storage::BlobStore {
 public:
  std::map<std::string, std::string> blobs;
  std::optional<Error> put_error;
  std::function<void()> on_put = [] {};
  milliseconds put_takes{0};  // after the bytes are there
  int removals = 0;

  Task<Result<void>> put(std::string key, std::string_view bytes, std::string) override {
    on_put();
    if (put_error) co_return std::unexpected(*put_error);
    blobs[key] = std::string(bytes);
    if (put_takes.count() > 0) co_await pause_for(put_takes);
    co_return Result<void>{};
  }
  Task<Result<std::string>> get(std::string key, std::uint64_t bytes_max) override {
    if (!blobs.contains(key)) co_return fail(ErrorCode::kNotFound, "no such blob");
    if (blobs[key].size() > bytes_max) co_return fail(ErrorCode::kTooLarge, "the blob is too large");
    co_return blobs[key];
  }
  Task<Result<void>> copy(std::string from, std::string to) override {
    if (!blobs.contains(from)) co_return fail(ErrorCode::kNotFound, "no such blob");
    blobs[to] = blobs[from];
    co_return Result<void>{};
  }
  Task<Result<storage::BlobInfo>> head(std::string key) override {
    if (!blobs.contains(key)) co_return fail(ErrorCode::kNotFound, "no such blob");
    co_return storage::BlobInfo{.key = key, .bytes = blobs[key].size()};
  }
  Task<Result<void>> remove(std::string key) override {
    ++removals;
    blobs.erase(key);
    co_return Result<void>{};
  }
  Task<Result<std::vector<storage::BlobInfo>>> list(std::string prefix, std::string after, std::size_t limit) override {
    std::vector<storage::BlobInfo> found;
    for (auto it = blobs.upper_bound(after); it != blobs.end() && found.size() < limit; ++it) {
      if (it->first.starts_with(prefix)) found.push_back({.key = it->first, .bytes = it->second.size()});
    }
    co_return found;
  }
  [[nodiscard]] std::optional<std::string> local_path(std::string_view) const override { return std::nullopt; }
};

}  // namespace pixmill::testing
