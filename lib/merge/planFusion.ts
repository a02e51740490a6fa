import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { torchName } from '../checkpoint/dtypes.js'
import { type Checkpoint, openCheckpoint } from '../checkpoint/openCheckpoint.js'
import { type ModelConfig, readConfig } from '../checkpoint/readConfig.js'
import { compareSideFiles, listSideFiles, type SideFileDifference } from '../checkpoint/sideFiles.js'
import type { ResolvedFuseCheckpointsOptions } from './fuseOptions.js'
import { configWithDtype } from './outputConfig.js'
import { refuseInputs } from './outputDirectory.js'
import { pairTensors } from './pairTensors.js'
import { type OutputFile, planOutput } from './planOutput.js'
import { findTiedHead, type TiedHead } from './tiedWeights.js'

/** Everything about a fusion of checkpoints that is known before a tensor is read. */
export interface FusionPlan {
  left: Checkpoint
  right: Checkpoint
  files: OutputFile[]
  sideFiles: string[]
  sideFileBytes: number
  differences: SideFileDifference[]
  /** Text of config.json where it differs from Left's. */
  config: string | undefined
  tiedHeads: TiedHead[]
  parameters: number
  bytesToRead: number
  /** Of tensors, without headers and side files. */
  bytesToWrite: number
  /** What the engine may take: both sides of the largest tensor, and the fixed part. */
  memoryBytes: number
  /** What users should know, in words. */
  notes: string[]
}

/** 256 MiB of read-ahead (docs/design.md); output blocks, the kernels' scratch and Node take less than the rest. */
const fixedMemoryBytes = 384 * 2 ** 20

/**
 * Reads headers, configurations and side files of both checkpoints and decides what to write where. Writes nothing.
 *
 * @throws BranchMergeError for whatever makes the fusion impossible.
 */
export async function planFusion(
  leftPath: string,
  rightPath: string,
  options: ResolvedFuseCheckpointsOptions,
): Promise<FusionPlan> {
  const { signal } = options
  const left = await openCheckpoint(leftPath, { signal })
  const right = await openCheckpoint(rightPath, { signal })
  await refuseInputs(options.out, [left, right])
  const leftConfig = await configOf(left)
  const leftTie = findTiedHead(left, leftConfig)
  const rightTie = findTiedHead(right, await configOf(right))
  const pairs = pairTensors(left, right, { left: leftTie?.head.name, right: rightTie?.head.name })
  const files = planOutput(pairs, left, options)
  const tiedHeads = [leftTie, rightTie].filter((tie) => tie !== undefined)
  const sideFiles = left.directory ? await listSideFiles(left.directory) : []
  return {
    left,
    right,
    files,
    sideFiles,
    sideFileBytes: await totalSize(sideFiles.map((name) => join(left.directory as string, name))),
    differences: left.directory && right.directory ? await compareSideFiles(left.directory, right.directory) : [],
    config: convertedConfig(files, leftConfig, options),
    tiedHeads,
    parameters: sum(pairs.map(({ elements }) => elements)),
    bytesToRead: sum(pairs.map((pair) => pair.left.bytes + pair.right.bytes)),
    bytesToWrite: sum(files.map(({ bytes }) => bytes)),
    memoryBytes: 2 * pairs.reduce((most, pair) => Math.max(most, pair.left.bytes), 0) + fixedMemoryBytes,
    notes: notes(left, right, tiedHeads),
  }
}

const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0)

async function totalSize(paths: string[]): Promise<number> {
  return sum(await Promise.all(paths.map(async (path) => (await stat(path)).size)))
}

async function configOf({ directory }: Checkpoint): Promise<ModelConfig | undefined> {
  return directory ? await readConfig(directory) : undefined
}

function convertedConfig(
  files: OutputFile[],
  config: ModelConfig | undefined,
  { dtype }: ResolvedFuseCheckpointsOptions,
): string | undefined {
  const converts = files.some(({ tensors }) => tensors.some((tensor) => tensor.outputDtype !== tensor.dtype))
  return config && dtype && converts ? configWithDtype(config, torchName(dtype)) : undefined
}

function notes(left: Checkpoint, right: Checkpoint, tiedHeads: TiedHead[]): string[] {
  return [
    ...left.problems.map((problem) => `Left: ${problem}`),
    ...right.problems.map((problem) => `Right: ${problem}`),
    ...tiedHeads.map(({ checkpoint, head, embedding }) => {
      const side = checkpoint === left ? 'Left' : 'Right'
      return `${side}: ${head.name} is tied to ${embedding.name} and left out, as Hugging Face stores it`
    }),
  ]
}

/** Room the whole output takes, headers and side files included, rounded up generously. */
export function outputBytes(plan: FusionPlan): number {
  const perTensor = 512 // header entry, index entry, hashes in the provenance file
  const perFile = 16 * 2 ** 10
  const tensors = plan.files.reduce((total, file) => total + file.tensors.length, 0)
  const files = plan.files.length + plan.sideFiles.length
  return plan.bytesToWrite + plan.sideFileBytes + tensors * perTensor + files * perFile
}
