// The precompiled header of the unit tests: the modules' one and GoogleTest. As there, no file may rely on it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "base/pch.h"
