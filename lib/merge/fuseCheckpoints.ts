import { totalmem } from 'node:os'
import { join } from 'node:path'
import { indexFileName } from '../checkpoint/openCheckpoint.js'
import { type NativeMergedTensor, type NativeMergePlan, type NativeMergeTotals, type NativeTensorStats, native } from '../native.js'
import { runJob } from '../runJob.js'
import {
  type FuseCheckpointsOptions,
  type ResolvedFuseCheckpointsOptions,
  resolveFuseCheckpointsOptions,
} from './fuseOptions.js'
import { requestedInstructionSet } from './instructionSet.js'
import { type FusionPlan, outputBytes, planFusion } from './planFusion.js'
import { indexText, needsIndex } from './planOutput.js'
import type { PresetName } from './presets.js'
import { fileMetadata, provenanceFileName, provenanceText } from './provenance.js'
import { OutputTransaction } from './publishOutput.js'
import { type TensorStats, tensorStats } from './tensorStats.js'
import { verifyTiedHead } from './tiedWeights.js'

/** What `fuse` of two checkpoints resolves to, and what `--json` prints. */
export interface FuseSummary {
  tensors: number
  /** Elements of all tensors. */
  parameters: number
  /** Elements that the gate took from Right. */
  kept: number
  keptFraction: number
  /** Names of the tensors whose threshold is 0 although they changed. */
  degenerate: string[]
  /** Tensors that hold the same bits on both sides. */
  identical: number
  bytesRead: number
  bytesWritten: number
  /** From the call to the published checkpoint. */
  seconds: number
  preset: PresetName
  device: 'cpu'
}

/** The summary with what the command's table needs besides. */
export interface FuseReport {
  summary: FuseSummary
  plan: FusionPlan
  /** In the order of the output. */
  tensors: TensorStats[]
  totals: NativeMergeTotals
}

/** Fuses two checkpoints into a new directory, see {@link FuseCheckpointsOptions}. */
export async function fuseCheckpoints(
  left: string,
  right: string,
  options: FuseCheckpointsOptions,
): Promise<FuseSummary> {
  const started = performance.now()
  const resolved = resolveFuseCheckpointsOptions(options)
  return (await executeFusion(await planFusion(left, right, resolved), resolved, started)).summary
}

/** Carries out a plan. `started` is when the call began, by performance.now(). */
export async function executeFusion(
  plan: FusionPlan,
  options: ResolvedFuseCheckpointsOptions,
  started: number,
): Promise<FuseReport> {
  const instructionSet = requestedInstructionSet(native)
  for (const tie of plan.tiedHeads) await verifyTiedHead(tie, options.signal)
  const output = await OutputTransaction.open(options.out, { overwrite: options.overwrite, bytes: outputBytes(plan) })
  try {
    const { totals, merged } = await runFusion(plan, options, instructionSet, output)
    await writeSideFiles(plan, options, merged, output)
    options.signal?.throwIfAborted()
    await output.publish({ weights: plan.files.map(({ name }) => name), sideFiles: plan.sideFiles })
    const tensors = plan.files.flatMap((file) => file.tensors.map(({ name }) => fusedStats(merged.get(name))))
    const seconds = (performance.now() - started) / 1000
    return { summary: summarise(tensors, totals, seconds, options.preset), plan, tensors, totals }
  } catch (error) {
    await output.discard()
    throw error
  }
}

async function runFusion(
  plan: FusionPlan,
  options: ResolvedFuseCheckpointsOptions,
  instructionSet: string | undefined,
  output: OutputTransaction,
): Promise<{ totals: NativeMergeTotals; merged: Map<string, NativeMergedTensor> }> {
  const merged = new Map<string, NativeMergedTensor>()
  const totals = await runJob((guard) => {
    const tellUser = options.onTensor
    const onTensor = guard((tensor: NativeMergedTensor) => {
      merged.set(tensor.name, tensor)
      tellUser?.(fusedStats(tensor))
    })
    return native.mergeCheckpoints(
      nativePlan(plan, options, instructionSet, output),
      guard(options.onProgress),
      onTensor,
      undefined,
    )
  }, options.signal)
  return { totals, merged }
}

function nativePlan(
  plan: FusionPlan,
  options: ResolvedFuseCheckpointsOptions,
  instructionSet: string | undefined,
  output: OutputTransaction,
): NativeMergePlan {
  const inputs = [...plan.left.files, ...plan.right.files].map(({ path, bytes }) => ({ path, bytes }))
  const firstOfRight = plan.left.files.length
  const metadata = fileMetadata(options)
  return {
    inputs,
    outputs: plan.files.map(({ name }) => ({ path: output.temporaryPath(name), metadata, written: 0 })),
    tensors: plan.files.flatMap((file, i) =>
      file.tensors.map(({ name, dtype, outputDtype, shape, left, right }) => ({
        name,
        dtype,
        outputDtype,
        shape,
        models: [
          { input: left.file, begin: left.begin, end: left.end },
          { input: firstOfRight + right.file, begin: right.begin, end: right.end },
        ],
        program: 0,
        output: i,
        done: false,
      })),
    ),
    programs: [[{ method: 'fuse', operands: [{ model: 0 }, { model: 1 }], fusion: options.fusion }]],
    floatIntermediates: false,
    memory: Math.floor(totalmem() / 4),
    threads: options.threads,
    instructionSet,
  }
}

async function writeSideFiles(
  plan: FusionPlan,
  options: ResolvedFuseCheckpointsOptions,
  merged: Map<string, NativeMergedTensor>,
  output: OutputTransaction,
): Promise<void> {
  const { left, right, files, sideFiles } = plan
  for (const name of sideFiles) {
    options.signal?.throwIfAborted()
    if (name === 'config.json' && plan.config !== undefined) await output.writeFile(name, plan.config)
    else await output.copyFile(name, join(left.directory as string, name))
  }
  const tiedWeights = [...new Set(plan.tiedHeads.map(({ head }) => head.name))]
  const record = provenanceText({ left, right, options, files, sideFiles, merged, tiedWeights })
  await output.writeFile(provenanceFileName, record)
  if (needsIndex(files)) await output.writeFile(indexFileName, indexText(files))
}

/** Of the only step. */
function fusedStats(merged: NativeMergedTensor | undefined): TensorStats {
  return tensorStats(merged?.steps[0] as NativeTensorStats)
}

function summarise(tensors: TensorStats[], totals: NativeMergeTotals, seconds: number, preset: PresetName): FuseSummary {
  const sum = (value: (stats: TensorStats) => number) => tensors.reduce((total, stats) => total + value(stats), 0)
  const [parameters, kept] = [sum(({ elements }) => elements), sum((stats) => stats.kept)]
  return {
    tensors: tensors.length,
    parameters,
    kept,
    keptFraction: parameters > 0 ? kept / parameters : 0,
    degenerate: tensors.filter(({ degenerate }) => degenerate).map(({ name }) => name),
    identical: tensors.filter(({ identical }) => identical).length,
    bytesRead: totals.bytesRead,
    bytesWritten: totals.bytesWritten,
    seconds,
    preset,
    device: 'cpu',
  }
}
