#include <doctest/doctest.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

#include "../error_code.h"
#include "../parallel/thread_group.h"
#include "../temporary_directory.h"
#include "sft/train/snapshot_reader.h"
#include "sft/train/snapshot_writer.h"

namespace branchmerge::sft {
namespace {

ParameterLayout small_layout() {
  return {{{"embed", {5, 7}, 0, 0, true},
           {"norm", {16}, 1, 0, false},
           {"matrix", {9, 11}, 1, 16, true},
           {"last", {3}, 2, 0, false}},
          {48, 128, 16}};
}

/// A value that tells step, kind, parameter and element apart.
float value_of(uint64_t step, int kind, const StatePiece& piece, uint64_t i) {
  return float(double(step) * 1000 + kind * 300 + double(piece.parameter->name.size()) * 20) +
         float(piece.offset + i) / 256;
}

void fill(const ParameterStore& store, uint64_t step) {
  for (const StatePiece& piece : store.state())
    for (uint64_t i = 0; i < piece.count; i++) {
      piece.weight[i] = value_of(step, 0, piece, i);
      piece.first_moment[i] = value_of(step, 1, piece, i);
      piece.second_moment[i] = value_of(step, 2, piece, i);
    }
}

uint64_t count_wrong(const ParameterStore& store, uint64_t step) {
  uint64_t wrong = 0;
  for (const StatePiece& piece : store.state())
    for (uint64_t i = 0; i < piece.count; i++)
      wrong += piece.weight[i] != value_of(step, 0, piece, i) ||
               piece.first_moment[i] != value_of(step, 1, piece, i) ||
               piece.second_moment[i] != value_of(step, 2, piece, i);
  return wrong;
}

SnapshotHead head_of(uint64_t step, uint64_t processes) {
  return {{step, 1, step * 3}, step - 1, 1, processes, 42, "key", {{"learningRate", "1e-05"}}};
}

/// Writes snapshots of these steps with so many processes.
void write(const std::string& directory, const std::vector<uint64_t>& steps, size_t processes, int stage,
           bool in_background = false, uint64_t keep = 10) {
  ThreadGroup(processes).run([&](Collectives& collectives) {
    WorkerPool workers(1);
    ParameterStore store(small_layout(), stage, collectives, workers);
    SnapshotWriter writer({directory, keep, in_background}, store, collectives, workers);
    for (const uint64_t step : steps) {
      fill(store, step);
      writer.take_completed(true);
      if (in_background) {
        writer.start(head_of(step, processes));
        fill(store, 99);  // training goes on
      } else {
        writer.save(head_of(step, processes));
      }
    }
    const auto completed = writer.take_completed(true);
    CHECK(completed.has_value() == (collectives.rank() == 0));
    if (completed) CHECK(completed->path == directory + "/" + snapshot_name(steps.back()));
  });
}

struct Found {
  uint64_t step;  // 0: none
  std::vector<std::string> damaged;
};

/// Finds and loads with so many processes, and compares every element.
Found read(const std::string& directory, size_t processes, int stage) {
  Found result{0, {}};
  std::atomic<uint64_t> wrong{0};
  ThreadGroup(processes).run([&](Collectives& collectives) {
    WorkerPool workers(1);
    ParameterStore store(small_layout(), stage, collectives, workers);
    const auto found =
        find_snapshot(directory, collectives, [&](const std::string& path, const std::string&) {
          result.damaged.push_back(std::filesystem::path(path).filename());
        });
    if (!found) return;
    load_snapshot(*found, store);
    const SnapshotHead& head = found->manifest.head;
    wrong += count_wrong(store, head.position.step);
    const SnapshotHead expected = head_of(head.position.step, head.processes);
    wrong += head.position != expected.position || store.updates() != expected.updates ||
             head.skipped_in_a_row != 1 || head.seed != 42 || head.data_key != "key" ||
             head.run != expected.run;
    if (collectives.rank() == 0) result.step = head.position.step;
  });
  CHECK(wrong == 0);
  return result;
}

void flip_byte(const std::string& path, size_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(std::streamoff(at));
  const char byte = char(file.get());
  file.seekp(std::streamoff(at));
  file.put(char(byte ^ 1));
}

TEST_CASE("a snapshot of any number of processes is read by any other") {
  for (const size_t writers : {1, 2, 3})
    for (const int stage : {0, 1, 3}) {
      const TemporaryDirectory directory;
      write(directory.file("."), {20}, writers, stage);
      for (const size_t readers : {1, 2, 4}) CHECK(read(directory.file("."), readers, stage).step == 20);
      CHECK(read(directory.file("."), 2, 2).step == 20);
    }
}

TEST_CASE("what is written in the background is the state at the start of it, and the newest are kept") {
  const TemporaryDirectory directory;
  write(directory.file("."), {5, 10, 15, 20}, 2, 1, true, 2);
  CHECK(list_snapshots(directory.file(".")) == std::vector<uint64_t>{20, 15});
  CHECK(read(directory.file("."), 1, 0).step == 20);
  size_t entries = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory.file(".")))
    entries += entry.exists();
  CHECK(entries == 2);
}

