#include "sft/model/linear_map.h"

namespace branchmerge::sft {

LinearMap::LinearMap(const ParameterLayout& layout, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const Parameter& weight = *layout.find(name + ".weight");
    const size_t outputs = weight.shape[0];
    inputs_ = weight.shape[1];
    append(weights_, {weight.offset, outputs_, outputs}, inputs_);
    if (const Parameter* const bias = layout.find(name + ".bias"))
      append(biases_, {bias->offset, outputs_, outputs}, 1);
    outputs_ += outputs;
  }
}

void LinearMap::append(std::vector<Piece>& pieces, const Piece& piece, size_t floats_per_output) {
  if (!pieces.empty()) {
    Piece& last = pieces.back();
    const bool adjacent = last.column + last.outputs == piece.column &&
                          last.offset + last.outputs * floats_per_output == piece.offset;
    if (adjacent) {
      last.outputs += piece.outputs;
      return;
    }
  }
  pieces.push_back(piece);
}

void LinearMap::forward(Backend& backend, size_t rows, const float* x, const float* block, Target target,
                        float* y) const {
  for (const Piece& weight : weights_)
    backend.matrix_product(Operand::kPlain, Operand::kTransposed, rows, weight.outputs, inputs_, x, inputs_,
                           block + weight.offset, inputs_, target, y + weight.column, outputs_);
  for (const Piece& bias : biases_)
    backend.add_bias(rows, bias.outputs, block + bias.offset, y + bias.column, outputs_);
}

void LinearMap::backward_to_weights(Backend& backend, size_t rows, const float* x, const float* dy,
                                    float* dblock) const {
  for (const Piece& weight : weights_)
    backend.matrix_product(Operand::kTransposed, Operand::kPlain, weight.outputs, inputs_, rows,
                           dy + weight.column, outputs_, x, inputs_, Target::kAccumulate,
                           dblock + weight.offset, inputs_);
  for (const Piece& bias : biases_)
    backend.add_bias_backward(rows, bias.outputs, dy + bias.column, outputs_, dblock + bias.offset);
}

void LinearMap::backward_to_inputs(Backend& backend, size_t rows, const float* block, const float* dy,
                                   float* dx) const {
  Target target = Target::kOverwrite;
  for (const Piece& weight : weights_) {
    backend.matrix_product(Operand::kPlain, Operand::kPlain, rows, inputs_, weight.outputs,
                           dy + weight.column, outputs_, block + weight.offset, inputs_, target, dx, inputs_);
    target = Target::kAccumulate;
  }
}

}  // namespace branchmerge::sft
