#include "api/json_upload.h"

#include <gtest/gtest.h>

namespace pixmill::api {
namespace {

std::string table_of(std::string_view body) {
  const auto upload = read_json_upload(body);
  EXPECT_TRUE(upload.has_value()) << (upload ? "" : upload.error().detail);
  return upload ? upload->table : "";
}

TEST(JsonUpload, MakesALineOfEachRow) {
  EXPECT_EQ(table_of(R"({"rows": ["http://a/1", {"url": "http://a/2", "price": 19.90, "n": 1e3}]})"),
            "{\"url\":\"http://a/1\"}\n{\"url\": \"http://a/2\", \"price\": 19.90, \"n\": 1e3}\n")
      << "numbers as they were written";
  EXPECT_EQ(table_of("{\"rows\": [\n {\"a\":\r\n \"x\\\"]}\\\\\", \"b\": [{}, [1]]\n} ] }"),
            "{\"a\":   \"x\\\"]}\\\\\", \"b\": [{}, [1]] }\n");
  EXPECT_EQ(table_of(R"({"rows":[]})"), "");
  EXPECT_EQ(table_of(R"({"rows":[1], "rows" : ["b"]})"), "{\"url\":\"b\"}\n") << "of equal names the last";
  EXPECT_EQ(table_of(R"({"recipe": {"rows": [1, "}"]}, "\u0072ows" : ["b"]})"), "{\"url\":\"b\"}\n");
}

TEST(JsonUpload, HasTheFieldsOfAForm) {
  const auto upload = read_json_upload(
      R"({"name": "spring \u00e9", "priority": 5, "skip_invalid": true, "headers": ["a: B: c", "d: E: f"],
          "recipe": {"format": "webp"}, "rows": ["http://a/"]})");
  ASSERT_TRUE(upload);
  EXPECT_EQ(upload->fields, (std::map<std::string, std::string>{{"name", "spring \xc3\xa9"},
                                                                {"priority", "5"},
                                                                {"skip_invalid", "true"},
                                                                {"headers", "a: B: c\nd: E: f"},
                                                                {"recipe", R"({"format":"webp"})"}}));
}

TEST(JsonUpload, SaysWhatIsWrong) {
  const auto parameter_of = [](std::string_view body) {
    const auto upload = read_json_upload(body);
    if (upload) return std::string("nothing");
    EXPECT_EQ(upload.error().status, 400);
    return upload.error().parameter->name;
  };
  for (const auto* body : {"", "{", "[]", "7", R"({"rows": ["a]})", R"({"rows": [1,]})", "{\"rows\": [\"a\nb\"]}"}) {
    EXPECT_EQ(parameter_of(body), "body") << body;
  }
  for (const auto* body : {"{}", R"({"rows": {}})", R"({"rows": "http://a/"})", R"({"rows": null})"}) {
    EXPECT_EQ(parameter_of(body), "rows") << body;
  }
  for (const auto* row : {"1", "null", "[]", "true", "-1.5e7"}) {
    EXPECT_EQ(parameter_of(R"({"rows": ["http://a/", )" + std::string(row) + "]}"), "rows[1]") << row;
  }
  for (const std::string member : {R"("headers": [1])", R"("headers": "a: B: c")", R"("priority": "5")",
                                   R"("priority": 1.5)", R"("skip_invalid": "yes")", R"("overrides": 1)",
                                   R"("recipe": [])", R"("name": 7)", R"("keep": null)", R"("other": {})"}) {
    EXPECT_EQ(parameter_of(R"({"rows": [], )" + member + "}"), member.substr(1, member.find('"', 1) - 1));
  }
  const std::string long_name(200'000, 'n');
  EXPECT_EQ(parameter_of(R"({"rows": [], "name": ")" + long_name + "\"}"), "name");
  EXPECT_LT(parameter_of(R"({"rows": [], ")" + long_name + R"(": 1})").size(), 1'000u) << "shown shortened";
}

}  // namespace
}  // namespace pixmill::api
