import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { readConfigJson } from '../checkpoint/decoderShape.js'
import { type Checkpoint, openCheckpoint } from '../checkpoint/openCheckpoint.js'
import { BranchMergeError } from '../errors.js'
import { readSmallFile } from '../files/readSmallFile.js'
import { writeWhole } from '../files/writeWhole.js'
import { native } from '../native/native.js'
import { runJob } from '../native/runJob.js'
import { canonicalJson } from '../text/canonicalJson.js'
import type { TrainerRun } from './trainerRun.js'
import { trainingDirectoryName } from './trainingOutput.js'

const format = 1
const originFileName = 'origin.json'
const maxBytes = 16 * 2 ** 20

/** What a run is made from, and how: what a later one must have in common with it to go on, or to be done already. */
export interface TrainingOrigin {
  format: number
  /** Key of the prepared data: of the rows, the tokenizer and the template. */
  data: string
  model: ModelContent
  /** Everything else by name, with dots for what is nested. */
  options: Record<string, unknown>
}

interface ModelContent {
  /** config.json. */
  config: Record<string, unknown>
  /** SHA-256 of the names and hashes of all tensors. */
  tensors: string
  /** The files that were hashed. Where they are as they were, they are not read again. */
  files: { path: string; bytes: number; modified: string }[]
}

/** Something that is not as it was when the run began. */
export interface OriginChange {
  name: string
  before: unknown
  now: unknown
}

/** A run, as far as its origin goes. */
export interface OriginInputs {
  output: string
  model: string
  dataKey: string
  processes: number
  file: TrainerRun
  signal: AbortSignal | undefined
}

/** Keys of config.json that say nothing about the model. */
const irrelevantKeys = ['_name_or_path', 'transformers_version']

/**
 * Compares a run with the one that was cut off or finished in its output.
 *
 * @returns the options that are others now, which a run that was cut off may have
 * @throws ERR_RESUME when the run began with another model, data or seed; ERR_OUTPUT_EXISTS when it is finished and had any other
 *   input or option
 */
export async function compareOrigin(inputs: OriginInputs, state: 'begun' | 'finished'): Promise<OriginChange[]> {
  const { output } = inputs
  const before = await readOrigin(output)
  if (!before) {
    throw new BranchMergeError(
      'ERR_RESUME',
      `Expected ${originPath(output)}, which says what the run in ${output} began with, but it is missing or damaged. ` +
        'Choose another output directory to start from the beginning.',
    )
  }
  const now = await describeOrigin(inputs, before.model)
  const { fixed, free } = differences(before, now)
  if (state === 'finished') {
    // The number of threads follows from the machine, unless it is given.
    const others = [...fixed, ...free.filter(({ name }) => name !== 'threads')]
    if (others.length === 0) return []
    throw new BranchMergeError(
      'ERR_OUTPUT_EXISTS',
      `Expected the inputs and options with which the expert in ${output} was trained, but some differ: ${describeChanges(others)}. ` +
        'Choose another output directory, or remove that one.',
    )
  }
  if (fixed.length === 0) return free
  throw new BranchMergeError(
    'ERR_RESUME',
    `Expected the data, model and seed with which the run in ${output} began, but some differ: ${describeChanges(fixed)}. ` +
      'Use the same ones, or another output directory to start from the beginning.',
  )
}

/** Writes down what a run is made from, before its first step. */
export async function writeOrigin(inputs: OriginInputs): Promise<void> {
  const origin = await describeOrigin(inputs, (await readOrigin(inputs.output))?.model)
  await writeWhole(originPath(inputs.output), `${JSON.stringify(origin, null, 2)}\n`)
}

const originPath = (output: string): string => join(output, trainingDirectoryName, originFileName)

async function readOrigin(output: string): Promise<TrainingOrigin | undefined> {
  const bytes = await readSmallFile(originPath(output), maxBytes, 'ERR_RESUME')
  if (!bytes) return undefined
  try {
    const origin = JSON.parse(bytes.toString('utf8')) as TrainingOrigin
    return origin.format === format ? origin : undefined
  } catch {
    return undefined
  }
}

async function describeOrigin(
  { model, dataKey, processes, file, signal }: OriginInputs,
  known: ModelContent | undefined,
): Promise<TrainingOrigin> {
  // Where things lie and how much memory there is change nothing.
  const { format: _, model: _model, data, validationData, output, resume, memoryBytes, ...options } = file
  return {
    format,
    data: dataKey,
    model: await describeModel(model, file.threads, known, signal),
    options: { ...flatten(options), processes },
  }
}

async function describeModel(
  path: string,
  threads: number,
  known: ModelContent | undefined,
  signal: AbortSignal | undefined,
): Promise<ModelContent> {
  const checkpoint = await openCheckpoint(path, { signal })
  const files = await Promise.all(
    checkpoint.files.map(async ({ path: file, bytes }) => {
      const { mtimeNs } = await stat(file, { bigint: true })
      return { path: file, bytes, modified: String(mtimeNs) }
    }),
  )
  const isKnown = known !== undefined && JSON.stringify(known.files) === JSON.stringify(files)
  const tensors = isKnown ? known.tensors : await hashTensors(checkpoint, threads, signal)
  return { config: await readConfigJson(join(path, 'config.json')), tensors, files }
}

/** It does not matter in which files they lie. */
async function hashTensors({ files }: Checkpoint, threads: number, signal: AbortSignal | undefined): Promise<string> {
  const found: string[] = []
  for (const { path } of files) {
    const { tensors } = await runJob(() => native.hashFile(path, threads), signal)
    found.push(...tensors.map(([name, hash]) => JSON.stringify([name, hash])))
  }
  return createHash('sha256').update(found.sort().join('\n')).digest('hex')
}

function flatten(value: object, prefix = ''): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, entry]): [string, unknown][] => {
      const name = `${prefix}${key}`
      return typeof entry === 'object' && entry !== null ? Object.entries(flatten(entry, `${name}.`)) : [[name, entry]]
    }),
  )
}

function differences(before: TrainingOrigin, now: TrainingOrigin): { fixed: OriginChange[]; free: OriginChange[] } {
  const options = compare(before.options, now.options)
  const ofConfig = compare(before.model.config, now.model.config).filter(({ name }) => !irrelevantKeys.includes(name))
  const fixed = [
    ...compare({ data: before.data }, { data: now.data }),
    ...compare({ 'tensors of the model': before.model.tensors }, { 'tensors of the model': now.model.tensors }),
    ...ofConfig.map((change) => ({ ...change, name: `${change.name} of the model's config.json` })),
    ...options.filter(({ name }) => name === 'seed'),
  ]
  return { fixed, free: options.filter(({ name }) => name !== 'seed') }
}

function compare(before: Record<string, unknown>, now: Record<string, unknown>): OriginChange[] {
  return [...new Set([...Object.keys(before), ...Object.keys(now)])]
    .filter((name) => canonicalJson(before[name]) !== canonicalJson(now[name]))
    .map((name) => ({ name, before: before[name] ?? null, now: now[name] ?? null }))
}

/** `learningRate: 0.00001 then, 0.00002 now; ...` */
export const describeChanges = (changes: readonly OriginChange[]): string =>
  changes.map(({ name, before, now }) => `${name}: ${short(before)} then, ${short(now)} now`).join('; ')

const short = (value: unknown): string => {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  if (/^[0-9a-f]{64}$/.test(text)) return `${text.slice(0, 8)}…`
  return text.length > 100 ? `${text.slice(0, 100)}…` : text
}
