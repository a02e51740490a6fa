#include "sandbox/file_tree.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <map>

#include "sandbox/failure.h"

namespace branchmerge::sandbox {
namespace {

constexpr const char* kScratchOptions = "size=64m,nr_inodes=1024,mode=1777";
constexpr const char* kTreeOptions = "size=1m,nr_inodes=4096,mode=755";

void make_directories(const std::string& path) {
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string parent = path.substr(0, end);
    require(::mkdir(parent.c_str(), 0755) == 0 || errno == EEXIST, "making " + parent);
    if (end == std::string::npos) return;
  }
}

void make_empty_file(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  require(descriptor >= 0, "making " + path);
  ::close(descriptor);
}

/// Read-only, and so is what is mounted below.
void make_read_only(const std::string& path) {
  struct {
    uint64_t set, clear, propagation, user_namespace;
  } attributes{0x1 | 0x2 | 0x4, 0, 0, 0};  // rdonly, nosuid, nodev
  constexpr long kMountSetattr = 442;
  constexpr unsigned kRecursive = 0x8000;
  if (::syscall(kMountSetattr, AT_FDCWD, path.c_str(), kRecursive, &attributes, sizeof attributes) == 0)
    return;
  // Linux before 5.12: the mount alone, with the flags that it has and that must stay.
  struct statvfs status;
  require(::statvfs(path.c_str(), &status) == 0, "looking at " + path);
  unsigned long flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV;
  if ((status.f_flag & ST_NOEXEC) != 0) flags |= MS_NOEXEC;
  if ((status.f_flag & ST_NOATIME) != 0) flags |= MS_NOATIME;
  if ((status.f_flag & ST_NODIRATIME) != 0) flags |= MS_NODIRATIME;
  if ((status.f_flag & ST_RELATIME) != 0) flags |= MS_RELATIME;
  require(::mount(nullptr, path.c_str(), nullptr, flags, nullptr) == 0, "mounting " + path + " read-only");
}

void bind(const std::string& source, const std::string& target, bool is_directory) {
  if (is_directory) {
    make_directories(target);
  } else {
    make_directories(target.substr(0, target.rfind('/')));
    make_empty_file(target);
  }
  require(::mount(source.c_str(), target.c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0,
          "mounting " + target.substr(target.find('/', 1)));
}

/// A path of the old tree, as the new one is to show it.
struct Shown {
  std::string real;  ///< without symbolic links; empty for one that is shown as a link
  std::string link;  ///< what the link says
};

/// By path: a directory comes before what lies in it.
std::map<std::string, Shown> find_shown(const std::vector<std::string>& readable) {
  std::map<std::string, Shown> shown;
  for (const std::string& path : readable) {
    struct stat status;
    // /lib is a link to usr/lib on most systems: then it is one here.
    if (path.rfind('/') == 0 && ::lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode)) {
      std::string link(PATH_MAX, '\0');
      const ssize_t size = ::readlink(path.c_str(), link.data(), link.size());
      require(size > 0, "reading " + path);
      link.resize(size_t(size));
      shown[path] = {"", link.substr(link.find_first_not_of('/'))};
      continue;
    }
    char* real = ::realpath(path.c_str(), nullptr);
    if (real == nullptr) continue;
    if (std::string(real) != "/") {
      shown.try_emplace(path, Shown{real, ""});
      shown.try_emplace(real, Shown{real, ""});
    }
    std::free(real);
  }
  return shown;
}

void show(const std::string& path, const Shown& shown) {
  const std::string target = "/new" + path;
  if (shown.real.empty()) {
    require(::symlink(shown.link.c_str(), target.c_str()) == 0, "linking " + path);
    return;
  }
  struct stat status;
  if (::stat(target.c_str(), &status) == 0) return;  // it lies in one that is there
  const std::string source = "/old" + shown.real;
  if (::stat(source.c_str(), &status) != 0) return;
  bind(source, target, S_ISDIR(status.st_mode));
  make_read_only(target);
}

void pivot_root(const char* root, const char* old) {
  require(::syscall(SYS_pivot_root, root, old) == 0, "pivot_root");
}

}  // namespace

std::vector<std::string> library_paths() {
  return {"/lib",       "/lib32",     "/lib64",         "/libx32",          "/usr/lib",
          "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/usr/share/zoneinfo"};
}

void enter_file_tree(const std::vector<std::string>& readable) {
  const std::map<std::string, Shown> shown = find_shown(readable);
  require(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "keeping mounts apart");
  // A base on /tmp, which becomes the root. With that the old /tmp can be seen again, below /old.
  require(::mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, kTreeOptions) == 0,
          "mounting a base on /tmp");
  make_directories("/tmp/old");
  make_directories("/tmp/new");
  require(::chdir("/tmp") == 0, "entering the base");
  pivot_root(".", "old");
  require(::chdir("/") == 0, "entering the base");
  require(::mount("tmpfs", "/new", "tmpfs", MS_NOSUID | MS_NODEV, kTreeOptions) == 0, "mounting the root");
  for (const auto& [path, how] : shown) show(path, how);
  for (const char* device : {"/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"}) {
    bind(std::string("/old") + device, std::string("/new") + device, false);
  }
  const std::string scratch = std::string("/new") + kScratch;
  make_directories(scratch);
  require(::mount("tmpfs", scratch.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, kScratchOptions) == 0,
          "mounting /tmp");
  require(::mount(nullptr, "/new", nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV,
                  nullptr) == 0,
          "mounting the root read-only");
  require(::chdir("/new") == 0, "entering the root");
  pivot_root(".", ".");
  require(::umount2(".", MNT_DETACH) == 0, "leaving the old tree");
  require(::chdir("/") == 0, "entering the root");
}

}  // namespace branchmerge::sandbox
