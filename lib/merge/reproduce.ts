import { BranchMergeError } from '../errors.js'
import { refuseWithin } from '../files/outputDirectory.js'
import { checkOptionNames, checkPath } from '../validate.js'
import { version } from '../version.js'
import { type Manifest, manifestOf } from './output/manifest.js'
import type { MergePlan, PlannedModel } from './plan/mergePlan.js'
import { type MergeOptions, type MergeRequest, resolveMergeRequest } from './plan/mergeRequest.js'
import type { MergeSummary } from './run/mergeResult.js'
import { prepare } from './run/session.js'

/** Where the models are, those that did not come from the Hub, and where the result goes; all else is the manifest's. */
export interface ReproduceOptions
  extends Pick<
    MergeOptions,
    | 'models'
    | 'overwrite'
    | 'card'
    | 'resume'
    | 'threads'
    | 'memory'
    | 'device'
    | 'signal'
    | 'onProgress'
    | 'onTensor'
    | 'onDownload'
  > {
  /** Directory to write: new or empty, unless `overwrite`. */
  out: string
}

const optionNames = [
  'models',
  'out',
  'overwrite',
  'card',
  'resume',
  'threads',
  'memory',
  'device',
  'signal',
  'onProgress',
  'onTensor',
  'onDownload',
]
const maxListed = 20

/**
 * Makes a merged directory again from its manifest, in another directory, and checks that it is the same: every header,
 * tensor and side file. The inputs must be the same before anything is written, and the directory itself is never written to.
 *
 * @throws ERR_NOT_REPRODUCED naming inputs or results that are not the same, and everything that `merge` throws
 */
export async function reproduce(directory: string, options: ReproduceOptions): Promise<MergeSummary> {
  const started = performance.now()
  checkPath(directory, 'directory')
  checkNames(options)
  const manifest = await manifestOf(directory)
  const request = requestOf(manifest, options)
  await refuseWithin(request.run.out, directory)
  const { plan, finished, run } = await prepare(request, { started })
  if (!finished) {
    refuse(
      'The inputs are not those of the manifest',
      plan.models.flatMap((model) => inputProblems(model, plan, manifest)),
    )
  }
  const { summary } = await run()
  refuseOther(finished ?? (await manifestOf(plan.run.out)), manifest, request)
  return summary
}

function refuseOther(made: Manifest, manifest: Manifest, { run }: MergeRequest): void {
  refuse(`The result in ${run.out} is not what the manifest says`, differences(made, manifest))
}

function checkNames(options: unknown): void {
  checkOptionNames(options, optionNames)
}

function requestOf({ recipe, models }: Manifest, options: ReproduceOptions): MergeRequest {
  const sha256 = Object.values(models).some(({ files }) => files.some((file) => file.sha256 !== undefined))
  // What came from the Hub is there still, at the commit that was merged.
  const named = Object.entries(models).flatMap(([name, { origin }]) => (origin ? [[name, origin.name] as const] : []))
  return resolveMergeRequest(recipe, {
    ...options,
    models: { ...Object.fromEntries(named), ...options.models },
    sha256,
  })
}

function inputProblems({ name, checkpoint }: PlannedModel, { sha256 }: MergePlan, { models }: Manifest): string[] {
  const expected = models[name]?.files ?? []
  if (expected.length !== checkpoint.files.length) {
    return [`${name}: Expected ${expected.length} files but ${checkpoint.path} has ${checkpoint.files.length}`]
  }
  return checkpoint.files.flatMap((file, i) => {
    const recorded = expected[i]
    const whole = recorded?.sha256 === undefined || recorded.sha256 === sha256.get(name)?.[i]
    const same = file.bytes === recorded?.bytes && file.headerHash === recorded.headerHash && whole
    return same ? [] : [`${name}: ${file.path} is another file than the one that was merged`]
  })
}

function differences(made: Manifest, recorded: Manifest): string[] {
  const names = new Set([...Object.keys(made.tensors), ...Object.keys(recorded.tensors)])
  const models = Object.keys(recorded.models)
  const tensors = [...names].flatMap((name) => {
    const [now, then] = [own(made.tensors, name), own(recorded.tensors, name)]
    const input = models.findIndex((_, i) => now?.models[i] !== then?.models[i])
    if (input >= 0) return [`"${name}" of ${models[input]} is not what was merged`]
    return now?.hash === then?.hash ? [] : [`"${name}" is another`]
  })
  const parts = (['files', 'sideFiles'] as const).flatMap((kind) =>
    JSON.stringify(made.output[kind]) === JSON.stringify(recorded.output[kind]) ? [] : [`${kind} are others`],
  )
  const all = [...tensors, ...parts]
  const isOther = made.branchmerge !== recorded.branchmerge
  return all.length > 0 && isOther
    ? [...all, `it was made by version ${recorded.branchmerge}, this is ${version}`]
    : all
}

const own = <T>(record: Record<string, T>, name: string): T | undefined =>
  Object.hasOwn(record, name) ? record[name] : undefined

function refuse(what: string, problems: string[]): void {
  if (problems.length === 0) return
  const lines = problems.slice(0, maxListed).map((problem) => `  ${problem}`)
  if (problems.length > maxListed) lines.push(`  and ${problems.length - maxListed} more`)
  throw new BranchMergeError('ERR_NOT_REPRODUCED', `${what}:\n${lines.join('\n')}`)
}
