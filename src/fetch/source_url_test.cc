#include "fetch/source_url.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace pixmill::fetch {
namespace {

std::string normal(std::string_view text) {
  const auto url = parse_source_url(text);
  return url ? url->text() : url.error().message;
}

bool is_invalid(std::string_view text) {
  const auto url = parse_source_url(text);
  return !url && url.error().code == ErrorCode::kInvalidUrl && !url.error().message.empty();
}

TEST(SourceUrl, TakesAnAddressApart) {
  const auto url = parse_source_url("HTTPS://Pictures.Example.COM:8443/a/b.jpg?w=1&h=2#top");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->scheme, "https");
  EXPECT_EQ(url->host, "pictures.example.com");
  EXPECT_FALSE(url->literal);
  EXPECT_EQ(url->port, 8443);
  EXPECT_FALSE(url->port_is_default);
  EXPECT_EQ(url->target, "/a/b.jpg?w=1&h=2");
  EXPECT_EQ(url->origin(), "https://pictures.example.com:8443");
  EXPECT_EQ(url->text(), "https://pictures.example.com:8443/a/b.jpg?w=1&h=2");
  EXPECT_EQ(loggable(*url), "https://pictures.example.com:8443/a/b.jpg");
}

TEST(SourceUrl, GivesEveryAddressOneSpelling) {
  EXPECT_EQ(normal("http://a.test"), "http://a.test/");
  EXPECT_EQ(normal("http://a.test:80"), "http://a.test/");
  EXPECT_EQ(normal("https://a.test:443/x"), "https://a.test/x");
  EXPECT_EQ(normal("https://a.test:80/x"), "https://a.test:80/x");
  EXPECT_EQ(normal("http://a.test./x"), "http://a.test/x");
  EXPECT_EQ(normal("http://a.test?q"), "http://a.test/?q");
  EXPECT_EQ(normal("http://a.test#f"), "http://a.test/");
  EXPECT_EQ(normal("http://a.test/?"), "http://a.test/?");
  EXPECT_EQ(normal("http://a_b-.xn--nxasmq6b.test/"), "http://a_b-.xn--nxasmq6b.test/");
  EXPECT_EQ(normal("http://[2001:DB8:0:0:0:0:0:1]:8080/"), "http://[2001:db8::1]:8080/");
  EXPECT_EQ(normal("http://192.0.2.1/"), "http://192.0.2.1/");
}

TEST(SourceUrl, KnowsLiteralAddresses) {
  const auto v4 = parse_source_url("http://192.0.2.255:81/");
  ASSERT_TRUE(v4 && v4->literal);
  EXPECT_EQ(v4->host, "192.0.2.255");
  EXPECT_EQ(v4->literal->to_string(), "192.0.2.255");
  const auto v6 = parse_source_url("http://[::ffff:192.0.2.1]/");
  ASSERT_TRUE(v6 && v6->literal);
  EXPECT_TRUE(v6->literal->is_v6());
  EXPECT_EQ(v6->host, "::ffff:192.0.2.1");
}

TEST(SourceUrl, EncodesWhatBrowsersEncode) {
  EXPECT_EQ(normal("http://a.test/my cat.jpg"), "http://a.test/my%20cat.jpg");
  EXPECT_EQ(normal("http://a.test/k\xc3\xa4se.jpg?x=\xe2\x82\xac"), "http://a.test/k%C3%A4se.jpg?x=%E2%82%AC");
  EXPECT_EQ(normal("http://a.test/\"<>[]^`{|}?\"<>[]^`{|}"),
            "http://a.test/%22%3C%3E%5B%5D%5E%60%7B%7C%7D?%22%3C%3E%5B%5D%5E%60%7B%7C%7D");
  EXPECT_EQ(normal("http://a.test/%41%2f!$&'()*+,;=:@-._~?/?:@"), "http://a.test/%41%2f!$&'()*+,;=:@-._~?/?:@");
}

TEST(SourceUrl, RemovesDotSegments) {
  EXPECT_EQ(normal("http://a.test/a/./b/../c"), "http://a.test/a/c");
  EXPECT_EQ(normal("http://a.test/../../x"), "http://a.test/x");
  EXPECT_EQ(normal("http://a.test/a/.."), "http://a.test/");
  EXPECT_EQ(normal("http://a.test/a/."), "http://a.test/a/");
  EXPECT_EQ(normal("http://a.test/a//b/"), "http://a.test/a//b/");
  EXPECT_EQ(normal("http://a.test/a/%2e%2e/b?/../x"), "http://a.test/a/%2e%2e/b?/../x");
}

