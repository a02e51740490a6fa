#include "sft/train/event_log.h"

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>

#include "../temporary_directory.h"

namespace branchmerge::sft {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_CASE("a run that goes on finds the lines up to its step") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("metrics.jsonl", R"({"event":"plan","memory":{"step":9}})"
                                                            "\n"
                                                            R"({"event":"step","step":1})"
                                                            "\n"
                                                            R"({"event":"step","step":2})"
                                                            "\n"
                                                            R"({"event":"checkpoint","step":2})"
                                                            "\n"
                                                            R"({"event":"validation","step":2})"
                                                            "\n"
                                                            R"({"event":"step","step":3})"
                                                            "\n"
                                                            R"({"event":"step","step":)");
  EventLog log;
  log.emit(JsonLine().text("event", "damaged"));
  log.open(path, 2);
  log.emit(JsonLine().text("event", "start").integer("step", 2));
  CHECK(read_file(path) == R"({"event":"plan","memory":{"step":9}})"
                           "\n"
                           R"({"event":"step","step":1})"
                           "\n"
                           R"({"event":"step","step":2})"
                           "\n"
                           R"({"event":"checkpoint","step":2})"
                           "\n"
                           R"({"event":"damaged"})"
                           "\n"
                           R"({"event":"start","step":2})"
                           "\n");
}

TEST_CASE("numbers are written so that they read back the same, and what is not finite as null") {
  CHECK(JsonLine().number("a", 0.1).number("b", 1e-5).number("c", 1.0 / 0.0).json() ==
        R"({"a":0.1,"b":1e-05,"c":null})");
  CHECK(JsonLine().text("a", "\"\n").boolean("b", true).null("c").json() ==
        R"({"a":"\"\u000a","b":true,"c":null})");
}

}  // namespace
}  // namespace branchmerge::sft
