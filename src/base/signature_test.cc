#include "base/signature.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/crypto.h"

namespace pixmill {
namespace {

constexpr std::string_view kSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
constexpr std::string_view kId = "msg_p5jXN8AQM9LWM0D4loKWxJek";
constexpr std::string_view kBody = R"({"test": 2432232314})";
constexpr std::int64_t kSentAt = 1'614'265'330;

WebhookSecret secret() { return WebhookSecret::parse(kSecret).value(); }
TimePoint sent_at(seconds later = seconds(0)) { return TimePoint(seconds(kSentAt) + later); }

// The vector that the reference libraries of Standard Webhooks share.
TEST(Signature, SignsAsTheReferenceLibrariesDo) {
  EXPECT_EQ(secret().sign(kId, kSentAt, kBody), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST(Signature, SecretSurvivesItsText) {
  EXPECT_EQ(secret().text(), kSecret);
  const auto random = WebhookSecret::random();
  EXPECT_EQ(WebhookSecret::parse(random.text()).value().sign("a", 1, "b"), random.sign("a", 1, "b"));
  EXPECT_NE(random.text(), WebhookSecret::random().text());
}

TEST(Signature, ParseRefusesPrefixBase64AndLength) {
  for (const std::string& text :
       {std::string(""), std::string(kSecret.substr(6)), std::string("whsec_not base64!"),
        "whsec_" + to_base64(std::string(23, 'k')), "whsec_" + to_base64(std::string(65, 'k'))}) {
    const auto parsed = WebhookSecret::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_TRUE(WebhookSecret::parse("whsec_" + to_base64(std::string(64, 'k'))));
}

TEST(Signature, VerifyTakesAnyMatchingEntryOfTheHeader) {
  const std::string good = secret().sign(kId, kSentAt, kBody);
  EXPECT_TRUE(secret().verify(kId, kSentAt, kBody, good, sent_at()));
  EXPECT_TRUE(secret().verify(kId, kSentAt, kBody, "v1a,abc v1,AAAA " + good, sent_at()));
}

TEST(Signature, VerifyRefusesWhatWasTamperedWith) {
  const std::string good = secret().sign(kId, kSentAt, kBody);
  EXPECT_FALSE(secret().verify("other", kSentAt, kBody, good, sent_at()));
  EXPECT_FALSE(secret().verify(kId, kSentAt + 1, kBody, good, sent_at()));
  EXPECT_FALSE(secret().verify(kId, kSentAt, "{}", good, sent_at()));
  EXPECT_FALSE(secret().verify(kId, kSentAt, kBody, "", sent_at()));
  EXPECT_FALSE(secret().verify(kId, kSentAt, kBody, good.substr(3), sent_at()));
  EXPECT_EQ(WebhookSecret::random().verify(kId, kSentAt, kBody, good, sent_at()).error().code,
            ErrorCode::kInvalidArgument);
}

TEST(Signature, VerifyRefusesTimestampsBeyondTheTolerance) {
  const std::string good = secret().sign(kId, kSentAt, kBody);
  EXPECT_TRUE(secret().verify(kId, kSentAt, kBody, good, sent_at(seconds(300))));
  EXPECT_TRUE(secret().verify(kId, kSentAt, kBody, good, sent_at(seconds(-300))));
  EXPECT_FALSE(secret().verify(kId, kSentAt, kBody, good, sent_at(seconds(301))));
  EXPECT_FALSE(secret().verify(kId, kSentAt, kBody, good, sent_at(seconds(-301))));
  for (const auto extreme : {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_FALSE(secret().verify(kId, extreme, kBody, secret().sign(kId, extreme, kBody), sent_at()));
  }
}

}  // namespace
}  // namespace pixmill
