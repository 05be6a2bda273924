#include "api/upload.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/run_task.h"
#include "tests/support/temp_folder.h"

namespace pixmill::api {
namespace {

namespace fs = std::filesystem;

// A body that repeats `middle` between its beginning and its end, in pieces as the server gives them.
class RepeatedBody final : public http::BodyReader {
 public:
  RepeatedBody(std::string begin, std::string middle, std::uint64_t times, std::string end)
      : begin_(std::move(begin)), middle_(std::move(middle)), end_(std::move(end)), times_(times) {}
  Task<Result<std::string_view>> next() override {
    if (!std::exchange(begun_, true)) co_return begin_;
    if (times_ > 0) {
      --times_;
      co_return middle_;
    }
    if (failure) co_return std::unexpected(*failure);
    co_return std::exchange(ended_, true) ? std::string_view() : std::string_view(end_);
  }
  std::optional<Error> failure;

 private:
  std::string begin_, middle_, end_;
  std::uint64_t times_;
  bool begun_ = false;
  bool ended_ = false;
};

std::string part(const std::string& disposition, const std::string& data) {
  return "--b\r\nContent-Disposition: form-data; " + disposition + "\r\n\r\n" + data + "\r\n";
}

class UploadTest : public ::testing::Test {
 protected:
  Checked<Upload> receive(http::BodyReader& body, UploadLimits limits = {},
                          std::string type = "multipart/form-data; boundary=b") {
    limits.spool_folder = folder_.path();
    if (limits.file_bytes_max == 0) limits.file_bytes_max = 1'000'000'000;
    UploadReceiver receiver(limits, thread_);
    http::Request request;
    request.headers.add("Content-Type", std::move(type));
    request.body = &body;
    return testing::run_task(io_, receiver.receive(request, job_, UploadForms::kMultipartOrJson));
  }
  Checked<Upload> receive_text(const std::string& text, UploadLimits limits = {}) {
    RepeatedBody body(text, "", 0, "--b--\r\n");
    return receive(body, std::move(limits));
  }
  [[nodiscard]] std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()));
  }

  testing::TempFolder folder_;
  asio::io_context io_;
  BlockingThread thread_{"upload-test"};
  const JobId job_{Uuid::random()};
};

TEST_F(UploadTest, SpoolsTheFileAndKeepsTheFields) {
  const auto upload = receive_text(part("name=\"recipe\"", " format=webp ") +
                                   part("name=\"file\"; filename=\"C:\\x\\Products.CSV\"", "a,b\r\n1,2\r\n") +
                                   part("name=\"headers\"", "h: A: 1") + part("name=\"headers\"", "h: B: 2") +
                                   part("name=\"picture\"; filename=\"ignored.png\"", "PNG"));
  ASSERT_TRUE(upload) << upload.error().detail;
  ASSERT_TRUE(upload->file);
  EXPECT_EQ(upload->file->name, "Products.CSV");
  EXPECT_EQ(upload->file->bytes, 10U);
  EXPECT_EQ(upload->file->spool.path(), folder_.file(job_.text() + ".csv"));
  EXPECT_EQ(folder_.read(job_.text() + ".csv"), "a,b\r\n1,2\r\n");
  EXPECT_EQ(upload->field("recipe"), "format=webp");
  EXPECT_EQ(upload->field("headers"), "h: A: 1\nh: B: 2");
  EXPECT_EQ(upload->field("missing"), "");
  EXPECT_FALSE(upload->fields.contains("picture"));
}

TEST_F(UploadTest, RemovesTheSpoolFileOfARefusedUploadAndKeepsAHandedOverOne) {
  const std::string form = part("name=file; filename=a.csv", "x");
  { const auto refused = receive_text(form); }
  EXPECT_EQ(files(), 0U);
  {
    auto taken = receive_text(form);
    ASSERT_TRUE(taken);
    EXPECT_EQ(taken->file->spool.hand_over(), folder_.file(job_.text() + ".csv"));
  }
  EXPECT_EQ(files(), 1U);
}

