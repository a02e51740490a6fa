// The kernels' sources as they are, compiled against the emulation.
#include "fusion/cuda/bf16_in_float32.cu"  // NOLINT: a unit of CUDA is one of C++ here
#include "fusion/cuda/bf16_in_float64.cu"  // NOLINT
#include "fusion/cuda/f16_in_float32.cu"   // NOLINT
#include "fusion/cuda/f16_in_float64.cu"   // NOLINT
#include "fusion/cuda/f32_in_float32.cu"   // NOLINT
#include "fusion/cuda/f32_in_float64.cu"   // NOLINT
#include "fusion/cuda/f64_in_float64.cu"   // NOLINT
#include "fusion/cuda/selection.cu"        // NOLINT
