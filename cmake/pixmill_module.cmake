# pixmill_module(NAME fetch DEPENDS base http SOURCES a.cc LIBS CURL::libcurl TESTS a_test.cc TEST_LIBS ...)
#
# One static library and one test program per folder of src/. DEPENDS names modules of a lower tier (docs/layers.txt) and is
# checked here; LIBS are private third-party targets. Tests see the module, its dependencies and tests/support.
file(STRINGS "${CMAKE_SOURCE_DIR}/docs/layers.txt" PIXMILL_LAYER_LINES REGEX "^[0-9]")
foreach(line IN LISTS PIXMILL_LAYER_LINES)
  string(REGEX REPLACE "[ \t]+" ";" words "${line}")
  list(POP_FRONT words tier)
  foreach(module IN LISTS words)
    set(PIXMILL_TIER_${module} ${tier})
  endforeach()
endforeach()

# g++ 12 reports overlaps and overruns in inlined std::string code that are not there (GCC bugs 105329, 105651), at -O2 above all;
# AddressSanitizer looks for the real ones.
add_library(pixmill_warnings INTERFACE)
target_compile_options(pixmill_warnings INTERFACE -Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor -Wcast-align
  -Wconversion -Wno-sign-conversion -Wundef $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-mismatched-new-delete
    -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread>)

# Every target that compiles our code starts from here: paths, warnings, what Asio needs, and the shared precompiled header.
function(pixmill_compile_settings target)
  target_include_directories(${target} PUBLIC "${CMAKE_SOURCE_DIR}/src")
  target_compile_definitions(${target} PUBLIC BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_COROUTINE
    BOOST_ASIO_SEPARATE_COMPILATION)
  target_link_libraries(${target} PRIVATE pixmill_warnings PUBLIC Boost::headers fmt::fmt Threads::Threads)
  if(PIXMILL_PCH AND NOT target MATCHES "_test$|_pch$")
    target_precompile_headers(${target} REUSE_FROM pixmill_pch)
  endif()
endfunction()

# The same for a program of GoogleTest. What tests compile is not optimised and not watched by UBSan, which halves the time that a
# sanitized build takes; what they test is, in its own library. Inline code of headers counts as the tests': UBSan watches it in the
# sanitized program, which runs whole jobs.
function(pixmill_test_settings target)
  pixmill_compile_settings(${target})
  target_include_directories(${target} PRIVATE "${CMAKE_SOURCE_DIR}")
  target_link_libraries(${target} PRIVATE GTest::gmock)
  if(PIXMILL_SANITIZE)
    target_compile_options(${target} PRIVATE -O0 -fno-sanitize=undefined)
  endif()
  if(PIXMILL_PCH AND NOT target MATCHES "_pch$")
    target_precompile_headers(${target} REUSE_FROM pixmill_test_pch)
  endif()
endfunction()

# Targets of their own carry the precompiled headers, so that no module's private definitions get into them.
if(PIXMILL_PCH)
  file(WRITE "${CMAKE_BINARY_DIR}/generated/pch.cc" "")
  add_library(pixmill_pch OBJECT "${CMAKE_BINARY_DIR}/generated/pch.cc")
  pixmill_compile_settings(pixmill_pch)
  target_precompile_headers(pixmill_pch PRIVATE "${CMAKE_SOURCE_DIR}/src/base/pch.h")
endif()
if(PIXMILL_PCH AND PIXMILL_TESTS AND NOT PIXMILL_FUZZ)
  file(WRITE "${CMAKE_BINARY_DIR}/generated/test_pch.cc" "")
  add_library(pixmill_test_pch OBJECT "${CMAKE_BINARY_DIR}/generated/test_pch.cc")
  pixmill_test_settings(pixmill_test_pch)
  target_precompile_headers(pixmill_test_pch PRIVATE "${CMAKE_SOURCE_DIR}/tests/support/pch.h")
endif()

function(pixmill_module)
  cmake_parse_arguments(M "" "NAME" "DEPENDS;SOURCES;LIBS;TESTS;TEST_LIBS" ${ARGN})
  foreach(dependency IN LISTS M_DEPENDS)
    if(NOT PIXMILL_TIER_${dependency} LESS PIXMILL_TIER_${M_NAME})
      message(FATAL_ERROR "module ${M_NAME} may not depend on ${dependency}: see docs/layers.txt")
    endif()
  endforeach()
  set(target pixmill_${M_NAME})
  add_library(${target} STATIC ${M_SOURCES})
  pixmill_compile_settings(${target})
  list(TRANSFORM M_DEPENDS PREPEND pixmill_)
  target_link_libraries(${target} PUBLIC ${M_DEPENDS} PRIVATE ${M_LIBS})
  if(M_TESTS AND PIXMILL_TESTS AND NOT PIXMILL_FUZZ)
    add_executable(${M_NAME}_test ${M_TESTS})
    pixmill_test_settings(${M_NAME}_test)
    target_link_libraries(${M_NAME}_test PRIVATE ${target} ${M_TEST_LIBS} GTest::gmock_main)
    gtest_discover_tests(${M_NAME}_test DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 PROPERTIES LABELS unit TIMEOUT 300)
  endif()
endfunction()