TEST_F(UploadTest, SpoolsAnEmptyFileToo) {
  const auto upload = receive_text(part("name=file; filename=a.csv", ""));
  ASSERT_TRUE(upload);
  EXPECT_EQ(upload->file->bytes, 0U);
  EXPECT_TRUE(fs::exists(upload->file->spool.path()));
}

TEST_F(UploadTest, SpoolsTheRowsOfAJsonDocument) {
  RepeatedBody body(R"({"recipe": "web", "rows": ["http://a/1",)", R"( "http://a/2",)", 2, R"( "http://a/3"]})");
  const auto upload = receive(body, {}, "Application/JSON; charset=utf-8");
  ASSERT_TRUE(upload) << upload.error().detail;
  EXPECT_EQ(upload->field("recipe"), "web");
  EXPECT_EQ(upload->file->name, "rows.jsonl");
  EXPECT_EQ(upload->file->spool.path(), folder_.file(job_.text() + ".jsonl"));
  const auto table = folder_.read(job_.text() + ".jsonl");
  EXPECT_EQ(upload->file->bytes, table.size());
  EXPECT_EQ(std::ranges::count(table, '\n'), 4);
}

TEST_F(UploadTest, RefusesAJsonDocumentThatIsWrongOrTooLarge) {
  RepeatedBody wrong(R"({"rows": 1})", "", 0, "");
  EXPECT_EQ(receive(wrong, {}, "application/json").error().status, 400);
  RepeatedBody large("{", std::string(64 << 10, ' '), 200, "}");
  const auto refused = receive(large, {}, "application/json");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().status, 413);
  EXPECT_NE(refused.error().hint.find("file"), std::string::npos);
  EXPECT_EQ(files(), 0u);
}

TEST_F(UploadTest, RefusesWhatIsNoForm) {
  RepeatedBody body("{}", "", 0, "");
  const auto upload = receive(body, {}, "application/jsonl");
  ASSERT_FALSE(upload);
  EXPECT_EQ(upload.error().status, 415);
}

TEST_F(UploadTest, RefusesAMalformedFormAndTwoFiles) {
  RepeatedBody cut("--b\r\nContent-Disposition: form-data; name=file; filename=a.csv\r\n\r\nabc", "", 0, "");
  EXPECT_EQ(receive(cut).error().status, 400);
  const std::string file = part("name=file; filename=a.csv", "x");
  EXPECT_EQ(receive_text(file + file).error().status, 400);
  EXPECT_EQ(files(), 0U);
}

