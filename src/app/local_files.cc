#include "app/local_files.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "app/small_file.h"
#include "base/blocking_thread.h"
#include "base/wakeup.h"
#include "http/client.h"

namespace pixmill::app {

namespace {

constexpr std::string_view kScheme = "file:";

class LocalFilesFetcher final : public fetch::Fetcher {
 public:
  LocalFilesFetcher(fetch::Fetcher& network, std::uint64_t bytes_max)
      : network_(network), bytes_max_(bytes_max), thread_("files") {}

  Task<Result<fetch::Fetched>> get(std::string url, const std::vector<fetch::HostHeader>& headers,
                                   ByteBudget::Grant* memory, const fetch::SourceVersion* known) override {
    if (!url.starts_with(kScheme)) co_return co_await network_.get(std::move(url), headers, memory, known);
    std::string path = url.substr(kScheme.size());
    if (memory != nullptr) PIXMILL_CO_RETURN_IF_ERROR(co_await room_for(path, *memory));
    auto read = [path = std::move(path), bytes_max = bytes_max_] { return read_file(path, bytes_max); };
    auto bytes = co_await thread_.run(std::move(read));
    if (!bytes) co_return std::unexpected(std::move(bytes.error()));
    co_return fetch::Fetched{.bytes = std::move(*bytes), .final_url = std::move(url)};
  }

 private:
  // As much as the file has now; read_file() holds it to `bytes_max_` if it grows meanwhile.
  Task<Result<void>> room_for(const std::string& path, ByteBudget::Grant& memory) {
    auto look = [path] {
      std::error_code error;
      const auto bytes = std::filesystem::file_size(path, error);
      return error ? std::uintmax_t{0} : bytes;
    };
    const std::uint64_t bytes = std::min<std::uint64_t>(co_await thread_.run(std::move(look)), bytes_max_);
    const auto granted = std::make_shared<Wakeup>(co_await asio::this_coro::executor);
    const ByteBudget::Grant::Growth growth{.held_bytes = 0, .wanted_bytes = bytes};
    if (memory.grow(growth, [granted] { granted->ring(); })) co_return Result<void>{};
    co_await granted->wait(http::kMemoryPatience);
    memory.forget_growth();
    if (memory.bytes() >= bytes) co_return Result<void>{};
    co_return fail(ErrorCode::kUnavailable, "There was no memory for the file in time");
  }

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
