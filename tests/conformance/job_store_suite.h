// The conformance suite of JobStore. An implementation includes it in one test file and instantiates it:
//   PIXMILL_INSTANTIATE_JOB_STORE_SUITE(Sqlite, factory)
#pragma once

#include "tests/conformance/job_core_property.h"
#include "tests/conformance/job_store_claims.h"
#include "tests/conformance/job_store_control.h"
#include "tests/conformance/job_store_ingest.h"
#include "tests/conformance/job_store_model.h"
#include "tests/conformance/job_store_pause.h"
#include "tests/conformance/job_store_reads.h"
#include "tests/conformance/job_store_recipes.h"
#include "tests/conformance/job_store_removal.h"
#include "tests/conformance/job_store_since.h"
#include "tests/conformance/job_store_takeover.h"

#define PIXMILL_INSTANTIATE_JOB_STORE_SUITE(name, factory)                                        \
  namespace pixmill::conformance {                                                                \
  INSTANTIATE_TEST_SUITE_P(name, JobStoreIngest, ::testing::Values(factory), factory_name);       \
  INSTANTIATE_TEST_SUITE_P(name, JobStoreNames, ::testing::Values(factory), factory_name);        \
  INSTANTIATE_TEST_SUITE_P(name, P14, ::testing::Values(factory), factory_name);                  \
  INSTANTIATE_TEST_SUITE_P(name, JobStoreClaims, ::testing::Values(factory), factory_name);       \
  INSTANTIATE_TEST_SUITE_P(name, JobStoreOutcomes, ::testing::Values(factory), factory_name);     \
  INSTANTIATE_TEST_SUITE_P(name, JobStoreRepeatedUrls, ::testing::Values(factory), factory_name); \
  INSTANTIATE_TEST_SUITE_P(name, JobStoreRecipes, ::testing::Values(factory), factory_name);      \
  INSTANTIATE_TEST_SUITE_P(name, P04, ::testing::Values(factory), factory_name);                  \
  INSTANTIATE_TEST_SUITE_P(name, P11, ::testing::Values(factory), factory_name);                  \
  INSTANTIATE_TEST_SUITE_P(name, P12, ::testing::Values(factory), factory_name);                  \
  INSTANTIATE_TEST_SUITE_P(name, P15, ::testing::Values(factory), factory_name);                  \
  INSTANTIATE_TEST_SUITE_P(name, P19, ::testing::Values(factory), factory_name);                  \
  INSTANTIATE_TEST_SUITE_P(name, JobStoreControl, ::testing::Values(factory), factory_name);      \
  INSTANTIATE_TEST_SUITE_P(name, JobStoreRetry, ::testing::Values(factory), factory_name);        \
  INSTANTIATE_TEST_SUITE_P(name, JobStorePause, ::testing::Values(factory), factory_name);        \
  INSTANTIATE_TEST_SUITE_P(name, JobStoreTakeover, ::testing::Values(factory), factory_name);     \
  INSTANTIATE_TEST_SUITE_P(name, JobStoreMarks, ::testing::Values(factory), factory_name);        \
  INSTANTIATE_TEST_SUITE_P(name, JobStoreRemoval, ::testing::Values(factory), factory_name);      \
  INSTANTIATE_TEST_SUITE_P(name, JobStoreReads, ::testing::Values(factory), factory_name);        \
  INSTANTIATE_TEST_SUITE_P(name, JobStoreSince, ::testing::Values(factory), factory_name);        \
  INSTANTIATE_TEST_SUITE_P(name, JobStoreModel, ::testing::Values(factory), factory_name);        \
  INSTANTIATE_TEST_SUITE_P(name, JobCoreProperty, ::testing::Values(factory), factory_name);      \
  }
