import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { cardPlace } from '../../card/modelCard.js'
import { indexFileName, manifestFileName } from '../../checkpoint/weightFiles.js'
import { hashFile } from '../../files/hashFile.js'
import { requestedInstructionSet } from '../../native/instructionSet.js'
import { native } from '../../native/native.js'
import { runJob } from '../../native/runJob.js'
import { fingerprintOf } from '../output/journal.js'
import type { ManifestOutput, ManifestSideFile } from '../output/manifest.js'
import { manifestText } from '../output/manifestText.js'
import { mergeCard } from '../output/mergeCard.js'
import type { MergeOutcome } from '../output/mergeOutcome.js'
import { OutputTransaction } from '../output/publishOutput.js'
import { type MergePlan, outputBytes } from '../plan/mergePlan.js'
import { indexText, needsIndex } from '../plan/planOutput.js'
import { MergePass, type PassMember } from './mergePass.js'
import { nativePlan } from './nativePlan.js'

/**
 * Carries out a plan: one pass over the inputs into a new directory. Nothing that looks complete is there before it
 * succeeds.
 *
 * @throws BranchMergeError; the signal's reason after an abort
 */
export async function executeMerge(plan: MergePlan): Promise<MergeOutcome> {
  const instructionSet = requestedInstructionSet(native)
  const run = await MergeRun.open(plan)
  try {
    const [outcome] = (await new MergePass([run]).run(instructionSet)) as [MergeOutcome]
    await run.publish(outcome)
    return outcome
  } catch (error) {
    await run.giveUp()
    throw error
  }
}

/** A merge whose output directory is open. It ends with {@link publish} or {@link giveUp}. */
export class MergeRun implements PassMember {
  private constructor(
    readonly plan: MergePlan,
    readonly output: OutputTransaction,
    readonly fingerprint: string,
  ) {}

  /** Goes on with an earlier run's work when the plan says so. */
  static async open(plan: MergePlan): Promise<MergeRun> {
    const { out, overwrite, resume } = plan.run
    const fingerprint = fingerprintOfPlan(plan)
    const key = resume ? { fingerprint, plan } : undefined
    const output = await OutputTransaction.open(out, { overwrite, bytes: outputBytes(plan), resume: key })
    return new MergeRun(plan, output, fingerprint)
  }

  async publish(outcome: MergeOutcome): Promise<void> {
    await publishMerge(this.plan, outcome, this.output)
  }

  /** After a pass that failed: the next one goes on with what this one left, unless inputs have changed meanwhile. */
  async goOn(): Promise<void> {
    await this.output.goOn({ fingerprint: this.fingerprint, plan: this.plan })
  }

  /** Leaves the work for another run where the plan says so; removes it otherwise. */
  async giveUp(): Promise<void> {
    if (this.plan.run.resume) await this.output.keep()
    else await this.output.discard()
  }
}

const fileNames = ({ files }: MergePlan): string[] => files.map(({ name }) => name)

/** Writes everything beside the weights, and gives all files their names. */
export async function publishMerge(plan: MergePlan, outcome: MergeOutcome, output: OutputTransaction): Promise<void> {
  const { run, files, sideFiles } = plan
  await writeSideFiles(plan, output)
  await writeManifest(plan, outcome, output)
  if (needsIndex(files)) await output.writeFile(indexFileName, indexText(files))
  run.signal?.throwIfAborted()
  const cards = run.card ? [await writeCard(plan, outcome, output)] : []
  await output.publish({ weights: fileNames(plan), sideFiles: [...sideFiles, ...cards] })
}

/** Beside the manifest, which does not list it: people write their own words into it. */
async function writeCard(plan: MergePlan, outcome: MergeOutcome, output: OutputTransaction): Promise<string> {
  const name = await cardPlace(plan.run.out)
  await output.writeFile(name, await mergeCard(plan, outcome))
  return name
}

/** The same for files of the same headers and the same merge of them, wherever they lie and whatever carries it out. */
export function fingerprintOfPlan(plan: MergePlan): string {
  const files = plan.models.flatMap(({ checkpoint }) => checkpoint.files)
  const inputs = files.map(({ headerHash, bytes }) => ({ headerHash, bytes }))
  return fingerprintOf(nativePlan(plan, undefined, { temporaryPath: (name) => name }), inputs)
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
