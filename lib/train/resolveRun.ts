import { dirname, resolve } from 'node:path'
import type { ValidateFunction } from 'ajv/dist/2020.js'
import type { LocalData } from '../data/fetchData.js'
import { type ResolvedData, resolveData } from '../data/options.js'
import { optionalMemory, optionalShardSize } from '../fusion/fuseOptions.js'
import { isHubName, placeFromFile } from '../hub/hubName.js'
import { jsonSchema } from '../options/jsonSchema.js'
import { type OtherOption, withDefaults } from '../options/option.js'
import { pathFromFile } from '../pathFromFile.js'
import { applyOverrides, locateWith, type Override } from '../recipe/overrides.js'
import { Problems } from '../recipe/problems.js'
import type { RecipeDocument } from '../recipe/recipe.js'
import { compileSchema, schemaProblems } from '../recipe/schemaProblems.js'
import { isMapping } from '../validate.js'
import { looksLikeLlamaFactory } from './looksLikeLlamaFactory.js'
import { exportKeys, launcherKeys, run as runGroup, slurmKeys } from './runKeys.js'
import type { LauncherOptions, RunOptions, SlurmOptions } from './runOptions.js'
import { trainingKeys } from './trainingKeys.js'
import type { TrainingOptions } from './trainingOptions.js'
import { type TrainingPresetName, trainingPresets } from './trainingPresets.js'

/** Every hyperparameter has a value. */
export type Hyperparameters = { [K in keyof TrainingOptions]-?: Exclude<TrainingOptions[K], undefined> }

export interface ResolvedSlurm extends Omit<SlurmOptions, 'signalSeconds' | 'mpi' | 'sbatchArguments'> {
  signalSeconds: number
  mpi: string
  sbatchArguments: readonly string[]
}

export interface ResolvedLauncher extends Pick<LauncherOptions, 'hosts' | 'threads'> {
  processes: number
  memoryBytes: number | undefined
  heartbeatTimeout: number
  slurm: ResolvedSlurm
}

/** A run whose every choice is made but for those that depend on the model's files and the machine. */
export interface ResolvedRun {
  preset: TrainingPresetName | undefined
  /** Absolute, as the other paths. */
  model: string
  output: string
  data: ResolvedData
  training: Hyperparameters
  /** Undefined: the model's. */
  exportDtype: 'BF16' | 'F16' | 'F32' | undefined
  maxShardBytes: number
  /** Whether a model card is written. */
  card: boolean
  launcher: ResolvedLauncher
  /** The run as it could be written to a file, paths absolute, preset and overrides worked in. */
  options: RunOptions
  /** What a reader of the plan should know. */
  notes: string[]
}

let compiled: ValidateFunction | undefined

/** The schema of a run; what is in `data` has a schema and a check of its own. */
function validator(): ValidateFunction {
  if (compiled) return compiled
  const data: OtherOption = {
    type: 'other',
    required: true,
    typescript: 'DataOptions',
    schema: { $comment: 'an object with sources', type: 'object' },
    meaning: '',
  }
  compiled = compileSchema(jsonSchema({ ...runGroup, options: { ...runGroup.options, data } }))
  return compiled
}

/**
 * Checks a run and settles every default: what the run says, then the preset's values, then the defaults. Reads no file.
 *
 * @throws ERR_RECIPE with everything that is wrong, each problem with its line
 */
export function resolveRun(document: RecipeDocument, overrides: readonly Override[] = []): ResolvedRun {
  const given = applyOverrides(document.value, overrides)
  const problems = new Problems(document.file ?? 'The run', locateWith(document.locate, overrides))
  if (looksLikeLlamaFactory(given)) {
    const name = document.file ?? 'FILE'
    problems.add(
      [],
      `This is a configuration of LLaMA-Factory: branchmerge convert ${name} --out run.yaml makes it a run`,
    )
    problems.throwIfAny()
  }
  schemaProblems(validator(), given, problems, { subject: 'the run' })
  const run = (isMapping(given) ? given : {}) as unknown as RunOptions
  const preset = Object.hasOwn(trainingPresets, run.preset ?? '')
    ? trainingPresets[run.preset as TrainingPresetName]
    : undefined
  const directory = document.file === undefined ? '.' : dirname(document.file)
  const dataOptions = isMapping(run.data) ? { ...preset?.data, ...run.data } : run.data
  const data = isMapping(dataOptions) ? resolveData(dataOptions, problems, { base: ['data'], directory }) : undefined
  checkSlurmTime(run.launcher?.slurm ?? {}, problems)
  problems.throwIfAny()
  const from = (path: string) => resolve(pathFromFile(path, directory))
  const launcher = resolveLauncher(run.launcher ?? {})
  const stored = withDefaults(exportKeys, run.export ?? {})
  const resolved = {
    preset: run.preset,
    model: absolute(placeFromFile(run.model, directory, 'model')),
    output: from(run.output),
    data: data as ResolvedData,
    training: hyperparameters({ ...preset?.training, ...run.training }, launcher.processes),
    exportDtype: dtypeOf(stored.dtype),
    maxShardBytes: optionalShardSize(stored.maxShardSize, 'export.maxShardSize') as number,
    card: stored.card,
    launcher,
  }
  return { ...resolved, options: asOptions(run, resolved), notes: notesOf(resolved) }
}

