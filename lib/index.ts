export { type AnalysisSummary, analyse } from './analyse.js'
export type { AnalyseOptions } from './analysis/analyseOptions.js'
export type {
  AnalysedFiles,
  AnalysisGroup,
  AnalysisPlace,
  AnalysisResults,
  ExpertChange,
  ExpertPair,
  GradientInterference,
  MergedChange,
  Survival,
} from './analysis/results.js'
export type { Limits, Price, RequestLimits } from './asking/budget.js'
export type { Dtype, FloatDtype } from './checkpoint/dtypes.js'
export type { Checkpoint, CheckpointFile, CheckpointTensor } from './checkpoint/openCheckpoint.js'
export type { WeightKind } from './checkpoint/weightKind.js'
export { type Conversion, type ConvertOptions, convert } from './convert.js'
export type {
  DataOptions,
  DataProgress,
  DataSource,
  MessageTags,
  PrepareDataOptions,
  SourceColumns,
} from './data/options.js'
export { prepareData } from './data/prepareData.js'
export type { PreparedData, PreparedSet } from './data/preparedData.js'
export {
  type DataPreview,
  type PreviewDataOptions,
  type PreviewSample,
  type PreviewStretch,
  previewData,
} from './data/previewData.js'
export type { BadRowPlace, SourceSummary } from './data/sourceSummary.js'
export type { Message, Sampling } from './engines/generation.js'
export type { ClientOptions, EmbeddedSpec, ServedSpec, ServerSpec } from './engines/open/engineOptions.js'
export type { EngineSpec } from './engines/open/engineSpec.js'
export { BranchMergeError, type ErrorCode } from './errors.js'
export type { Difference, EvaluationResults, Interval, Lengths, Score } from './evaluate/analysis/results.js'
export { type CompareOptions, compare } from './evaluate/compare.js'
export { type EvaluateOptions, type EvaluationSummary, evaluate } from './evaluate/evaluate.js'
export type { BenchmarkOptions, EvaluationOptions } from './evaluate/evaluationOptions.js'
export { type RegradeOptions, type RegradeProgress, type RegradeSummary, regrade } from './evaluate/regrade.js'
export type { EvaluationProgress } from './evaluate/runEvaluation.js'
export { type ExportGgufOptions, type ExportGgufSummary, exportGguf } from './export/gguf/exportGguf.js'
export type { GgufDtype } from './export/gguf/ggufFile.js'
export type { FuseCheckpointsOptions, FuseOptions } from './fusion/fuseOptionTypes.js'
export type { FusedTensor, Tensor } from './fusion/fuseTensors.js'
export { type FusionChoices, type PresetName, presets } from './fusion/presets.js'
export type { Progress } from './fusion/progress.js'
export type { FusionStats, MergedTensorStats, StepStats, TensorStats } from './fusion/tensorStats.js'
export { type MathVerdict, type VerifyMathOptions, verifyMath } from './grading/math/verify.js'
export type { DownloadProgress } from './hub/download.js'
export { type InitOptions, type InitSummary, init } from './init/init.js'
export { type BatchOptions, type BatchResult, batch } from './merge/batch.js'
export { fuse } from './merge/fuse.js'
export type { FuseSummary } from './merge/fuseCheckpoints.js'
export { merge } from './merge/merge.js'
export { type FinishOptions, finishMerge } from './merge/parts/finishMerge.js'
export { type MergePartOptions, mergePart, type PartSummary, type Shard } from './merge/parts/mergePart.js'
export type { MergeOptions } from './merge/plan/mergeRequest.js'
export { type ReproduceOptions, reproduce } from './merge/reproduce.js'
export type { MergeFigures, MergeSummary } from './merge/run/mergeResult.js'
export { type Verification, type VerifyOptions, verify } from './merge/verify.js'
export type { DeviceOption } from './native/deviceOption.js'
export { type CudaDevice, type DeviceReport, type DeviceUse, devices } from './native/devices.js'
export { openModel as openCheckpoint } from './openModel.js'
export type { StepEstimate, StepProgress } from './pipeline/kinds/stepKind.js'
export type { PipelineComparison, PipelineFusion, PipelineOptions, PipelineStep } from './pipeline/pipelineOptions.js'
export type {
  PipelinePlan,
  PipelineProgress,
  PipelineSummary,
  PlannedStatus,
  PlannedStep,
  StepOutcome,
  StepStatus,
} from './pipeline/run/pipelineOutcome.js'
export {
  type PlanPipelineOptions,
  planPipeline,
  type RunPipelineOptions,
  runPipeline,
} from './pipeline/run/runPipeline.js'
export { plan, type SftPlanRecord } from './plan.js'
export { type PushOptions, type PushProgress, type PushSummary, push } from './push/push.js'
export { readRecipe } from './recipe/readRecipe.js'
export type { Recipe, RecipeDocument, RecipeSource } from './recipe/recipe.js'
export type { AnalysisPlanRecord } from './report/analysis/analysisText.js'
export type { HeatMapCell, HeatMapRecord } from './report/heatMapRecord.js'
export type { FusionPlan, MergePlanRecord } from './report/plan.js'
export { type ReportOptions, report } from './report/report.js'
export type { SandboxOptions } from './sandbox/sandboxOptions.js'
export type { Cell, Condition, Test, TestObject } from './select/condition.js'
export type { ContaminationBenchmark, ContaminationOptions } from './select/contamination/contamination.js'
export type { DuplicatesOptions } from './select/duplicates/duplicates.js'
export type {
  FunnelStep,
  JoinRecord,
  SelectionInput,
  SelectionProgress,
  SelectionRecord,
} from './select/funnel.js'
export type { QualityOptions, RepetitionLimits, TokenRange } from './select/quality/qualityOptions.js'
export { type SelectDataOptions, selectData } from './select/run/selectData.js'
export type {
  Selection,
  SelectionMap,
  SelectionPart,
  SelectionSource,
  SelectionStep,
} from './select/run/selection.js'
export type { ChooseOptions } from './select/steps/choose.js'
export type { FormOptions } from './select/steps/form.js'
export type { SizeOptions } from './select/steps/size.js'
export type { SelectionSummary } from './select/summary.js'
export type { VerifyOptions as VerifyStepOptions } from './select/verification/verify.js'
export type { BatchRead } from './teach/readBatch.js'
export type { TeachingCounts, TeachingManifest } from './teach/records.js'
export type { TeachingAnswers, TeachingProgress } from './teach/runTeaching.js'
export { type TeachingSummary, type TeachOptions, teach } from './teach/teach.js'
export type { TeachingOptions } from './teach/teachingOptions.js'
export type { BatchWritten } from './teach/writeBatch.js'
export type { LauncherOptions, RunOptions } from './train/runOptions.js'
export type { SftProgress } from './train/runTraining.js'
export { type SftOptions, sft } from './train/sft.js'
export type { PlanEvent, StepEvent, TrainingEvent } from './train/trainerEvents.js'
export type { TrainingOptions } from './train/trainingOptions.js'
export type { SftSummary } from './train/trainingSummary.js'
export {
  type GradientOptions,
  type GradientProgress,
  type GradientSummary,
  writeGradient,
} from './train/writeGradient.js'
export { version } from './version.js'
