#pragma once

namespace branchmerge {

// Functions of an angle for the few numbers that a whole tensor or row is merged by. The C library's differ
// between versions in the last bit, which would reach the output (docs/reproducibility.md); these are made of
// + − × ÷ √ fma, and are within 1e-15 of the exact value, absolutely.

/// |x| up to 1e9 (radians).
double sine(double x);
double cosine(double x);

/// c in [−1, 1]; the result is in [0, π]. NaN stays.
double arc_cosine(double c);

}  // namespace branchmerge
