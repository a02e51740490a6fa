#include "methods/arc.h"

#include "methods/trigonometry.h"

namespace branchmerge {

ArcWeights line_weights(double t) { return {1 - t, t}; }

ArcWeights arc_weights(double cosine, double t) {
  const double angle = arc_cosine(cosine), whole = sine(angle);
  return {sine((1 - t) * angle) / whole, sine(t * angle) / whole};
}

double sine_of_angle(double cosine) { return sine(arc_cosine(cosine)); }

}  // namespace branchmerge
