#include "storage/s3_xml.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace pixmill::storage {
namespace {

TEST(S3Xml, ReadsErrors) {
  const auto error = parse_s3_error(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region "
      "&apos;us-east-1&apos; is wrong</Message><Region>eu-west-1</Region><RequestId>1</RequestId></Error>");
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code, "AuthorizationHeaderMalformed");
  EXPECT_EQ(error->message, "the region 'us-east-1' is wrong");
  EXPECT_EQ(error->region, "eu-west-1");
}

TEST(S3Xml, TakesNothingElseForAnError) {
  EXPECT_FALSE(parse_s3_error(""));
  EXPECT_FALSE(parse_s3_error("Error"));
  EXPECT_FALSE(parse_s3_error("<html>Error</html>"));
  EXPECT_FALSE(parse_s3_error("<Error><Code>NoSuchKey</Code>"));
  EXPECT_FALSE(parse_s3_error("<CopyObjectResult><ETag>Error</ETag></CopyObjectResult>"));
}

TEST(S3Xml, ReadsListings) {
  const auto page = parse_list_page(
      "<?xml version='1.0' encoding='UTF-8'?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
      "<Name>b</Name><Prefix/><KeyCount>2</KeyCount><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
      "<NextContinuationToken>a+b/c==</NextContinuationToken>"
      "<Contents><Key>a+b/100%25%20%2B.jpg</Key><ETag>&quot;x&quot;</ETag><Size>12</Size></Contents>"
      "<Contents><Key>caf%C3%A9</Key><Size>5000000000</Size></Contents></ListBucketResult>");
  ASSERT_TRUE(page.has_value());
  ASSERT_EQ(page->blobs.size(), 2u);
  EXPECT_EQ(page->blobs[0].key, "a b/100% +.jpg");
  EXPECT_EQ(page->blobs[0].bytes, 12u);
  EXPECT_EQ(page->blobs[1].key, "caf\xc3\xa9");
  EXPECT_EQ(page->blobs[1].bytes, 5'000'000'000u);
  EXPECT_EQ(page->continuation_token, "a+b/c==");
}

TEST(S3Xml, LeavesKeysAloneThatAreNotEncoded) {
  const auto page = parse_list_page(
      "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a+b%41</Key><Size>0</Size></Contents>"
      "</ListBucketResult>");
  ASSERT_TRUE(page.has_value());
  EXPECT_EQ(page->blobs.at(0).key, "a+b%41");
  EXPECT_EQ(page->continuation_token, "");
}

TEST(S3Xml, RefusesListingsThatMakeNoSense) {
  for (const std::string text :
       {"", "<ListBucketResult>", "<Error><Code>SlowDown</Code></Error>",
        "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%</Key><Size>1</Size></Contents>"
        "</ListBucketResult>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"}) {
    const auto page = parse_list_page(text);
    ASSERT_FALSE(page.has_value()) << text;
    EXPECT_EQ(page.error().code, ErrorCode::kProtocol);
  }
}

TEST(S3Xml, RefusesEntitiesDepthAndFloods) {
  EXPECT_FALSE(parse_s3_error("<!DOCTYPE Error [<!ENTITY a \"aaaa\">]><Error><Code>&a;</Code></Error>"));
  EXPECT_FALSE(parse_s3_error("<Error><Code>&lol;</Code></Error>"));
  std::string deep = "<Error>";
  for (int i = 0; i < 100; ++i) deep += "<a>";
  for (int i = 0; i < 100; ++i) deep += "</a>";
  EXPECT_FALSE(parse_s3_error(deep + "</Error>"));
  std::string flood = "<Error>";
  for (int i = 0; i < 30'000; ++i) flood += "<a/>";
  EXPECT_FALSE(parse_s3_error(flood + "</Error>"));
}

TEST(S3Xml, ReadsAnswersAboutUploads) {
  EXPECT_EQ(parse_upload_id("<InitiateMultipartUploadResult><Bucket>b</Bucket><UploadId>x/y+z=</UploadId>"
                            "</InitiateMultipartUploadResult>"),
            "x/y+z=");
  EXPECT_EQ(parse_upload_id("<InitiateMultipartUploadResult/>").error().code, ErrorCode::kProtocol);
  EXPECT_EQ(parse_result_etag("<CompleteMultipartUploadResult><ETag>&quot;abc-2&quot;</ETag>"
                              "</CompleteMultipartUploadResult>"),
            "abc-2");
  EXPECT_EQ(parse_result_etag("<s:CopyObjectResult xmlns:s=\"x\"><s:ETag>abc</s:ETag></s:CopyObjectResult>"), "abc");
  EXPECT_EQ(parse_result_etag("<CopyObjectResult></CopyObjectResult>").error().code, ErrorCode::kProtocol);
  EXPECT_EQ(parse_result_etag("<Error><Code>InternalError</Code></Error>").error().code, ErrorCode::kProtocol);
}

TEST(S3Xml, WritesWhatCompletesAnUpload) {
  EXPECT_EQ(
      complete_upload_xml({{.number = 1, .etag = "\"a\""}, {.number = 2, .etag = "b"}}),
      "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Part><PartNumber>1</PartNumber>"
      "<ETag>&quot;a&quot;</ETag></Part><Part><PartNumber>2</PartNumber><ETag>b</ETag></Part>"
      "</CompleteMultipartUpload>");
}

}  // namespace
}  // namespace pixmill::storage
