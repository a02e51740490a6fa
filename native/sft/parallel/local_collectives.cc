#include "sft/parallel/local_collectives.h"

#include <cstdlib>

namespace branchmerge::sft {

void LocalCollectives::abort(int exit_code) { std::_Exit(exit_code); }

}  // namespace branchmerge::sft
