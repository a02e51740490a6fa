#pragma once

namespace branchmerge {

/// What two vectors are multiplied by for a point between them.
struct ArcWeights {
  double first, second;
};

/// On the straight line: 1 − t and t.
ArcWeights line_weights(double t);
/// On the arc: sin((1 − t)θ)/sin θ and sin(tθ)/sin θ, where cos θ is the cosine of the vectors and sin θ is
/// not 0.
ArcWeights arc_weights(double cosine, double t);

/// sin θ >= 0.
double sine_of_angle(double cosine);

}  // namespace branchmerge