TEST(SourceUrl, RefusesWhatIsNoAddressOfAPicture) {
  for (const std::string_view text : {"",
                                      " ",
                                      "a.jpg",
                                      "//a.test/x",
                                      "ftp://a.test/x",
                                      "file:///etc/passwd",
                                      "javascript:alert(1)",
                                      "data:image/png;base64,AA",
                                      "http:a.test",
                                      "http:/a.test",
                                      "http//a.test",
                                      "http://",
                                      "http:///x",
                                      "https://?x",
                                      "http://#x",
                                      "http://:80/",
                                      " http://a.test",
                                      "\thttp://a.test",
                                      "ht tp://a.test",
                                      "http ://a.test",
                                      "hxxp://a.test",
                                      "http://a.test:",
                                      "http://a.test:0/",
                                      "http://a.test:65536/",
                                      "http://a.test:080/",
                                      "http://a.test:+80/",
                                      "http://a.test:8o/",
                                      "http://a.test:80:80/",
                                      "http://a.test: 80/",
                                      "http://a.test:99999999999/",
                                      "http://a..test/",
                                      "http://.a.test/",
                                      "http://a.test../",
                                      "http://./",
                                      "http://a test/",
                                      "http://a!b/",
                                      "http://a,b/",
                                      "http://a(b)/",
                                      "http://a*b/",
                                      "http://a%41/",
                                      "http://a.test%2f/",
                                      "http://a.test%00/",
                                      "http://a.test/%00",
                                      "http://a.test/?x=%00",
                                      "http://a.test/%",
                                      "http://a.test/%4",
                                      "http://a.test/%zz",
                                      "http://a.test/100%",
                                      "http://a.test/\\x",
                                      "http://a.test\\x",
                                      "http:\\\\a.test",
                                      "http://u@a.test/",
                                      "http://u:p@a.test/",
                                      "http://@a.test/",
                                      "http://a.test@/",
                                      "http://a.test/\tx",
                                      "http://a.test/\nx",
                                      "http://a.test/\rx",
                                      "http://a.test/\x7f",
                                      "http://a\t.test/",
                                      "http://a\n.test/",
                                      "http://a.test/\xff",
                                      "http://a.test/\xc3",
                                      "http://b\xc3\xbc"
                                      "cher.test/",
                                      "http://[::1",
                                      "http://[]/",
                                      "http://[::1]x/",
                                      "http://[::1]:/",
                                      "http://[127.0.0.1]/",
                                      "http://[v1.a]/",
                                      "http://[::1%25lo]/",
                                      "http://[fe80::1%25eth0]/",
                                      "http://[:::1]/",
                                      "http://[1::2::3]/",
                                      "http://::1/",
                                      "http://a.test]/",
                                      "http://[a.test]/"}) {
    EXPECT_TRUE(is_invalid(text)) << text;
  }
  EXPECT_TRUE(is_invalid(std::string_view("http://a.test/\0x", 16)));
  EXPECT_TRUE(is_invalid("http://" + std::string(64, 'a') + ".test/"));
  std::string long_host;
  while (long_host.size() < 254) long_host += "abcdefgh.";
  EXPECT_TRUE(is_invalid("http://" + long_host + "test/"));
}

TEST(SourceUrl, RefusesEveryOtherSpellingOfIpv4) {
  for (const std::string_view host : {"2130706433",
                                      "0x7f000001",
                                      "0x7F000001",
                                      "017700000001",
                                      "127.1",
                                      "127.0.1",
                                      "0x7f.1",
                                      "0x7f.0.0.1",
                                      "0177.0.0.1",
                                      "127.0.0.01",
                                      "127.0.0.001",
                                      "0127.0.0.1",
                                      "127.0.0.1.",
                                      "127.0.0.0x1",
                                      "256.0.0.1",
                                      "127.0.0.256",
                                      "127.0.0.1.5",
                                      "0",
                                      "1",
                                      "0.0",
                                      "1.2.3",
                                      "1.2.3.4.5",
                                      "-1",
                                      "a.1",
                                      "a.0x1",
                                      "a.0x",
                                      "0x",
                                      "1..2.3",
                                      ".1.2.3",
                                      "127.0.0.1%00",
                                      "99999999999",
                                      "0x100000000",
                                      "\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1",
                                      "127\xe3\x80\x82"
                                      "0.0.1",
                                      "\xe2\x91\xa0.1.1.1"}) {
    const auto url = parse_source_url(fmt::format("http://{}/", host));
    // "-1" is a strange name, and yet a name.
    EXPECT_EQ(url.has_value(), host == "-1") << host;
    EXPECT_FALSE(url && url->literal) << host;
  }
}

