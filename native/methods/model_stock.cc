// Between the base and the mean of the inputs, by the angle of the differences: docs/methods/model_stock.md.
#include "methods/inner_products.h"
#include "methods/method.h"
#include "methods/method_operator.h"

namespace branchmerge {
namespace {

/// How far from the base to the mean, from the angles between the inputs.
double interpolation(const GramMatrix& gram, size_t inputs) {
  double sum = 0;
  for (size_t j = 1; j < inputs; j++)
    for (size_t i = 0; i < j; i++) sum += gram.cosine(i, j);
  const double n = double(inputs), cosine = sum / (n * (n - 1) / 2);
  return cosine <= 0 ? 0 : n * cosine / (1 + (n - 1) * cosine);
}

class ModelStock final : public MethodOperator {
 public:
  ModelStock(const OperandInfo& info, DType output_dtype, size_t operands, bool filter_wise)
      : MethodOperator(info, output_dtype, operands, Base::kSubtracted),
        row_length_(!filter_wise         ? info.elements
                    : info.shape.empty() ? 1
                                         : info.shape.back()) {}

 private:
  void analyse(Passes& passes) override {
    t_.resize(passes.elements() / row_length_);
    InnerProducts(passes).for_rows(row_length_, [&](uint64_t row, const GramMatrix& gram) {
      t_[row] = interpolation(gram, passes.inputs());
    });
  }

  void combine(size_t, const Tile& tile, double* result) override {
    const size_t inputs = tiles().inputs();
    for (size_t i = 0; i < tile.size; i++) result[i] = tile.inputs[0][i];
    for (size_t m = 1; m < inputs; m++)
      for (size_t i = 0; i < tile.size; i++) result[i] += tile.inputs[m][i];
    for (size_t begin = 0; begin < tile.size;) {
      const uint64_t row = (tile.begin + begin) / row_length_;
      const size_t end = size_t(std::min<uint64_t>(tile.size, (row + 1) * row_length_ - tile.begin));
      for (; begin < end; begin++)
        result[begin] = tile.base[begin] + t_[row] * (result[begin] / double(inputs));
    }
  }

  const uint64_t row_length_;
  std::vector<double> t_;  // of each row
};

}  // namespace

std::unique_ptr<TensorOperator> make_model_stock(const OperandInfo& info, DType output_dtype, size_t operands,
                                                 const MethodParameters& parameters) {
  check_operands("model_stock", operands, 3);
  return std::make_unique<ModelStock>(info, output_dtype, operands, parameter(parameters, "filterWise") != 0);
}

}  // namespace branchmerge
