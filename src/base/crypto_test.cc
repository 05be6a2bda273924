#include "base/crypto.h"

#include <gtest/gtest.h>

namespace pixmill {
namespace {

// FIPS 180-4 examples.
TEST(Crypto, Sha256KnowsThePublishedDigests) {
  EXPECT_EQ(to_hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Crypto, Sha256InPiecesEqualsTheWhole) {
  const std::string bytes = random_bytes(10'000);
  Sha256 hash;
  hash.update(std::string_view(bytes).substr(0, 63));
  hash.update({});
  hash.update(std::string_view(bytes).substr(63));
  EXPECT_EQ(hash.finish(), sha256(bytes));
}

// RFC 4231, test cases 2 and 6 (a key longer than the block); the last is HMAC of an empty key and message.
TEST(Crypto, HmacKnowsThePublishedVectors) {
  EXPECT_EQ(to_hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(to_hex(hmac_sha256(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  EXPECT_EQ(to_hex(hmac_sha256({}, {})), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

// RFC 4648 section 10.
TEST(Crypto, Base64KnowsThePublishedVectors) {
  const std::vector<std::pair<std::string, std::string>> vectors = {
      {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff", "+/8="}};
  for (const auto& [plain, text] : vectors) {
    EXPECT_EQ(to_base64(plain), text);
    EXPECT_EQ(from_base64(text), plain);
  }
}

TEST(Crypto, Base64RefusesEveryOtherSpelling) {
  for (const auto text :
       {"Zg", "Zg=", "Zg===", "Z===", "====", "Zm9v\n", " Zm9v", "Zm9-", "Zm9_", "Zg==Zg==", "Zh==", "Zm9="}) {
    EXPECT_FALSE(from_base64(text)) << text;
  }
}

TEST(Crypto, RandomBytesDifferAndHaveTheirLength) {
  EXPECT_EQ(random_bytes(0).size(), 0u);
  EXPECT_EQ(random_bytes(100'000).size(), 100'000u);
  EXPECT_NE(random_bytes(32), random_bytes(32));
}

TEST(Crypto, ConstantTimeEqualComparesContentAndSize) {
  EXPECT_TRUE(constant_time_equal("abc", "abc"));
  EXPECT_TRUE(constant_time_equal("", ""));
  EXPECT_FALSE(constant_time_equal("abc", "abd"));
  EXPECT_FALSE(constant_time_equal("abc", "abcd"));
}

TEST(Crypto, UnsealGivesBackWhatWasSealed) {
  const std::string key = random_bytes(32);
  for (const std::string& plain : {std::string(), std::string("secret"), std::string(5'000, '\0')}) {
    const auto sealed = seal(key, plain, "webhook:1");
    EXPECT_EQ(sealed.size(), plain.size() + 28);
    EXPECT_EQ(unseal(key, sealed, "webhook:1").value(), plain);
  }
  EXPECT_NE(seal(key, "same", ""), seal(key, "same", "")) << "the nonce must not repeat";
}

TEST(Crypto, UnsealRefusesAnotherKeyContextOrByte) {
  const std::string key = random_bytes(32);
  const std::string sealed = seal(key, "secret", "row 1");
  EXPECT_EQ(unseal(random_bytes(32), sealed, "row 1").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(unseal(key, sealed, "row 2").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(unseal("short", sealed, "row 1").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(unseal(key, sealed.substr(0, 27), "row 1").error().code, ErrorCode::kInvalidArgument);
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(unseal(key, changed, "row 1")) << "byte " << i;
  }
}

}  // namespace
}  // namespace pixmill
