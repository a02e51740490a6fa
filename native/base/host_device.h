#pragma once

/// A function that GPU code may call as well.
#if defined(__CUDACC__)
#define BRANCHMERGE_HOST_DEVICE __host__ __device__
#else
#define BRANCHMERGE_HOST_DEVICE
#endif