TEST_CASE("a damaged snapshot is set aside and the one before is used") {
  const char* const files[] = {"state-00000.bin", "state-00001.bin"};
  for (const size_t readers : {1, 2})
    for (const char* file : files) {
      const TemporaryDirectory directory;
      write(directory.file("."), {5, 10}, 2, 1);
      flip_byte(directory.file("step-00000010/") + file, 100);
      const Found found = read(directory.file("."), readers, 1);
      CHECK(found.step == 5);
      CHECK(found.damaged == std::vector<std::string>{"step-00000010"});
      CHECK(std::filesystem::exists(directory.file("step-00000010.damaged")));
      CHECK(read(directory.file("."), readers, 1).damaged.empty());
    }
}

TEST_CASE("every kind of damage is seen") {
  const std::vector<std::function<void(const std::string&)>> damages{
      [](const std::string& path) { std::filesystem::resize_file(path + "/state-00000.bin", 1000); },
      [](const std::string& path) { std::filesystem::remove(path + "/state-00000.bin"); },
      [](const std::string& path) { std::filesystem::resize_file(path + "/manifest.json", 200); },
      [](const std::string& path) { std::ofstream(path + "/manifest.json") << "{}"; },
      [](const std::string& path) { std::ofstream(path + "/state-00000.bin", std::ios::app) << "x"; },
  };
  for (const auto& damage : damages) {
    const TemporaryDirectory directory;
    write(directory.file("."), {5, 10}, 1, 0);
    damage(directory.file("step-00000010"));
    CHECK(read(directory.file("."), 1, 0).step == 5);
  }
}

TEST_CASE("when all are damaged, nothing is begun silently") {
  const TemporaryDirectory directory;
  write(directory.file("."), {5}, 1, 0);
  flip_byte(directory.file("step-00000005/state-00000.bin"), 0);
  // Nor by the next start, which finds it set aside.
  for (int start = 0; start < 2; start++)
    CHECK(error_code([&] { read(directory.file("."), 1, 0); }) == "ERR_RESUME");
}

/// find_snapshot on two processes that see two directories.
std::string code_of_two(const std::string& first, const std::string& second) {
  return error_code([&] {
    ThreadGroup(2).run([&](Collectives& collectives) {
      find_snapshot(collectives.rank() == 0 ? first : second, collectives,
                    [](const std::string&, const std::string&) { FAIL("set aside"); });
    });
  });
}

