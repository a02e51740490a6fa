import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { checkFreeSpace, examineOutput } from '../../files/outputDirectory.js'
import { noDevices, refuseUnusableDevices } from '../../native/devices.js'
import { requestedInstructionSet } from '../../native/instructionSet.js'
import { native } from '../../native/native.js'
import { readSource } from '../../recipe/readRecipe.js'
import type { RecipeSource } from '../../recipe/recipe.js'
import { checkInteger, checkObject } from '../../validate.js'
import { version } from '../../version.js'
import { contentDifferences } from '../output/inputContent.js'
import { changedModels, type InputState, statesOf } from '../output/inputStates.js'
import type { MergeOutcome } from '../output/mergeOutcome.js'
import { fetchModels, pinModels } from '../plan/hubModels.js'
import type { MergePlan } from '../plan/mergePlan.js'
import { type MergeOptions, type MergeRequest, resolveMergeRequest } from '../plan/mergeRequest.js'
import { planSplitMerge, verifyInputs } from '../plan/planMerge.js'
import type { OutputFile } from '../plan/planOutput.js'
import { fingerprintOfPlan } from '../run/executeMerge.js'
import { MergePass } from '../run/mergePass.js'
import { assignParts } from './assignParts.js'
import { PartDirectory, type PartFile, type PartRecord, type PartRequest, partDirectoryName } from './partDirectory.js'

/** More parts than any cluster has machines. */
export const maxParts = 10_000

/** Which part of a merge: `part` 1 to `parts`. */
export interface Shard {
  part: number
  parts: number
}

/** Options of one part of a merge. All parts need the same ones, but for threads and callbacks. */
export interface MergePartOptions extends MergeOptions, Shard {}

/** What `mergePart` resolves to, and what `--shard` prints with `--json`. */
export interface PartSummary extends Shard {
  /** Names of the weights files that this part writes. */
  files: string[]
  /** Of the whole output: with fewer files than parts, some have nothing to do. */
  filesOfAllParts: number
  tensors: number
  bytesRead: number
  bytesWritten: number
  seconds: number
  /** The part was done before; nothing was read but headers. */
  alreadyDone: boolean
}

/**
 * Does one part of a merge that several tasks share: merges some of the output files into `out`/.branchmerge-shards. The
 * parts may run at the same time or in any order, on any machines that share the directory; {@link finishMerge} makes them a
 * checkpoint. docs/cluster.md tells what a crash leaves.
 *
 * @throws BranchMergeError with any of the codes in docs/errors.md; the signal's reason after an abort.
 */
export async function mergePart(recipe: RecipeSource, options: MergePartOptions): Promise<PartSummary> {
  const started = performance.now()
  checkObject(options, 'options')
  const { part, parts, ...rest } = options
  const shard = checkShard(part, parts)
  return await executePart(resolveMergeRequest(await readSource(recipe), rest), shard, started)
}

/** @throws ERR_INVALID_ARGUMENT */
export function checkShard(part: number, parts: number): Shard {
  checkInteger(parts, 'parts', 1, maxParts)
  return { part: checkInteger(part, 'part', 1, parts), parts }
}

/** Carries out one part of a merge. `started` is when the call began, by performance.now(). */
export async function executePart(
  request: MergeRequest,
  { part, parts }: Shard,
  started: number,
): Promise<PartSummary> {
  const plan = await planSplitMerge(await fetchModels(await pinModels(request)))
  const { directory, fingerprint, inputs } = await preparePart(plan, parts)
  const files = filesOfPart(plan, { part, parts })
  const earlier = await directory.record(part, parts)
  if (earlier) await refuseOtherContent(plan, [earlier], inputs, directory)
  const isDone = earlier !== undefined && (await holdsAll(directory, earlier.files))
  const record = isDone ? earlier : await runPart(plan, files, { part, parts, fingerprint, inputs }, directory)
  const { outcome } = record
  return {
    part,
    parts,
    files: files.map(({ name }) => name),
    filesOfAllParts: plan.files.length,
    tensors: outcome.tensors.length,
    bytesRead: isDone ? 0 : outcome.totals.bytesRead,
    bytesWritten: isDone ? 0 : outcome.totals.bytesWritten,
    seconds: (performance.now() - started) / 1000,
    alreadyDone: isDone,
  }
}

