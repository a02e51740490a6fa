import { join } from 'node:path'
import { cardName } from '../../card/cardMark.js'
import { cardPlace } from '../../card/modelCard.js'
import { looksComplete, manifestFileName } from '../../checkpoint/weightFiles.js'
import { BranchMergeError } from '../../errors.js'
import { examineOutput } from '../../files/outputDirectory.js'
import { joinDevices } from '../../native/devices.js'
import { checkOptionNames, checkPath, checkSignal } from '../../validate.js'
import { statesOf } from '../output/inputStates.js'
import { completeManifest } from '../output/manifest.js'
import type { MergedTensor, MergeOutcome } from '../output/mergeOutcome.js'
import { OutputTransaction, topName } from '../output/publishOutput.js'
import { type MergePlan, outputBytes } from '../plan/mergePlan.js'
import { resolveMergeRequest } from '../plan/mergeRequest.js'
import { planSplitMerge } from '../plan/planMerge.js'
import { publishMerge } from '../run/executeMerge.js'
import { earlierResult, type MergeResult, type MergeSummary, resultOf } from '../run/mergeResult.js'
import { refuseOtherContent, splitFingerprint } from './mergePart.js'
import { PartDirectory, type PartRecord, partDirectoryName } from './partDirectory.js'

/** Options of {@link finishMerge}. */
export interface FinishOptions {
  signal?: AbortSignal | undefined
}

/**
 * Makes the parts that {@link mergePart} left in `out` a checkpoint: the same bytes as those of one merge, the manifest
 * included. Running it again after a crash is safe; of a checkpoint that is finished it tells what was done.
 *
 * @throws BranchMergeError ERR_PART_MISSING as long as a part is not done, ERR_PART_MISMATCH when they are not of one merge
 *   or the inputs have changed, and others in docs/errors.md; the signal's reason after an abort.
 */
export async function finishMerge(out: string, options: FinishOptions = {}): Promise<MergeSummary> {
  const started = performance.now()
  checkOptionNames(options, ['signal'])
  return (await finishParts(checkPath(out, 'out'), checkSignal(options.signal), started)).summary
}

/** The same, with what a report needs besides. `started` is when the call began, by performance.now(). */
export async function finishParts(out: string, signal: AbortSignal | undefined, started: number): Promise<MergeResult> {
  const directory = new PartDirectory(out)
  const manifest = (await directory.exists()) ? undefined : await completeManifest(out)
  if (manifest) {
    await directory.removeRemains()
    return earlierResult(manifest, started)
  }
  const records = await allRecords(directory)
  const plan = await planAgain(out, records[0] as PartRecord, directory, signal)
  await refuseOtherContent(plan, records, await statesOf(plan), directory)
  const outcome = joinOutcomes(plan, records)
  const places = await locateFiles(plan, records, directory)
  if (!places.published) await publishParts(plan, outcome, places.paths)
  await directory.remove()
  return resultOf(plan, outcome, started)
}

async function allRecords(directory: PartDirectory): Promise<PartRecord[]> {
  const records = await directory.records()
  const [first] = records
  if (!first) throw missing(`the record of a part in ${directory.path}`, 'there is none')
  const all = Array.from({ length: first.parts }, (_, i) => i + 1)
  const absent = all.filter((part) => !records.some((record) => record.part === part))
  if (absent.length === 0) return records
  const those = absent.length === 1 ? `that of part ${absent} is` : `those of parts ${absent.join(', ')} are`
  throw missing(`the records of ${first.parts} parts in ${directory.path}`, `${those} missing`)
}

function missing(expected: string, found: string): BranchMergeError {
  return new BranchMergeError('ERR_PART_MISSING', `Expected ${expected} but ${found}. Run the missing parts (--shard).`)
}

