// Loss and gradients of whole small models against numbers that were computed apart from this package; see
// fixtures/README.md.
#include <doctest/doctest.h>

#include <cstring>
#include <string>

#include "io/file.h"
#include "safetensors/read_header.h"
#include "sft/model/checkpoint_weights.h"
#include "tiny_model.h"

namespace branchmerge::sft {
namespace {

/// Tensors of a safetensors file by name.
class TensorFile {
 public:
  explicit TensorFile(const std::string& path)
      : file_(File::open_for_reading(path)), header_(read_header(path).header) {}

  template <class Element>
  std::vector<Element> read(const std::string& name) const {
    for (const TensorInfo& tensor : header_.tensors) {
      if (tensor.name != name) continue;
      std::vector<Element> values(tensor.elements);
      REQUIRE(values.size() * sizeof(Element) == tensor.end - tensor.begin);
      file_.read_exactly(std::as_writable_bytes(std::span(values)), tensor.begin);
      return values;
    }
    FAIL("no tensor " << name);
    return {};
  }

 private:
  File file_;
  Header header_;
};

TEST_CASE("loss and gradients of the three families agree with the oracle") {
  for (const std::string family : {"qwen2", "llama3", "qwen3"}) {
    const std::string directory = std::string(BRANCHMERGE_FIXTURES) + "/" + family;
    const ModelConfig config = read_model_config(directory);
    const ParameterLayout layout = parameter_layout(config);
    const CheckpointWeights stored(directory, config, layout);
    Blocks weights = zero_blocks(layout);
    for (size_t block = 0; block < weights.size(); block++) stored.read(block, 0, weights[block]);

    const TensorFile expected(directory + "/expected.safetensors");
    const OwnedBatch batch{expected.read<uint32_t>("tokens"), expected.read<uint32_t>("positions"),
                           expected.read<uint32_t>("segments"), expected.read<int32_t>("targets")};
    const auto trained = double(batch.trained());
    for (const Recompute recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull})
      for (const size_t threads : {1, 2}) {
        const PassResult result =
            run_pass(config, weights, batch, float(1 / trained), {recompute, threads, 3});
        CHECK(result.loss / trained == doctest::Approx(expected.read<double>("mean_loss")[0]).epsilon(1e-6));
        for (const Parameter& parameter : layout.parameters)
          check_close(parameter_of(result.gradients, parameter),
                      to_doubles(expected.read<float>(parameter.name)), family + " " + parameter.name);
      }
  }
}

}  // namespace
}  // namespace branchmerge::sft