/**
 * Checks that the output directory can take the parts of this merge, and changes nothing. Of the parts that are done, where the files of
 * a model may have been written to since, one is compared with what the models hold now; {@link finishMerge} compares all.
 *
 * @returns the states of the inputs' files with the directory
 * @throws ERR_OUTPUT_EXISTS, or ERR_PART_MISMATCH for parts of another merge
 */
export async function preparePart(
  plan: MergePlan,
  parts: number,
): Promise<{ directory: PartDirectory; fingerprint: string; inputs: (InputState | null)[] }> {
  const { out, overwrite } = plan.run
  await examineOutput(out, overwrite, [partDirectoryName])
  const directory = new PartDirectory(out)
  const fingerprint = splitFingerprint(plan)
  await directory.refuseOtherMerge(fingerprint, parts)
  const inputs = await statesOf(plan)
  const done = (await directory.records()).filter(({ outcome }) => outcome.tensors.length > 0)
  const doubtful = done.find((record) => changedModels(plan, record.inputs, inputs).length > 0)
  if (doubtful) await refuseOtherContent(plan, [doubtful], inputs, directory)
  return { directory, fingerprint, inputs }
}

/**
 * Reads the tensors that records tell of where the files of a model may have been written to since.
 *
 * @param inputs - states of their files now
 * @throws ERR_PART_MISMATCH when a model holds something else now
 */
export async function refuseOtherContent(
  plan: MergePlan,
  records: readonly PartRecord[],
  inputs: readonly (InputState | null)[],
  directory: PartDirectory,
): Promise<void> {
  for (const { part, outcome, inputs: then } of records) {
    const differences = await contentDifferences(plan, outcome.tensors, changedModels(plan, then, inputs))
    if (differences.length > 0) {
      throw directory.mismatch(`the inputs have changed since part ${part} was done (${differences.join('; ')})`)
    }
  }
}

function filesOfPart(plan: MergePlan, { part, parts }: Shard): OutputFile[] {
  const sizes = plan.files.map(({ bytes }) => bytes)
  const places = assignParts(sizes, parts)[part - 1] as number[]
  return places.map((place) => plan.files[place] as OutputFile)
}

async function holdsAll(directory: PartDirectory, files: PartFile[]): Promise<boolean> {
  const held = await Promise.all(files.map((file) => directory.holds(directory.fileAt(file.name), file)))
  return held.every(Boolean)
}

async function runPart(
  plan: MergePlan,
  files: OutputFile[],
  identity: Shard & Pick<PartRecord, 'fingerprint' | 'inputs'>,
  directory: PartDirectory,
): Promise<PartRecord> {
  const instructionSet = requestedInstructionSet(native)
  await refuseUnusableDevices(plan.run.device)
  await checkFreeSpace(
    plan.run.out,
    files.reduce((total, { bytes }) => total + bytes, 0),
  )
  // What is read once for all parts is the first part's.
  const { sha256 } = identity.part === 1 ? await verifyInputs(plan) : plan
  await directory.create()
  await directory.forget(identity)
  const own = { ...plan, files }
  const attempt = await directory.begin(identity, own)
  // An error leaves what is done for the next attempt, like a kill.
  const pass = new MergePass([{ plan: own, output: attempt, fingerprint: attempt.fingerprint }])
  const [outcome = nothing] = files.length > 0 ? await pass.run(instructionSet) : []
  plan.run.signal?.throwIfAborted()
  const request = requestOf(plan)
  return await attempt.complete({ ...identity, request, outcome, sha256: Object.fromEntries(sha256) })
}

/** Of a part without files. */
const nothing: MergeOutcome = {
  tensors: [],
  totals: {
    ...{ bytesRead: 0, bytesWritten: 0, seconds: 0, inputAccess: 'none', outputAccess: 'none' },
    ...noDevices('the part has no files'),
  },
}

function requestOf({ record, models, run }: MergePlan): PartRequest {
  const paths = models.map(({ name, checkpoint }) => [name, resolve(checkpoint.path)] as const)
  return { recipe: record, models: Object.fromEntries(paths), overwrite: run.overwrite, card: run.card }
}

/** Of everything that decides the output's bytes but the inputs' tensors: the plan, and what is written beside. */
export function splitFingerprint(plan: MergePlan): string {
  const names = plan.files.map(({ name }) => name)
  const tensors = fingerprintOfPlan(plan)
  const content = { version, tensors, names, recipe: plan.record, sideFiles: plan.sideFiles }
  return createHash('sha256').update(JSON.stringify(content)).digest('hex')
}
