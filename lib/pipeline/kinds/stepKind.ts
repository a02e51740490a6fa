import type { EvaluationProgress } from '../../evaluate/runEvaluation.js'
import type { Progress } from '../../fusion/progress.js'
import type { DownloadProgress } from '../../hub/download.js'
import type { RecipeDocument } from '../../recipe/recipe.js'
import type { SelectionProgress } from '../../select/funnel.js'
import type { TeachingProgress } from '../../teach/runTeaching.js'
import type { SftProgress } from '../../train/runTraining.js'
import type { settingKeys } from '../pipelineKeys.js'
import type { PipelineStep } from '../pipelineOptions.js'

export type SettingName = keyof typeof settingKeys
export type StepSettings = Pick<PipelineStep, SettingName>

/** How far the work of a step is, as the API of its kind tells it. */
export type StepProgress =
  | { of: 'select'; progress: SelectionProgress }
  | { of: 'teach'; progress: TeachingProgress }
  | { of: 'sft'; progress: SftProgress }
  | { of: 'merge'; progress: Progress }
  | { of: 'download'; progress: DownloadProgress }
  | { of: 'evaluate'; progress: EvaluationProgress }

export interface StepRunning {
  signal: AbortSignal
  onProgress: (progress: StepProgress) => void
}

/** What a step will need, where its kind can tell without doing it. */
export interface StepEstimate {
  bytesToRead: number
  bytesToWrite: number
  memoryBytes: number
  diskBytes: number
}

/** What a step reads beside the outputs of others. */
export interface InputPlace {
  /** A file, a directory, files by a name with `*`, or a name on the Hub in the full form. */
  path: string
  kind: 'model' | 'files'
}

/** A step whose options are right. */
export interface OpenStep {
  inputs: readonly InputPlace[]
  /**
   * Does the work, and goes on with what is there of the same step, where its kind can. What it gives is what the API of its kind
   * gives.
   */
  run(running: StepRunning): Promise<unknown>
  /** Reads headers, and writes nothing. */
  estimate?(): Promise<StepEstimate>
}

/** What a pipeline knows of a kind of step. */
export interface StepKind {
  /** Whether its command takes a file. */
  takesFile: boolean
  /** Key of its options that says where its output goes; none where they have no such key. */
  place: readonly string[] | undefined
  /** File in the step's directory that is its output; undefined: the directory. */
  outputFile: string | undefined
  settings: readonly SettingName[]
  /** Options that change nothing about what is written. */
  free: readonly (readonly string[])[]
  /**
   * Of what use the output of an earlier run with other options is, as the API of the kind sees it: of none, and it is removed; of
   * use as long as no file that it read has another content; or always. What took answers is never removed, but set aside.
   */
  earlierWork: 'none' | 'sameFiles' | 'always'
  /**
   * Checks the options. Reads no input.
   *
   * @param output - where the output goes; it stands in the document, too, where the kind has a key for it
   * @throws ERR_RECIPE or ERR_INVALID_ARGUMENT
   */
  open(document: RecipeDocument, output: string, settings: StepSettings): OpenStep
}