TEST_CASE("a snapshot that a process cannot read, or sees otherwise, is not damaged") {
  const TemporaryDirectory directory, other;
  write(directory.file("."), {5, 10}, 2, 1);
  const std::string newest = directory.file("step-00000010"), state = newest + "/state-00001.bin";
  CHECK(code_of_two(directory.file("."), other.file("not-mounted")) == "ERR_FILE_READ");
  std::filesystem::copy(directory.file("."), other.file("."), std::filesystem::copy_options::recursive);
  flip_byte(other.file("step-00000010/state-00001.bin"), 100);
  CHECK(code_of_two(directory.file("."), other.file(".")) == "ERR_FILE_READ");
  // A link to itself cannot be opened: ELOOP.
  std::filesystem::rename(state, state + ".kept");
  std::filesystem::create_symlink(state, state);
  for (const size_t readers : {1, 2})
    CHECK(error_code([&] { read(directory.file("."), readers, 1); }) == "ERR_FILE_READ");
  std::filesystem::rename(state + ".kept", state);
  const Found found = read(directory.file("."), 2, 1);
  CHECK(found.step == 10);
  CHECK(found.damaged.empty());
}

TEST_CASE("a directory that cannot be read is not an empty one") {
  const TemporaryDirectory directory;
  const std::string file = directory.write("file", "");
  for (const std::string& path : {file, directory.file("missing")}) {
    CHECK(error_code([&] { list_snapshots(path); }) == "ERR_FILE_READ");
    CHECK(error_code([&] { remove_unfinished_snapshots(path); }) == "ERR_FILE_READ");
  }
}

TEST_CASE("what a killed writer leaves is no snapshot, and goes") {
  const TemporaryDirectory directory;
  write(directory.file("."), {5, 10}, 1, 0);
  std::filesystem::rename(directory.file("step-00000010"), directory.file("step-00000010.partial"));
  write(directory.file("."), {15}, 1, 0);
  std::filesystem::remove(directory.file("step-00000015/manifest.json"));
  CHECK(read(directory.file("."), 1, 0).step == 5);
  remove_unfinished_snapshots(directory.file("."));
  CHECK(!std::filesystem::exists(directory.file("step-00000010.partial")));
  CHECK(!std::filesystem::exists(directory.file("step-00000015")));
  CHECK(read(directory.file("."), 1, 0).step == 5);
}

TEST_CASE("a snapshot of another model is refused") {
  const TemporaryDirectory directory;
  write(directory.file("."), {5}, 1, 0);
  ParameterLayout other = small_layout();
  other.parameters[2].shape = {9, 12};
  other.block_floats[1] = 144;
  CHECK(error_code([&] {
          ThreadGroup(1).run([&](Collectives& collectives) {
            WorkerPool workers(1);
            ParameterStore store(other, 0, collectives, workers);
            load_snapshot(*find_snapshot(directory.file("."), collectives, {}), store);
          });
        }) == "ERR_RESUME");
}

TEST_CASE("no snapshot is none") {
  const TemporaryDirectory directory;
  CHECK(read(directory.file("."), 2, 1).step == 0);
}

TEST_CASE("a write that fails is told, and the snapshot before stays") {
  const TemporaryDirectory directory;
  write(directory.file("."), {5}, 1, 0);
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limited{1000, before.rlim_max};
  for (const bool in_background : {true, false}) {
    ThreadGroup(1).run([&](Collectives& collectives) {
      WorkerPool workers(1);
      ParameterStore store(small_layout(), 0, collectives, workers);
      SnapshotWriter writer({directory.file("."), 1, true}, store, collectives, workers);
      setrlimit(RLIMIT_FSIZE, &limited);
      const std::string code = error_code([&] {
        if (in_background) writer.start(head_of(10, 1));
        if (!in_background) writer.save(head_of(10, 1));
        writer.take_completed(true);
      });
      setrlimit(RLIMIT_FSIZE, &before);
      CHECK(code == "ERR_OUTPUT_WRITE");
    });
    CHECK(read(directory.file("."), 1, 0).step == 5);
  }
}

}  // namespace
}  // namespace branchmerge::sft
