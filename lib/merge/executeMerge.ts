import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { hashFile } from '../checkpoint/hashFile.js'
import { indexFileName } from '../checkpoint/openCheckpoint.js'
import {
  type NativeMergedTensor,
  type NativeMergePlan,
  type NativeMergeTotals,
  type NativeWritten,
  native,
} from '../native.js'
import { runJob } from '../runJob.js'
import { requestedInstructionSet } from './instructionSet.js'
import { fingerprintOf, type JournalInput, type JournalRecord, MergeJournal } from './journal.js'
import { fileMetadata, type ManifestOutput, type ManifestSideFile, manifestFileName, manifestText } from './manifest.js'
import { type MergePlan, outputBytes } from './planMerge.js'
import { indexText, needsIndex, type PlannedTensor } from './planOutput.js'
import { OutputTransaction } from './publishOutput.js'
import { type MergedTensorStats, stepStats } from './tensorStats.js'

/** A merged tensor with the hashes of its bytes, docs/provenance.md. */
export interface MergedTensor extends MergedTensorStats {
  /** In the order of the plan's models. */
  modelHashes: string[]
  /** Of the output. */
  hash: string
}

/** What a merge came to. */
export interface MergeOutcome {
  /** In the order of the output. */
  tensors: MergedTensor[]
  totals: NativeMergeTotals
}

/**
 * Carries out a plan: one pass over the inputs into a new directory. Nothing that looks complete is there before it
 * succeeds.
 *
 * @throws BranchMergeError; the signal's reason after an abort
 */
export async function executeMerge(plan: MergePlan): Promise<MergeOutcome> {
  const { run } = plan
  const instructionSet = requestedInstructionSet(native)
  const fingerprint = await fingerprintOfPlan(plan)
  const files = plan.files.map(({ name }) => name)
  const resume = run.resume ? { fingerprint, files } : undefined
  const output = await OutputTransaction.open(run.out, { overwrite: run.overwrite, bytes: outputBytes(plan), resume })
  try {
    const outcome = await mergeTensors(plan, instructionSet, output, journalIn(output, fingerprint))
    await publishMerge(plan, outcome, output)
    return outcome
  } catch (error) {
    if (run.resume) output.keep()
    else await output.discard()
    throw error
  }
}

/** Writes everything beside the weights, and gives all files their names. */
export async function publishMerge(plan: MergePlan, outcome: MergeOutcome, output: OutputTransaction): Promise<void> {
  const { run, files, sideFiles } = plan
  await writeSideFiles(plan, output)
  await writeManifest(plan, outcome, output)
  if (needsIndex(files)) await output.writeFile(indexFileName, indexText(files))
  run.signal?.throwIfAborted()
  await output.publish({ weights: files.map(({ name }) => name), sideFiles })
}

/** Where unfinished files lie. */
type TemporaryPlaces = Pick<OutputTransaction, 'temporaryPath'>

/** What a merge remembers of what reached the disk, and what it starts with. */
interface Progress {
  journal(outputOf: (tensor: string) => number): MergeJournal
  resumed: JournalRecord | undefined
}

/** Begins or goes on with the journal beside the unfinished files. */
export function journalIn(output: Pick<OutputTransaction, 'resumed' | 'journalPath'>, fingerprint: string): Progress {
  const { resumed, journalPath } = output
  return {
    resumed,
    journal: (outputOf) =>
      resumed ? MergeJournal.reopen(journalPath, outputOf) : MergeJournal.create(journalPath, fingerprint, outputOf),
  }
}

/** The same for the same files and the same merge of them, wherever they lie and whatever carries it out. */
export async function fingerprintOfPlan(plan: MergePlan): Promise<string> {
  const inputs: JournalInput[] = []
  for (const { path, bytes, headerHash } of plan.models.flatMap(({ checkpoint }) => checkpoint.files)) {
    const { mtimeNs } = await stat(path, { bigint: true })
    inputs.push({ headerHash, bytes, modified: String(mtimeNs) })
  }
  return fingerprintOf(nativePlan(plan, undefined, { temporaryPath: (name) => name }), inputs)
}

