#include "sft/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "sft/model/checkpoint_weights.h"
#include "sft/model/flops.h"
#include "sft/parallel/shared_text.h"
#include "sft/train/clock.h"
#include "sft/train/export_weights.h"

namespace branchmerge::sft {
namespace {

// A message stays readable; the event has all of them.
constexpr size_t kSamplesInMessage = 20;

using PackLists = std::vector<std::vector<uint32_t>>;

std::string samples_json(const std::vector<PreparedData::Sample>& samples) {
  std::string json = "[";
  for (const auto& [source, row] : samples) {
    JsonLine line;
    json += (json.size() > 1 ? "," : "") + line.integer("source", source).integer("row", row).json();
  }
  return json + "]";
}

std::string samples_text(const std::vector<PreparedData::Sample>& samples, const PreparedData& data) {
  std::string text;
  for (size_t i = 0; i < std::min(samples.size(), kSamplesInMessage); i++)
    text +=
        (i > 0 ? ", " : "") + data.sources()[samples[i].source] + " row " + std::to_string(samples[i].row);
  if (samples.size() > kSamplesInMessage)
    text += " and " + std::to_string(samples.size() - kSamplesInMessage) + " more";
  return text;
}

/// What is not as it was when the snapshot was written, as a JSON array of names. Of what it does not tell,
/// nothing is known.
std::string changed_fields(const SnapshotHead& before, const SnapshotHead& now) {
  std::string json = "[";
  const auto add = [&](const std::string& name) { json += (json.size() > 1 ? ",\"" : "\"") + name + "\""; };
  for (const auto& field : now.run)
    if (std::any_of(before.run.begin(), before.run.end(), [&](const auto& other) {
          return other.first == field.first && other.second != field.second;
        }))
      add(field.first);
  if (now.processes != before.processes) add("processes");
  return json + "]";
}

}  // namespace

Trainer::Trainer(RunSetup& setup, Collectives& collectives, RunLog& log)
    : setup_(setup),
      run_(setup.run),
      collectives_(collectives),
      log_(log),
      workers_(setup.run.threads),
      store_(setup.layout, setup.run.zero_stage, collectives, workers_),
      decoder_(std::in_place, setup.config, *setup.backend, setup.decoder),
      order_(setup.data.packs(), setup.run.seed),
      builder_(setup.data) {
  if (setup.validation_data) validation_builder_.emplace(*setup.validation_data);
  start_or_resume();
  snapshots_.emplace(
      SnapshotWriter::Options{log.snapshots(), run_.snapshot_keep, run_.snapshot_every_steps.has_value()},
      store_, collectives_, workers_);
  total_steps_ = setup.course.total_steps(position_);
  const uint64_t warmup = run_.warmup_steps.value_or(warmup_updates(run_.warmup_ratio, total_steps_));
  schedule_.emplace(run_.schedule, run_.learning_rate, warmup, total_steps_);
}

void Trainer::start_or_resume() {
  if (collectives_.rank() == 0) {
    remove_unfinished_snapshots(log_.snapshots());
    if (!run_.resume && !list_snapshots(log_.snapshots()).empty())
      throw Error("ERR_OUTPUT_EXISTS", log_.snapshots() +
                                           ": expected no snapshot of an earlier run. Resume that "
                                           "run, or choose another output directory");
  }
  collectives_.barrier();
  const auto found =
      find_snapshot(log_.snapshots(), collectives_, [&](const std::string& path, const std::string& reason) {
        JsonLine line;
        line.text("event", "damaged").text("path", path).text("reason", reason);
        log_.emit(line);
      });
  JsonLine start;
  if (found) {
    resume(*found);
    start.text("event", "start").integer("step", position_.step).text("resumedFrom", found->path);
    start.raw("changed", changed_fields(found->manifest.head, snapshot_head()));
  } else {
    load_model();
    start.text("event", "start").integer("step", 0).null("resumedFrom");
  }
  log_.open(position_.step);
  log_.emit(start);
}

void Trainer::load_model() {
  const CheckpointWeights weights(run_.model, setup_.config, setup_.layout);
  for (size_t block = 0; block < setup_.layout.block_floats.size(); block++) {
    const WeightSlice slice = store_.weight_slice(block);
    weights.read(block, slice.begin, slice.values);
  }
  store_.share_weights();
}

void Trainer::resume(const FoundSnapshot& found) {
  const SnapshotHead& head = found.manifest.head;
  if (head.data_key != setup_.data.key())
    throw Error("ERR_RESUME", found.path + ": expected the data that this run began with, of key " +
                                  head.data_key + ", but received those of key " + setup_.data.key() +
                                  ". Give the same data, or another output directory to begin anew");
  if (head.seed != run_.seed)
    throw Error("ERR_RESUME", found.path + ": expected the seed that this run began with, " +
                                  std::to_string(head.seed) + ", but received " + std::to_string(run_.seed) +
                                  ". Give the same seed, or another output directory to begin anew");
  load_snapshot(found, store_);
  position_ = setup_.course.settle(head.position);
  skipped_in_a_row_ = head.skipped_in_a_row;
  saved_step_ = head.position.step;
}

StopRequest Trainer::run() {
  StepLosses start(1, collectives_);
  start.share();
  stop_ = start.stop();
  for (;;) {
    report_snapshot(false);
    if (snapshot_is_due()) start_snapshot();
    if (stop_ == StopRequest::kNone && validation_is_due()) validate();
    if (stop_ != StopRequest::kNone) {
      save_snapshot();
      return stop_;
    }
    if (position_.step == total_steps_) break;
    take_step();
  }
  finish();
  return StopRequest::kNone;
}

void Trainer::take_step() {
  log_.set_phase("training");
  const double started = monotonic_seconds();
  const PackLists packs = packs_of_step();
  const size_t processes = collectives_.size();
  uint64_t step_tokens = 0, step_trained = 0;
  for (const auto& list : packs) {
    for (const uint32_t pack : list) step_tokens += setup_.data.tokens(pack);
    step_trained += trained_tokens(list);
  }

  StepLosses losses(run_.gradient_accumulation, collectives_);
  for (uint32_t i = 0; i < run_.gradient_accumulation; i++) {
    const auto& list = packs[i * processes + collectives_.rank()];
    const double share = run_.loss_normalization == LossNormalization::kMicroMean
                             ? double(trained_tokens(list)) * double(packs.size())
                             : double(step_trained);
    // Without a trained token there is nothing to scale, but ZeRO's collectives need the pass.
    const float scale = share > 0 ? float(1 / share) : 0;
    losses.set(i,
               decoder_->forward_backward(builder_.build(list), scale, store_.weights(), store_.gradients()));
  }
  losses.share();
  const auto sums = losses.sums();
  const bool finite = std::all_of(sums.begin(), sums.end(), [](double sum) { return std::isfinite(sum); });
  const double learning_rate = schedule_->at(position_.step);
  const UpdateResult update = store_.update({run_.adam, learning_rate, run_.max_gradient_norm, finite});

  position_ = setup_.course.after_step(position_);
  stop_ = losses.stop();
  double flops = 0;
  for (const auto& list : packs)
    flops += model_flops(setup_.config, segments_of(setup_.data, list), trained_tokens(list));
  const double seconds = monotonic_seconds() - started;
  log_.report_step({.step = position_.step,
                    .epoch = setup_.course.epochs_done(position_),
                    .loss = step_loss(losses, packs),
                    .gradient_norm = update.gradient_norm,
                    .learning_rate = learning_rate,
                    .tokens = step_tokens,
                    .trained_tokens = step_trained,
                    .seconds = seconds,
                    .flops_per_second = flops / seconds / double(processes),
                    .skipped = update.skipped,
                    .peak_bytes = losses.peak_bytes()});
  skipped_in_a_row_ = update.skipped ? skipped_in_a_row_ + 1 : 0;
  if (update.skipped) note_skipped(losses, packs);
}

std::vector<uint32_t> Trainer::packs_of(uint32_t micro_batch, uint64_t rank) {
  std::vector<uint32_t> packs(run_.micro_batch_packs);
  uint64_t place = setup_.course.first_pack(position_, micro_batch, rank);
  for (uint32_t& pack : packs) pack = order_.at(position_.epoch, place++);
  return packs;
}

/// Of all processes, in the order of StepLosses: every process knows what the others do.
PackLists Trainer::packs_of_step() {
  PackLists packs;
  for (uint32_t micro_batch = 0; micro_batch < run_.gradient_accumulation; micro_batch++)
    for (size_t rank = 0; rank < collectives_.size(); rank++) packs.push_back(packs_of(micro_batch, rank));
  return packs;
}

uint64_t Trainer::trained_tokens(const std::vector<uint32_t>& packs) const {
  return std::accumulate(packs.begin(), packs.end(), uint64_t{0},
                         [&](uint64_t sum, uint32_t pack) { return sum + setup_.data.trained_tokens(pack); });
}

/// The quantity that the step minimises.
double Trainer::step_loss(const StepLosses& losses, const PackLists& packs) const {
  double sum = 0, weight = 0;
  const bool micro_mean = run_.loss_normalization == LossNormalization::kMicroMean;
  for (size_t i = 0; i < packs.size(); i++) {
    const auto trained = double(trained_tokens(packs[i]));
    // A micro-batch without a trained token has the mean 0, unless weights are so broken that it is not
    // finite.
    sum += micro_mean && trained > 0 ? losses.sums()[i] / trained : losses.sums()[i];
    weight += micro_mean ? 1 : trained;
  }
  return weight > 0 ? sum / weight : 0;
}

void Trainer::note_skipped(const StepLosses& losses, const PackLists& packs) {
  std::vector<PreparedData::Sample> samples;
  const auto add = [&](const std::vector<uint32_t>& list) {
    for (const uint32_t pack : list)
      for (const auto& sample : setup_.data.samples(pack)) samples.push_back(sample);
  };
  for (size_t i = 0; i < packs.size(); i++)
    if (!std::isfinite(losses.sums()[i])) add(packs[i]);
  const std::string reason = samples.empty() ? "gradient" : "loss";
  // Of a gradient it is not known which sample spoilt it.
  if (samples.empty()) std::for_each(packs.begin(), packs.end(), add);

  JsonLine line;
  line.text("event", "skipped").integer("step", position_.step).text("reason", reason);
  log_.emit(line.raw("samples", samples_json(samples)));
  if (skipped_in_a_row_ < run_.max_skipped_steps) return;
  throw Error(
      "ERR_TRAINING_DIVERGED",
      "Expected a finite loss and gradient but " + std::to_string(skipped_in_a_row_) +
          " steps in a row were skipped, the last one step " + std::to_string(position_.step) + " (" +
          reason + "), with " + samples_text(samples, setup_.data) +
          ". Look at these samples and at the weights training started from, or lower the learning rate; "
          "earlier snapshots are complete");
}

/// The mean over all trained tokens. The processes take turns; those that have no pack left in the last turn
/// repeat one, which does not count.
void Trainer::validate() {
  log_.set_phase("validating");
  const PreparedData& data = *setup_.validation_data;
  const uint64_t at_once = run_.micro_batch_packs;
  const uint64_t per_turn = at_once * collectives_.size();
  double sum = 0;
  uint64_t trained = 0;
  for (uint64_t turn = 0; turn < data.packs(); turn += per_turn) {
    std::vector<uint32_t> packs;
    const uint64_t first = turn + collectives_.rank() * at_once;
    for (uint64_t i = first; i < std::min(data.packs(), first + at_once); i++) packs.push_back(uint32_t(i));
    const bool counts = !packs.empty();
    if (!counts) packs.push_back(0);
    StepLosses losses(1, collectives_);
    const double loss = decoder_->loss_sum(validation_builder_->build(packs), store_.weights());
    losses.set(0, counts ? loss : 0);
    losses.share();
    sum = std::accumulate(losses.sums().begin(), losses.sums().end(), sum);
    stop_ = losses.stop();
    if (stop_ != StopRequest::kNone) return;  // it is made again when the run goes on
  }
  for (uint64_t pack = 0; pack < data.packs(); pack++) trained += data.trained_tokens(pack);
  log_.report_validation(position_.step, sum / double(trained));
}

bool Trainer::snapshot_is_due() const {
  if (!run_.snapshot_every_steps || saved_step_ == position_.step || position_.step == 0) return false;
  return position_.step % *run_.snapshot_every_steps == 0 || position_.step == total_steps_;
}

/// Before the first step, too: what the training is to improve on.
bool Trainer::validation_is_due() const {
  if (!setup_.validation_data) return false;
  const auto every = run_.validation_every_steps;
  return position_.step == 0 || position_.step == total_steps_ || (every && position_.step % *every == 0);
}

SnapshotHead Trainer::snapshot_head() const {
  return {position_, store_.updates(),  skipped_in_a_row_, collectives_.size(),
          run_.seed, setup_.data.key(), run_fields(run_)};
}

void Trainer::start_snapshot() {
  report_snapshot(true);
  // A run that goes on from here has the metrics up to here.
  log_.sync();
  snapshots_->start(snapshot_head());
  saved_step_ = position_.step;
}

/// Before the end: nothing is left under way.
void Trainer::save_snapshot() {
  log_.set_phase("saving");
  report_snapshot(true);
  if (position_.step == 0 || saved_step_ == position_.step) return;
  log_.sync();
  snapshots_->save(snapshot_head());
  saved_step_ = position_.step;
  report_snapshot(true);
}

void Trainer::report_snapshot(bool wait) {
  const auto completed = snapshots_->take_completed(wait);
  if (!completed) return;
  JsonLine line;
  line.text("event", "checkpoint").integer("step", completed->step).text("path", completed->path);
  log_.emit(line);
}

void Trainer::finish() {
  log_.set_phase("exporting");
  report_snapshot(true);
  decoder_.reset();
  const std::string too_large = first_text(collectives_, find_too_large(store_, run_.export_dtype));
  if (!too_large.empty()) {
    // The training is not to be lost for that: with another dtype the run goes on from its last step.
    save_snapshot();
    throw Error("ERR_NON_FINITE",
                too_large + " (export.dtype). The run was saved: resume it with that dtype.");
  }
  export_weights({log_.output(), log_.export_staging(), run_.export_dtype, run_.export_max_shard_bytes},
                 setup_.layout, store_.weights(), collectives_, workers_);
}

}  // namespace branchmerge::sft
