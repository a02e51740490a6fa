#pragma once
#include <string>

#include "sft/parallel/collectives.h"

namespace branchmerge::sft {

/// The text of process `root` on all. Collective.
std::string broadcast_text(Collectives& collectives, std::string text, size_t root);

/// The text of the first process whose text is not empty, on all; empty where there is none. Collective.
std::string first_text(Collectives& collectives, const std::string& text);

}  // namespace branchmerge::sft