/** Merges the tensors of the plan's files, but those that an earlier run left. */
export async function mergeTensors(
  plan: MergePlan,
  instructionSet: string | undefined,
  output: TemporaryPlaces,
  progress?: Progress,
): Promise<MergeOutcome> {
  const { run } = plan
  const planned = plan.files.flatMap(({ tensors }) => tensors)
  const byName = new Map(planned.map((tensor) => [tensor.name, tensor]))
  const merged = new Map<string, MergedTensor>()
  const outputOf = new Map(plan.files.flatMap(({ tensors }, i) => tensors.map(({ name }) => [name, i] as const)))
  const left = progress?.resumed
  for (const tensor of left?.merged ?? []) {
    if (left?.written[outputOf.get(tensor.name) as number]) {
      merged.set(tensor.name, mergedTensor(plan, byName.get(tensor.name) as PlannedTensor, tensor))
    }
  }
  const journal = progress?.journal((tensor) => outputOf.get(tensor) as number)
  const tellUser = run.onTensor
  const totals = await runJob((guard) => {
    const onTensor = guard((native: NativeMergedTensor) => {
      const tensor = mergedTensor(plan, byName.get(native.name) as PlannedTensor, native)
      merged.set(tensor.name, tensor)
      journal?.addTensor(native)
      tellUser?.(statsOf(tensor))
    })
    const onWritten = journal && guard((written: NativeWritten) => journal.addWritten(written))
    const rest = withoutFinished(nativePlan(plan, instructionSet, output), left, (name) => merged.has(name))
    return native.mergeCheckpoints(rest, guard(run.onProgress), onTensor, onWritten)
  }, run.signal).finally(() => journal?.close())
  return { totals, tensors: planned.map(({ name }) => merged.get(name) as MergedTensor) }
}

/** The plan for what an earlier run did not finish. */
function withoutFinished(
  plan: NativeMergePlan,
  left: JournalRecord | undefined,
  isFinished: (tensor: string) => boolean,
): NativeMergePlan {
  if (!left) return plan
  return {
    ...plan,
    outputs: plan.outputs.map((output, i) => ({ ...output, written: left.written[i] as number })),
    tensors: plan.tensors.map((tensor) => ({ ...tensor, done: isFinished(tensor.name) })),
  }
}

/** The plan as the native side takes it. */
export function nativePlan(
  plan: MergePlan,
  instructionSet: string | undefined,
  output: TemporaryPlaces,
): NativeMergePlan {
  const { models, files, programs, programOf, recipe, run, memoryLimit } = plan
  const inputs = models.flatMap(({ checkpoint }) => checkpoint.files.map(({ path, bytes }) => ({ path, bytes })))
  const firstInputs: number[] = []
  models.reduce((first, { checkpoint }) => {
    firstInputs.push(first)
    return first + checkpoint.files.length
  }, 0)
  const metadata = fileMetadata(plan)
  return {
    inputs,
    outputs: files.map(({ name }) => ({ path: output.temporaryPath(name), metadata, written: 0 })),
    tensors: files.flatMap((file, i) =>
      file.tensors.map((tensor) => ({
        name: tensor.name,
        dtype: tensor.dtype,
        outputDtype: tensor.outputDtype,
        shape: mergedShape(tensor),
        models: tensor.models.map(({ file, begin, end, dtype }, model) => ({
          input: (firstInputs[model] as number) + file,
          begin,
          end,
          dtype,
        })),
        program: programOf.get(tensor.name) as number,
        output: i,
        tail: tensor.copied,
        floatIntermediates: recipe.intermediate === 'float32',
        done: false,
      })),
    ),
    programs,
    memory: memoryLimit,
    threads: run.threads,
    instructionSet,
  }
}

/** Without the rows of one model alone. */
const mergedShape = ({ shape, copied }: PlannedTensor): number[] =>
  copied ? shape.with(0, (shape[0] as number) - copied.rows) : shape

/** Tensors that are no floats, or have no elements, are compared in one step, whatever the recipe's merges. */
function mergedTensor(
  { recipe }: MergePlan,
  { name, shape, dtype, elements }: PlannedTensor,
  { steps, modelHashes, hash }: NativeMergedTensor,
): MergedTensor {
  const figures = steps.map(stepStats)
  const compared = figures[0]
  const each = figures.length === recipe.merges.length || !compared ? figures : recipe.merges.map(() => compared)
  return { name, shape, dtype, elements, steps: each, modelHashes, hash }
}

/** Without the hashes, which are the manifest's. */
function statsOf({ name, shape, dtype, elements, steps }: MergedTensor): MergedTensorStats {
  return { name, shape, dtype, elements, steps }
}

async function writeSideFiles(plan: MergePlan, output: OutputTransaction): Promise<void> {
  for (const name of plan.sideFiles) {
    plan.run.signal?.throwIfAborted()
    if (name === 'config.json' && plan.config !== undefined) await output.writeFile(name, plan.config)
    else await output.copyFile(name, join(plan.source.checkpoint.directory as string, name))
  }
}

/** Describes the files as they lie there, under their temporary names. */
async function writeManifest(plan: MergePlan, outcome: MergeOutcome, output: OutputTransaction): Promise<void> {
  const { signal } = plan.run
  const files: ManifestOutput[] = []
  for (const { name, tensors } of plan.files) {
    const { bytes, headerHash } = await runJob(() => native.readHeader(output.temporaryPath(name)), signal)
    files.push({ name, bytes, headerHash, tensors: tensors.length })
  }
  const sideFiles: ManifestSideFile[] = []
  for (const name of plan.sideFiles) {
    const path = output.temporaryPath(name)
    sideFiles.push({ name, bytes: (await stat(path)).size, sha256: await hashFile(path, signal) })
  }
  await output.writeFile(manifestFileName, manifestText(plan, outcome, { files, sideFiles }))
}
