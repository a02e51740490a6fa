#include "sandbox/status.h"

#include <cstdio>

#include "sandbox/descriptors.h"

namespace branchmerge::sandbox {
namespace {

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char character : text) {
    if (character == '"' || character == '\\') {
      result += '\\';
      result += character;
    } else if (static_cast<unsigned char>(character) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", unsigned(character));
      result += escape;
    } else {
      result += character;
    }
  }
  return result + '"';
}

}  // namespace

int Status::level() const {
  if (!seccomp) return 0;
  return 1 + (landlock > 0 ? 1 : 0) + (namespaces ? 1 : 0);
}

std::string Status::json() const {
  std::string list;
  for (const std::string& note : notes) list += (list.empty() ? "" : ",") + quoted(note);
  return "{\"level\":" + std::to_string(level()) + ",\"namespaces\":" + (namespaces ? "true" : "false") +
         ",\"landlock\":" + std::to_string(landlock) + ",\"seccomp\":" + (seccomp ? "true" : "false") +
         ",\"userId\":" + std::to_string(user_id) + ",\"notes\":[" + list + "]}";
}

std::string failure_json(const std::string& kind, const std::string& message) {
  return "{\"failed\":" + quoted(kind) + ",\"message\":" + quoted(message) + "}";
}

void report_progress(int descriptor, Progress progress, const std::string& text) {
  write_all(descriptor, char(progress) + text + '\0');
}

}  // namespace branchmerge::sandbox
