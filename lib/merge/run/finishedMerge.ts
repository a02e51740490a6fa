import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { BranchMergeError } from '../../errors.js'
import { hashFile } from '../../files/hashFile.js'
import { native } from '../../native/native.js'
import { runJob } from '../../native/runJob.js'
import { contentDifferences, type KnownHashes } from '../output/inputContent.js'
import { completeManifest, type Manifest } from '../output/manifest.js'
import { describeManifest, describePlan, descriptionDifferences } from '../output/mergeDescription.js'
import type { MergePlan, PlannedModel } from '../plan/mergePlan.js'
import type { MergeRequest } from '../plan/mergeRequest.js'
import { planSplitMerge, verifyInputs } from '../plan/planMerge.js'

/**
 * What the output directory holds, when it is what the request would make: the same recipe, options and version, models of the same
 * content, the same files beside the weights, and all of them there. The models are read to know that. Undefined where the directory
 * holds no complete merge, or another one that the request may overwrite.
 *
 * @param known - of models that were read for other requests
 * @throws ERR_OUTPUT_EXISTS telling what differs, where the request may not overwrite it; what makes the merge impossible
 */
export async function finishedMerge(
  request: MergeRequest,
  known?: KnownHashes,
): Promise<{ plan: MergePlan; manifest: Manifest } | undefined> {
  const { run } = request
  const manifest = await completeManifest(run.out)
  if (!manifest) return undefined
  const plan = await planSplitMerge(request)
  const differences = await differencesOf(plan, manifest, known)
  if (differences.length === 0) return { plan, manifest }
  if (run.overwrite) return undefined
  throw new BranchMergeError(
    'ERR_OUTPUT_EXISTS',
    `${run.out} holds another merge than this one. Choose another directory, or replace the checkpoint in it with overwrite ` +
      `(--overwrite).\n${differences.map((text) => `  ${text}`).join('\n')}`,
  )
}

/** In words; what costs time is compared where all else is the same. */
async function differencesOf(plan: MergePlan, manifest: Manifest, known: KnownHashes | undefined): Promise<string[]> {
  const described = descriptionDifferences(describeManifest(manifest), describePlan(plan))
  if (described.length > 0) return described
  const beside = [...(await outputDifferences(plan, manifest)), ...(await sideFileDifferences(plan, manifest))]
  if (beside.length > 0) return beside
  const { sha256 } = await verifyInputs(plan)
  const recorded = Object.entries(manifest.tensors).map(([name, { models }]) => ({ name, modelHashes: models }))
  return [
    ...plan.models.flatMap((model) => sha256Difference(model, sha256.get(model.name), manifest) ?? []),
    ...(await contentDifferences(plan, recorded, undefined, known)),
  ]
}

/** That the weights files are those that are planned, with the headers that were written. */
async function outputDifferences({ run, files }: MergePlan, { output }: Manifest): Promise<string[]> {
  const [planned, there] = [files.map(({ name }) => name).join(', '), output.files.map(({ name }) => name).join(', ')]
  if (planned !== there) return [`The weights files there are ${there}, not ${planned}`]
  const differences: string[] = []
  for (const { name, headerHash } of output.files) {
    const header = await runJob(() => native.readHeader(join(run.out, name)), run.signal).catch(asUndefined)
    if (header?.headerHash !== headerHash) differences.push(`${name} there is not the file that was written`)
  }
  return differences
}

function asUndefined(error: unknown): undefined {
  if (!(error instanceof BranchMergeError) || error.code === 'ERR_CANCELLED') throw error
}

/** What would be written beside the weights, and what was. */
async function sideFileDifferences(plan: MergePlan, { output }: Manifest): Promise<string[]> {
  const { run, source } = plan
  const written = new Map(output.sideFiles.map(({ name, sha256 }) => [name, sha256]))
  const differences: string[] = []
  for (const name of plan.sideFiles) {
    const there = written.get(name)
    written.delete(name)
    const path = join(source.checkpoint.directory as string, name)
    const text = name === 'config.json' ? plan.config : undefined
    const sha256 =
      text === undefined ? await hashFile(path, run.signal) : createHash('sha256').update(text).digest('hex')
    if (there === undefined) differences.push(`${path} is not among the files there`)
    else if (there !== sha256) differences.push(`${path} has another content than what was merged`)
    else if ((await hashFile(join(run.out, name), run.signal)) !== there)
      differences.push(`${name} there is not the file that was written`)
  }
  for (const name of written.keys())
    differences.push(`${name} there is not of ${source.label}, ${source.checkpoint.path}`)
  return differences
}

function sha256Difference({ name, label, checkpoint }: PlannedModel, found: string[] | undefined, manifest: Manifest) {
  const recorded = manifest.models[name]?.files ?? []
  const i = found?.findIndex((hash, file) => hash !== recorded[file]?.sha256) ?? -1
  if (i < 0) return undefined
  return recorded[i]?.sha256 === undefined
    ? `The SHA-256 of ${label}, ${checkpoint.path}, is not recorded there`
    : `${label}, ${checkpoint.files[i]?.path}, has another content than what was merged`
}
