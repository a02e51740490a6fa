#include "sft/parallel/mpi_collectives.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <string>

#include "base/error.h"

namespace branchmerge::sft {
namespace {

MPI_Datatype mpi_type(const float*) { return MPI_FLOAT; }
MPI_Datatype mpi_type(const double*) { return MPI_DOUBLE; }

// `count` elements of T as one item, the next of which lies `distance` elements further on.
class StridedType {
 public:
  template <class T>
  StridedType(const T* example, uint64_t count, uint64_t distance) {
    MPI_Datatype contiguous = MPI_DATATYPE_NULL;
    MPI_Type_contiguous(static_cast<int>(count), mpi_type(example), &contiguous);
    MPI_Type_create_resized(contiguous, 0, static_cast<MPI_Aint>(distance * sizeof(T)), &type_);
    MPI_Type_commit(&type_);
    MPI_Type_free(&contiguous);
  }
  ~StridedType() { MPI_Type_free(&type_); }
  StridedType(const StridedType&) = delete;
  StridedType& operator=(const StridedType&) = delete;
  MPI_Datatype get() const { return type_; }

 private:
  MPI_Datatype type_ = MPI_DATATYPE_NULL;
};

}  // namespace

MpiCollectives::MpiCollectives(uint64_t buffer_bytes)
    : exceptions_(std::uncaught_exceptions()), buffer_(buffer_bytes) {
  int provided = 0, rank = 0, size = 0;
  check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check(MPI_Comm_rank(MPI_COMM_WORLD, &rank), "MPI_Comm_rank");
  check(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI_Comm_size");
  rank_ = static_cast<size_t>(rank);
  size_ = static_cast<size_t>(size);
  if (provided < MPI_THREAD_FUNNELED)
    throw Error("ERR_MPI",
                "Expected an MPI that allows threads beside the one that calls it (MPI_THREAD_FUNNELED) but "
                "this one does not. Use another MPI.");
}

MpiCollectives::~MpiCollectives() {
  if (std::uncaught_exceptions() == exceptions_) MPI_Finalize();
}

void MpiCollectives::all_reduce_sum(std::span<float> data) { all_reduce(data); }
void MpiCollectives::all_reduce_sum(std::span<double> data) { all_reduce(data); }

void MpiCollectives::all_reduce_max(std::span<int64_t> data) {
  const uint64_t step = piece<int64_t>();
  for (uint64_t begin = 0; begin < data.size(); begin += step) {
    const auto count = static_cast<int>(std::min<uint64_t>(step, data.size() - begin));
    check(MPI_Allreduce(MPI_IN_PLACE, data.data() + begin, count, MPI_INT64_T, MPI_MAX, MPI_COMM_WORLD),
          "MPI_Allreduce");
  }
}

void MpiCollectives::reduce_scatter_sum(float* slices, uint64_t slice) { reduce_scatter(slices, slice); }
void MpiCollectives::all_gather(float* slices, uint64_t slice) { gather(slices, slice); }

void MpiCollectives::broadcast(std::span<std::byte> data, size_t root) {
  for (uint64_t begin = 0; begin < data.size(); begin += buffer_.size()) {
    const auto count = static_cast<int>(std::min<uint64_t>(buffer_.size(), data.size() - begin));
    check(MPI_Bcast(data.data() + begin, count, MPI_BYTE, static_cast<int>(root), MPI_COMM_WORLD),
          "MPI_Bcast");
  }
}

void MpiCollectives::barrier() { check(MPI_Barrier(MPI_COMM_WORLD), "MPI_Barrier"); }

void MpiCollectives::abort(int exit_code) {
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

/// Elements of one process that fit into the buffer beside as many of each other.
template <class T>
uint64_t MpiCollectives::piece() const {
  return buffer_.size() / size_ / sizeof(T);
}

template <class T>
void MpiCollectives::reduce_scatter(T* slices, uint64_t slice) {
  for (uint64_t begin = 0; begin < slice; begin += piece<T>()) {
    const uint64_t count = std::min(piece<T>(), slice - begin);
    const StridedType pieces(slices, count, slice);
    check(MPI_Alltoall(slices + begin, 1, pieces.get(), buffer_.data(), static_cast<int>(count),
                       mpi_type(slices), MPI_COMM_WORLD),
          "MPI_Alltoall");
    sum_buffer(slices + rank_ * slice + begin, count);
  }
}

template <class T>
void MpiCollectives::gather(T* slices, uint64_t slice) {
  for (uint64_t begin = 0; begin < slice; begin += piece<T>()) {
    const uint64_t count = std::min(piece<T>(), slice - begin);
    const StridedType pieces(slices, count, slice);
    check(MPI_Allgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, slices + begin, 1, pieces.get(), MPI_COMM_WORLD),
          "MPI_Allgather");
  }
}

template <class T>
void MpiCollectives::all_reduce(std::span<T> data) {
  const uint64_t slice = data.size() / size_;
  reduce_scatter(data.data(), slice);
  gather(data.data(), slice);

  // The fewer than size() elements that are left go to everyone, who sums them for himself.
  const std::span<T> rest = data.subspan(slice * size_);
  for (uint64_t begin = 0; begin < rest.size(); begin += piece<T>()) {
    T* const part = rest.data() + begin;
    const auto count = static_cast<int>(std::min<uint64_t>(piece<T>(), rest.size() - begin));
    check(MPI_Allgather(part, count, mpi_type(part), buffer_.data(), count, mpi_type(part), MPI_COMM_WORLD),
          "MPI_Allgather");
    sum_buffer(part, static_cast<uint64_t>(count));
  }
}

/// Adds the contributions that the buffer holds one after the other, rank 0 first.
template <class T>
void MpiCollectives::sum_buffer(T* sum, uint64_t count) {
  const T* contribution = reinterpret_cast<const T*>(buffer_.data());
  std::copy(contribution, contribution + count, sum);
  for (size_t rank = 1; rank < size_; rank++) {
    contribution += count;
    for (uint64_t i = 0; i < count; i++) sum[i] += contribution[i];
  }
}

void MpiCollectives::check(int status, const char* call) const {
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(status, text, &length);
  throw Error("ERR_MPI", std::string(call) + " failed on rank " + std::to_string(rank_) + " of " +
                             std::to_string(size_) + ": " + std::string(text, static_cast<size_t>(length)) +
                             ". See what the other processes say, and start again: with resume, the run goes "
                             "on from its last checkpoint.");
}

}  // namespace branchmerge::sft
