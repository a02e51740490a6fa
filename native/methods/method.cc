#include "methods/method.h"

#include "error.h"

namespace branchmerge {
namespace {

struct Entry {
  std::string_view name;
  MakeMethod* make;
};

// One file a method: native/methods/<name>.cc defines its make_<name>, and is listed here.
constexpr Entry kMethods[] = {
    {"", nullptr},
};

}  // namespace

MakeMethod* find_method(std::string_view name) {
  for (const Entry& entry : kMethods)
    if (entry.name == name) return entry.make;
  return nullptr;
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
