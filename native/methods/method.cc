#include "methods/method.h"

#include "error.h"

namespace branchmerge {

// One file a method: native/methods/<name>.cc defines its make_<name>, and is listed here.
MakeMethod make_karcher, make_linear, make_model_stock, make_multislerp, make_nearswap, make_nuslerp,
    make_passthrough, make_ram, make_slerp, make_task_arithmetic;

namespace {

struct Entry {
  std::string_view name;
  MakeMethod* make;
};

constexpr Entry kMethods[] = {
    {"karcher", make_karcher},
    {"linear", make_linear},
    {"model_stock", make_model_stock},
    {"multislerp", make_multislerp},
    {"nearswap", make_nearswap},
    {"nuslerp", make_nuslerp},
    {"passthrough", make_passthrough},
    {"ram", make_ram},
    {"slerp", make_slerp},
    {"task_arithmetic", make_task_arithmetic},
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