/** Names on the Hub start from nowhere. */
const absolute = (place: string): string => (isHubName(place) ? place : resolve(place))

function hyperparameters(given: TrainingOptions, processes: number): Hyperparameters {
  const { zeroStage = processes > 1 ? 1 : 0, ...values } = withDefaults(trainingKeys, given)
  return { ...values, zeroStage }
}

/** A job that is told to save as soon as it begins would be requeued for ever. */
function checkSlurmTime(slurm: SlurmOptions, problems: Problems): void {
  const { time, signalSeconds } = withDefaults(slurmKeys, slurm)
  const seconds = typeof time === 'string' ? slurmSeconds(time) : undefined
  if (seconds === undefined || seconds > signalSeconds) return
  problems.add(
    ['launcher', 'slurm', 'time'],
    `Expected more than signalSeconds (${signalSeconds} s) for launcher.slurm.time but received ${time}: lower signalSeconds, or ask for more`,
  )
}

/** minutes, m:s, h:m:s, d-h, d-h:m, d-h:m:s */
function slurmSeconds(time: string): number | undefined {
  const [, days, first, second, third] = /^(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?$/.exec(time) ?? []
  if (first === undefined) return undefined
  const [a, b, c] = [first, second ?? 0, third ?? 0].map(Number) as [number, number, number]
  if (days !== undefined) return ((Number(days) * 24 + a) * 60 + b) * 60 + c
  return third === undefined ? a * 60 + b : (a * 60 + b) * 60 + c
}

function resolveLauncher(given: LauncherOptions): ResolvedLauncher {
  const { processes, hosts, threads, memory, heartbeatTimeout, slurm = {} } = withDefaults(launcherKeys, given)
  const { sbatchArguments = [], ...asked } = withDefaults(slurmKeys, slurm)
  return {
    processes,
    ...(hosts && { hosts }),
    ...(threads && { threads }),
    memoryBytes: optionalMemory(memory, 'launcher.memory'),
    heartbeatTimeout,
    slurm: { ...asked, sbatchArguments },
  }
}

function dtypeOf(name: NonNullable<RunOptions['export']>['dtype']): ResolvedRun['exportDtype'] {
  const names = { bfloat16: 'BF16', float16: 'F16', float32: 'F32' } as const
  return name === 'bfloat16' || name === 'float16' || name === 'float32' ? names[name] : name
}

/** The run with paths for what it names on the Hub. */
export function withLocalData(run: ResolvedRun, { model, data }: LocalData): ResolvedRun {
  const resolved = { ...run, model, data }
  return { ...resolved, options: asOptions(run.options, resolved) }
}

function asOptions(
  { preset: _, ...run }: RunOptions,
  { model, output, data, training }: Pick<ResolvedRun, 'model' | 'output' | 'data' | 'training'>,
): RunOptions {
  const { tokenizer, template, cutoffLength, packing, cache } = data
  const sources = run.data.sources.map((source, i) => ({
    ...(typeof source === 'string' ? {} : source),
    path: (data.sources[i]?.paths ?? []).map(absolute),
  }))
  const settled = {
    ...run.data,
    sources,
    ...(tokenizer === undefined ? {} : { tokenizer: absolute(tokenizer) }),
    template: template.endsWith('.jinja') ? resolve(template) : template,
    cutoffLength,
    packing,
    cache,
  }
  return { ...run, model, output, data: settled, training }
}

function notesOf({ preset, training, launcher }: Pick<ResolvedRun, 'preset' | 'training' | 'launcher'>): string[] {
  const batch = training.perDeviceTrainBatchSize * training.gradientAccumulationSteps * launcher.processes
  const published = preset && trainingPresets[preset].batch
  if (published === undefined || batch === published) return []
  const steps = published / (training.perDeviceTrainBatchSize * launcher.processes)
  const advice = Number.isInteger(steps) ? `: training.gradientAccumulationSteps ${steps} makes it the same` : ''
  return [`A step of ${preset} has ${published} packs, and one of this run ${batch}${advice}`]
}
