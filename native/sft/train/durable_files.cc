#include "sft/train/durable_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <span>
#include <system_error>

#include "base/error.h"
#include "io/file.h"

namespace branchmerge::sft {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& what, const std::error_code& error) {
  const bool full = error == std::errc::no_space_on_device || error.value() == EDQUOT;
  throw Error(full ? "ERR_DISK_FULL" : "ERR_OUTPUT_WRITE",
              path + ": cannot " + what + ": " + error.message());
}

}  // namespace

void sync_directory(const std::string& directory) {
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail(directory, "open the directory", {errno, std::generic_category()});
  int status = ::fsync(descriptor);
  while (status != 0 && errno == EINTR) status = ::fsync(descriptor);
  const int error = errno;
  ::close(descriptor);
  // Some network file systems do not sync directories; there the server decides.
  if (status != 0 && error != EINVAL) fail(directory, "sync the directory", {error, std::generic_category()});
}

std::vector<std::string> list_names(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entry(directory, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error))
    names.push_back(entry->path().filename().string());
  if (error) throw Error("ERR_FILE_READ", directory + ": cannot read the directory: " + error.message());
  return names;
}

void make_directories(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) fail(directory, "make the directory", error);
}

void rename_path(const std::string& from, const std::string& to) {
  std::error_code error;
  std::filesystem::rename(from, to, error);
  if (error) fail(from, "rename to " + to, error);
}

void remove_path(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) fail(path, "remove it", error);
}

void replace_file(const std::string& path, std::string_view content, bool sync) {
  const std::string beside = path + ".partial";
  remove_path(beside);
  const File file = File::create(beside);
  file.write_all(std::as_bytes(std::span(content)), 0);
  if (sync) file.sync();
  rename_path(beside, path);
  if (sync) sync_directory(std::filesystem::path(path).parent_path().string());
}

}  // namespace branchmerge::sft
