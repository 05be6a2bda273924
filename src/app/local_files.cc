#include "app/local_files.h"

#include <utility>

#include "app/small_file.h"
#include "base/blocking_thread.h"

namespace pixmill::app {

namespace {

constexpr std::string_view kScheme = "file:";

class LocalFilesFetcher final : public fetch::Fetcher {
 public:
  LocalFilesFetcher(fetch::Fetcher& network, std::uint64_t bytes_max)
      : network_(network), bytes_max_(bytes_max), thread_("files") {}

  Task<Result<fetch::Fetched>> get(std::string url, const std::vector<fetch::HostHeader>& headers) override {
    if (!url.starts_with(kScheme)) co_return co_await network_.get(std::move(url), headers);
    std::string path = url.substr(kScheme.size());
    auto read = [path = std::move(path), bytes_max = bytes_max_] { return read_file(path, bytes_max); };
    auto bytes = co_await thread_.run(std::move(read));
    if (!bytes) co_return std::unexpected(std::move(bytes.error()));
    co_return fetch::Fetched{.bytes = std::move(*bytes), .final_url = std::move(url)};
  }

 private:
  fetch::Fetcher& network_;
  std::uint64_t bytes_max_;
  BlockingThread thread_;
};

}  // namespace

std::string file_address(const std::string& absolute_path) { return std::string(kScheme) + absolute_path; }

std::unique_ptr<fetch::Fetcher> make_local_files_fetcher(fetch::Fetcher& network, std::uint64_t bytes_max) {
  return std::make_unique<LocalFilesFetcher>(network, bytes_max);
}

}  // namespace pixmill::app
