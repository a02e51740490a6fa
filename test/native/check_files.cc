// Opens every file of a manifest and compares the code of its error. Each line has three fields between tabs:
// the code ("-" where the file is good), the reader (header, index or checkpoint) and the path. The corpus of
// test/corpus writes the manifest; this program runs it under sanitizers.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/file.h"
#include "safetensors/index.h"
#include "safetensors/read_header.h"

namespace branchmerge {
namespace {

constexpr const char* kIndexName = "model.safetensors.index.json";

void read_index(const std::filesystem::path& directory) {
  const std::string path = (directory / kIndexName).string();
  const File file = File::open_for_reading(path);
  std::vector<std::byte> text(file.size());
  file.read_exactly(text, 0);
  parse_index(path, text);
}

/// Every file of a checkpoint: what is wrong between them is for the caller of these readers to find.
void read_checkpoint(const std::filesystem::path& directory) {
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().filename() == kIndexName) read_index(directory);
    if (entry.path().extension() == ".safetensors") read_header(entry.path().string());
  }
}

std::string code_of(const std::string& reader, const std::string& path) {
  try {
    if (reader == "header") read_header(path);
    if (reader == "index") read_index(path);
    if (reader == "checkpoint") read_checkpoint(path);
  } catch (const Error& error) {
    return error.code;
  }
  return "-";
}

int check_manifest(const char* manifest_path) {
  std::ifstream manifest(manifest_path);
  std::string code, reader, path;
  int checked = 0;
  int wrong = 0;
  while (std::getline(manifest, code, '\t') && std::getline(manifest, reader, '\t') &&
         std::getline(manifest, path)) {
    const std::string received = code_of(reader, path);
    ++checked;
    if (received == code) continue;
    ++wrong;
    std::cerr << path << ": expected " << code << " but received " << received << "\n";
  }
  std::cout << checked << " files checked, " << wrong << " wrong\n";
  return checked > 0 && wrong == 0 ? 0 : 1;
}

}  // namespace
}  // namespace branchmerge

int main(int count, char** arguments) {
  if (count != 2) {
    std::cerr << "Usage: check_files MANIFEST\n";
    return 2;
  }
  return branchmerge::check_manifest(arguments[1]);
}