async function planAgain(
  out: string,
  { request, fingerprint, sha256 }: PartRecord,
  directory: PartDirectory,
  signal: AbortSignal | undefined,
): Promise<MergePlan> {
  const { recipe, models, overwrite, card } = request
  const plan = await planSplitMerge(resolveMergeRequest(recipe, { models, out, overwrite, card, signal }))
  if (splitFingerprint(plan) !== fingerprint) throw directory.mismatch('the inputs have changed since')
  return { ...plan, sha256: new Map(Object.entries(sha256)) }
}

/** What one merge would have told, in the order of the output. */
function joinOutcomes(plan: MergePlan, records: PartRecord[]): MergeOutcome {
  const outcomes = records.map(({ outcome }) => outcome)
  const byName = new Map(outcomes.flatMap(({ tensors }) => tensors).map((tensor) => [tensor.name, tensor]))
  const sum = (value: (outcome: MergeOutcome) => number) => outcomes.reduce((total, each) => total + value(each), 0)
  // A part without files has read nothing, and so tells no way of access; the first one has a file.
  const { inputAccess, outputAccess } = (outcomes[0] as MergeOutcome).totals
  return {
    tensors: plan.files.flatMap(({ tensors }) => tensors.map(({ name }) => byName.get(name) as MergedTensor)),
    totals: {
      bytesRead: sum(({ totals }) => totals.bytesRead),
      bytesWritten: sum(({ totals }) => totals.bytesWritten),
      seconds: sum(({ totals }) => totals.seconds),
      inputAccess,
      outputAccess,
      ...joinDevices(outcomes.filter(({ tensors }) => tensors.length > 0).map(({ totals }) => totals)),
    },
  }
}

/** Where each weights file lies; `published` when an earlier call had come to its end but for clearing up. */
interface Places {
  paths: Map<string, string>
  published: boolean
}

async function locateFiles(plan: MergePlan, records: PartRecord[], directory: PartDirectory): Promise<Places> {
  const { out } = plan.run
  const paths = new Map<string, string>()
  const lost: string[] = []
  // An earlier call that was killed while it renamed had removed the names of a complete checkpoint before.
  const isThere = await looksComplete(out)
  for (const { part, files } of records) {
    for (const file of files) {
      const [staged, moved] = [directory.fileAt(file.name), join(out, file.name)]
      if (await directory.holds(staged, file)) paths.set(file.name, staged)
      else if (await directory.holds(moved, file)) paths.set(file.name, moved)
      else lost.push(`${file.name} (part ${part})`)
    }
  }
  const inOut = [...paths.values()].filter((path) => !path.startsWith(directory.path)).length
  const published = isThere && inOut === plan.files.length
  if (lost.length === 0 && (inOut === 0 || !isThere || published)) return { paths, published }
  throw missing(
    `every file of the parts in ${directory.path}`,
    lost.length > 0 ? `${lost.join(', ')} is gone or damaged` : 'some lie in a complete checkpoint',
  )
}

/** The card that an earlier call had written. */
async function ownCard({ out, card }: MergePlan['run']): Promise<string[]> {
  return card && (await cardPlace(out)) === cardName ? [cardName] : []
}

async function publishParts(plan: MergePlan, outcome: MergeOutcome, paths: Map<string, string>): Promise<void> {
  const { run, files, sideFiles } = plan
  const moved = [...paths].filter(([name, path]) => path === join(run.out, name)).map(([name]) => name)
  // What an earlier call that was killed had given its name does not stand in the way: no part began beside it.
  const named = (await looksComplete(run.out))
    ? []
    : [...moved, ...sideFiles.map(topName), manifestFileName, ...(await ownCard(run))]
  await examineOutput(run.out, run.overwrite, [partDirectoryName, ...named])
  const output = await OutputTransaction.open(run.out, {
    overwrite: true,
    bytes: outputBytes(plan) - plan.bytesToWrite,
    resume: undefined,
  })
  for (const { name } of files) output.adopt(name, paths.get(name) as string)
  try {
    await publishMerge(plan, outcome, output)
  } catch (error) {
    await output.discard()
    throw error
  }
}