TEST_F(UploadTest, BoundsFileFieldsAndParts) {
  const std::string file = part("name=file; filename=a.csv", std::string(101, 'x'));
  EXPECT_EQ(receive_text(file, {.spool_folder = {}, .file_bytes_max = 100}).error().status, 413);
  EXPECT_TRUE(receive_text(file, {.spool_folder = {}, .file_bytes_max = 101}));
  EXPECT_EQ(receive_text(part("name=recipe", std::string(65'537, 'x'))).error().status, 413);
  std::string many_bytes;
  for (int i = 0; i < 9; ++i) many_bytes += part(fmt::format("name=f{}", i), std::string(65'000, 'x'));
  EXPECT_EQ(receive_text(many_bytes).error().status, 413);
  std::string many_parts;
  for (int i = 0; i < 101; ++i) many_parts += part("name=x", "");
  EXPECT_EQ(receive_text(many_parts).error().status, 413);
  EXPECT_EQ(files(), 0U);
}

TEST_F(UploadTest, RefusesWhenTheDiskWouldBeTooFull) {
  const std::string file = part("name=file; filename=a.csv", "x");
  const auto upload = receive_text(file, {.spool_folder = {}, .file_bytes_max = 100, .free_bytes_min = 1ULL << 62});
  ASSERT_FALSE(upload);
  EXPECT_EQ(upload.error().status, 507);
  EXPECT_EQ(upload.error().code, "disk_full");
}

TEST_F(UploadTest, SaysWhenTheFolderCannotBeWritten) {
  UploadReceiver receiver({.spool_folder = folder_.file("missing"), .file_bytes_max = 100}, thread_);
  RepeatedBody body(part("name=file; filename=a.csv", "x"), "", 0, "--b--");
  http::Request request;
  request.headers.add("Content-Type", "multipart/form-data; boundary=b");
  request.body = &body;
  const auto upload = testing::run_task(io_, receiver.receive(request, job_, UploadForms::kMultipartOrJson));
  ASSERT_FALSE(upload);
  EXPECT_EQ(upload.error().status, 500);
  EXPECT_EQ(upload.error().code, "io");
}

TEST_F(UploadTest, PassesOnThatTheClientLeftAndCleansUp) {
  RepeatedBody body("--b\r\nContent-Disposition: form-data; name=file; filename=a.csv\r\n\r\n", "data", 3, "");
  body.failure = Error{.code = ErrorCode::kTruncated, .message = "left", .detail = {}};
  const auto upload = receive(body);
  ASSERT_FALSE(upload);
  EXPECT_EQ(upload.error().code, "truncated");
  EXPECT_EQ(files(), 0U);
}

TEST_F(UploadTest, SweepsWhatNoJobNames) {
  folder_.write("kept.csv", "1");
  folder_.write("orphan.csv", "2");
  UploadReceiver receiver({.spool_folder = folder_.path()}, thread_);
  EXPECT_TRUE(testing::run_task(io_, receiver.sweep({"/elsewhere/kept.csv"})));
  EXPECT_EQ(files(), 1U);
  EXPECT_EQ(folder_.read("kept.csv"), "1");
  UploadReceiver fresh({.spool_folder = folder_.file("new/spool")}, thread_);
  EXPECT_TRUE(testing::run_task(io_, fresh.sweep({})));
  EXPECT_TRUE(fs::is_directory(folder_.file("new/spool")));
  UploadReceiver blocked({.spool_folder = folder_.file("kept.csv/spool")}, thread_);
  EXPECT_FALSE(testing::run_task(io_, blocked.sweep({})));
}

TEST(TableExtension, IsKeptWhereItSaysHowToRead) {
  EXPECT_EQ(table_extension("a.CSV"), ".csv");
  EXPECT_EQ(table_extension("a.b.jsonl.gz"), ".jsonl.gz");
  EXPECT_EQ(table_extension("a.tsv"), ".tsv");
  EXPECT_EQ(table_extension("a.txt.gz"), ".gz");
  EXPECT_EQ(table_extension("../../etc/passwd"), "");
  EXPECT_EQ(table_extension(""), "");
}

std::uint64_t status_kb(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name + ":")) return std::stoull(line.substr(name.size() + 1));
  }
  return 0;
}

using P44 = UploadTest;

TEST_F(P44, AnUploadStreamsToDiskInBoundedMemory) {
  constexpr std::uint64_t kPieces = 4'600;  // 300 MB
  const std::string piece(64u << 10, 'x');
  RepeatedBody body("--b\r\nContent-Disposition: form-data; name=file; filename=a.csv\r\n\r\n", piece, kPieces,
                    "\r\n--b--\r\n");
  std::ofstream("/proc/self/clear_refs") << "5";  // the high-water mark begins again here
  const std::uint64_t before_kb = status_kb("VmRSS");
  const auto upload = receive(body);
  const std::uint64_t peak_kb = status_kb("VmHWM");
  ASSERT_TRUE(upload) << upload.error().detail;
  EXPECT_EQ(fs::file_size(upload->file->spool.path()), kPieces * piece.size());
  RecordProperty("peak_growth_kb", static_cast<int>(peak_kb - before_kb));
#if !defined(__SANITIZE_ADDRESS__)  // which keeps freed memory for a while
  EXPECT_LT(peak_kb, before_kb + 8'000);
#endif
}

}  // namespace
}  // namespace pixmill::api