TEST(SourceUrl, BoundsItsLength) {
  const std::string start = "http://a.test/";
  EXPECT_FALSE(is_invalid(start + std::string(8'192 - start.size(), 'a')));
  EXPECT_TRUE(is_invalid(start + std::string(8'193 - start.size(), 'a')));
}

// RFC 3986 section 5.4, the examples that http has.
TEST(SourceUrl, ResolvesLocationsAsTheStandardSays) {
  const SourceUrl base = parse_source_url("http://a/b/c/d;p?q").value();
  const std::pair<std::string_view, std::string_view> examples[] = {
      {"http://g", "http://g/"},
      {"g", "http://a/b/c/g"},
      {"./g", "http://a/b/c/g"},
      {"g/", "http://a/b/c/g/"},
      {"/g", "http://a/g"},
      {"//g", "http://g/"},
      {"?y", "http://a/b/c/d;p?y"},
      {"g?y", "http://a/b/c/g?y"},
      {"#s", "http://a/b/c/d;p?q"},
      {"g#s", "http://a/b/c/g"},
      {"g?y#s", "http://a/b/c/g?y"},
      {";x", "http://a/b/c/;x"},
      {"g;x", "http://a/b/c/g;x"},
      {"g;x?y#s", "http://a/b/c/g;x?y"},
      {"", "http://a/b/c/d;p?q"},
      {".", "http://a/b/c/"},
      {"./", "http://a/b/c/"},
      {"..", "http://a/b/"},
      {"../", "http://a/b/"},
      {"../g", "http://a/b/g"},
      {"../..", "http://a/"},
      {"../../", "http://a/"},
      {"../../g", "http://a/g"},
      {"../../../g", "http://a/g"},
      {"/./g", "http://a/g"},
      {"/../g", "http://a/g"},
      {"g.", "http://a/b/c/g."},
      {".g", "http://a/b/c/.g"},
      {"..g", "http://a/b/c/..g"},
      {"./../g", "http://a/b/g"},
      {"./g/.", "http://a/b/c/g/"},
      {"g/./h", "http://a/b/c/g/h"},
      {"g/../h", "http://a/b/c/h"},
      {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
      {"g;x=1/../y", "http://a/b/c/y"},
      {"g?y/./x", "http://a/b/c/g?y/./x"},
      {"g?y/../x", "http://a/b/c/g?y/../x"},
      {"g#s/../x", "http://a/b/c/g"},
  };
  for (const auto& [location, expected] : examples) {
    const auto url = resolve_location(base, location);
    ASSERT_TRUE(url) << location << ": " << url.error().message;
    EXPECT_EQ(url->text(), expected) << location;
  }
}

TEST(SourceUrl, KeepsSchemeAndPortOfTheBaseUnlessTold) {
  const SourceUrl base = parse_source_url("https://[::1]:8443/a/b?x").value();
  EXPECT_EQ(resolve_location(base, "c")->text(), "https://[::1]:8443/a/c");
  EXPECT_EQ(resolve_location(base, "//other.test/c")->text(), "https://other.test/c");
  EXPECT_EQ(resolve_location(base, "http://other.test:81/c")->text(), "http://other.test:81/c");
  EXPECT_EQ(resolve_location(base, "/a b/\xc3\xa4")->text(), "https://[::1]:8443/a%20b/%C3%A4");
}

TEST(SourceUrl, RefusesLocationsAsItRefusesAddresses) {
  const SourceUrl base = parse_source_url("http://a.test/").value();
  for (const std::string_view location :
       {"ftp://a.test/", "file:///etc/passwd", "javascript:1", "http:x", "//", "///x", "//u@b.test/", "/\\b.test",
        "\\\\b.test", "//0x7f.1/", "/%00", "/\xff", "http://[::1%25lo]/", "mailto:a@b"}) {
    const auto url = resolve_location(base, location);
    EXPECT_TRUE(!url && url.error().code == ErrorCode::kInvalidUrl) << location;
  }
}

}  // namespace
}  // namespace pixmill::fetch
