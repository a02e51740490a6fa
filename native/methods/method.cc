#include "methods/method.h"

#include "base/error.h"

namespace branchmerge {

// One file a method: native/methods/<name>.cc defines its make_<name>, and is listed here.
MakeMethod make_breadcrumbs, make_breadcrumbs_ties, make_dare_linear, make_dare_ties, make_della,
    make_della_linear, make_karcher, make_linear, make_model_stock, make_multislerp, make_nearswap,
    make_nuslerp, make_passthrough, make_ram, make_sce, make_slerp, make_task_arithmetic, make_ties;

namespace {

struct Entry {
  std::string_view name;
  MakeMethod* make;
};

constexpr Entry kMethods[] = {
    {"breadcrumbs", make_breadcrumbs},
    {"breadcrumbs_ties", make_breadcrumbs_ties},
    {"dare_linear", make_dare_linear},
    {"dare_ties", make_dare_ties},
    {"della", make_della},
    {"della_linear", make_della_linear},
    {"karcher", make_karcher},
    {"linear", make_linear},
    {"model_stock", make_model_stock},
    {"multislerp", make_multislerp},
    {"nearswap", make_nearswap},
    {"nuslerp", make_nuslerp},
    {"passthrough", make_passthrough},
    {"ram", make_ram},
    {"sce", make_sce},
    {"slerp", make_slerp},
    {"task_arithmetic", make_task_arithmetic},
    {"ties", make_ties},
};

}  // namespace

MakeMethod* find_method(std::string_view name) {
  for (const Entry& entry : kMethods)
    if (entry.name == name) return entry.make;
  return nullptr;
}

void check_operands(std::string_view method, size_t operands, size_t least, size_t most) {
  if (operands >= least && operands <= most) return;
  throw Error("ERR_INVALID_ARGUMENT", "The method " + std::string(method) + " does not take " +
                                          std::to_string(operands) + " operands (its base counted)");
}

const std::vector<double>& parameter_list(const MethodParameters& parameters, std::string_view name,
                                          size_t count) {
  const auto found = parameters.find(name);
  if (found == parameters.end() || found->second.size() != count)
    throw Error("ERR_INVALID_ARGUMENT",
                "Expected " + std::to_string(count) + " values of the parameter " + std::string(name));
  return found->second;
}

double parameter(const MethodParameters& parameters, std::string_view name) {
  return parameter_list(parameters, name, 1)[0];
}

}  // namespace branchmerge
