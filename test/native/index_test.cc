#include "safetensors/index.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "error_code.h"

namespace branchmerge {
namespace {

using namespace std::string_literals;

Index parse(std::string_view text) { return parse_index("model.safetensors.index.json", bytes_of(text)); }

std::string mapping_to(const std::string& quoted_file) {
  return R"({"weight_map":{"w":)" + quoted_file + "}}";
}

TEST_CASE("an index gives each tensor's file, in its own order") {
  const Index index = parse(
      R"({"metadata":{"total_parameters":5,"total_size":12},"weight_map":{"b":"model-2.safetensors","a":"model-1.safetensors"}})");
  CHECK(index.total_size == 12);
  CHECK(index.weight_map == std::vector<std::pair<std::string, std::string>>{{"b", "model-2.safetensors"},
                                                                             {"a", "model-1.safetensors"}});
}

TEST_CASE("total_size is optional and never relied on") {
  CHECK(parse(R"({"weight_map":{}})").total_size == std::nullopt);
  CHECK(parse(R"({"metadata":null,"weight_map":{}})").total_size == std::nullopt);
  CHECK(parse(R"({"metadata":{},"weight_map":{}})").total_size == std::nullopt);
  CHECK(parse(R"({"metadata":{"total_size":1.5e10},"weight_map":{}})").total_size == std::nullopt);
  CHECK(parse(R"({"metadata":{"total_size":-1},"weight_map":{}})").total_size == std::nullopt);
}

TEST_CASE("other keys are stepped over") {
  CHECK(parse(R"({"format":{"a":[1,{}]},"weight_map":{"w":"x"},"more":[]})").weight_map.size() == 1);
}

TEST_CASE("__proto__ and constructor are ordinary names") {
  const Index index = parse(R"({"weight_map":{"__proto__":"x","constructor":"y"}})");
  CHECK(index.weight_map.at(0).first == "__proto__");
  CHECK(index.weight_map.at(1).second == "y");
}

TEST_CASE("bad indexes and their codes") {
  struct Case {
    std::string text;
    const char* code;
  };
  const std::vector<Case> cases = {
      {"", "ERR_INDEX_JSON"},
      {"{", "ERR_INDEX_JSON"},
      {"[]", "ERR_INDEX_JSON"},
      {"null", "ERR_INDEX_JSON"},
      {"{}", "ERR_INDEX_JSON"},
      {"\xEF\xBB\xBF{\"weight_map\":{}}", "ERR_INDEX_JSON"},
      {"{\"weight_map\":{}}\0"s, "ERR_INDEX_JSON"},
      {"{\"weight_map\":{\"\xFF\":\"x\"}}", "ERR_INDEX_JSON"},
      {R"({"weight_map":{"\ud800":"x"}})", "ERR_INDEX_JSON"},
      {R"({"weight_map":null})", "ERR_INDEX_JSON"},
      {R"({"weight_map":["x"]})", "ERR_INDEX_JSON"},
      {R"({"weight_map":{"w":1}})", "ERR_INDEX_JSON"},
      {R"({"weight_map":{"w":["x"]}})", "ERR_INDEX_JSON"},
      {R"({"weight_map":{"w":"x","w":"x"}})", "ERR_INDEX_JSON"},
      {R"({"weight_map":{"w":"x","\u0077":"y"}})", "ERR_INDEX_JSON"},
      {R"({"weight_map":{},"weight_map":{}})", "ERR_INDEX_JSON"},
      {R"({"metadata":{},"weight_map":{},"metadata":{}})", "ERR_INDEX_JSON"},
      {R"({"metadata":[],"weight_map":{}})", "ERR_INDEX_JSON"},
      {R"({"metadata":{"total_size":"12"},"weight_map":{}})", "ERR_INDEX_JSON"},
      {R"({"x":)" + std::string(200, '[') + std::string(200, ']') + R"(,"weight_map":{}})", "ERR_INDEX_JSON"},
      {R"({"weight_map":{"":"x"}})", "ERR_TENSOR_NAME"},
      {R"({"weight_map":{"\u001b[2J":"x"}})", "ERR_TENSOR_NAME"},
      {R"({"weight_map":{"../w":"x"}})", "ERR_TENSOR_NAME"},
      {mapping_to(R"("")"), "ERR_INDEX_SHARD_NAME"},
      {mapping_to(R"(".")"), "ERR_INDEX_SHARD_NAME"},
      {mapping_to(R"("..")"), "ERR_INDEX_SHARD_NAME"},
      {mapping_to(R"("../model.safetensors")"), "ERR_INDEX_SHARD_NAME"},
      {mapping_to(R"("..\\model.safetensors")"), "ERR_INDEX_SHARD_NAME"},
      {mapping_to(R"("/etc/passwd")"), "ERR_INDEX_SHARD_NAME"},
      {mapping_to(R"("folder/model.safetensors")"), "ERR_INDEX_SHARD_NAME"},
      {mapping_to(R"("folder\/..\/..\/model.safetensors")"), "ERR_INDEX_SHARD_NAME"},
      {mapping_to(R"("\u002e\u002e\u002fmodel.safetensors")"), "ERR_INDEX_SHARD_NAME"},
      {mapping_to(R"("model.safetensors\u0000.txt")"), "ERR_INDEX_SHARD_NAME"},
      {mapping_to(R"("model\n.safetensors")"), "ERR_INDEX_SHARD_NAME"},
      {mapping_to("\"\xC2\x9B.safetensors\""), "ERR_INDEX_SHARD_NAME"},
      {mapping_to("\"" + std::string(256, 'x') + "\""), "ERR_INDEX_SHARD_NAME"},
  };
  for (const Case& item : cases) {
    CAPTURE(item.text);
    CHECK(error_code([&] { parse(item.text); }) == item.code);
  }
}

TEST_CASE("an index with over a million tensors is refused") {
  std::string text = R"({"weight_map":{)";
  for (int i = 0; i <= 1 << 20; ++i) text += "\"" + std::to_string(i) + "\":\"x\",";
  text.back() = '}';
  CHECK(error_code([&] { parse(text + "}"); }) == "ERR_INDEX_JSON");
}

TEST_CASE("the message names the index, the tensor and the file") {
  const std::string message = error_message([] { parse(mapping_to(R"("../x")")); });
  CHECK(message.find("model.safetensors.index.json") != std::string::npos);
  CHECK(message.find("\"w\"") != std::string::npos);
  CHECK(message.find("\"../x\"") != std::string::npos);
}

}  // namespace
}  // namespace branchmerge
