import { resolve, sep } from 'node:path'
import { freeBytes } from '../../files/outputDirectory.js'
import { type MergePlan, outputBytes } from '../plan/mergePlan.js'
import type { MergeRequest } from '../plan/mergeRequest.js'
import { layoutOf, outputBlockBytes } from './mergePass.js'
import { commonOrder, mostFilesAtOnce } from './tensorOrder.js'

/** A merge that could be run now. */
export interface Candidate<Of> {
  of: Of
  plan: MergePlan
}

/** Merges that are to read their inputs together. */
export interface Pass<Of> {
  members: Candidate<Of>[]
  /** Outputs of merges that come before the next candidate, but will be run after the pass. */
  passedOver: string[]
}

/** Plans and figures of all tensors are in memory: about 4 KB for each of a sequence of three models. */
const maxTensors = 500_000

/** Far below what a process may open, with the inputs. */
const maxFilesAtOnce = 256

/** Of the memory for tensors, blocks of unfinished files may take one part in so many. */
const memoryShare = 4

/**
 * Whether a merge can be done in the pass, with the result that it would have in its turn, and how. `prepare` plans it, and
 * gives undefined where it cannot be run now: it is asked last.
 */
export async function canJoin<Of>(
  pass: Pass<Of>,
  request: MergeRequest,
  prepare: () => Promise<Candidate<Of> | undefined>,
): Promise<Candidate<Of> | undefined> {
  if (!readsTheSame(pass, request) || isBoundToOrder(pass, request)) return undefined
  const candidate = await prepare()
  return candidate && (await fits([...pass.members.map(({ plan }) => plan), candidate.plan])) ? candidate : undefined
}

function readsTheSame<Of>({ members }: Pass<Of>, request: MergeRequest): boolean {
  const paths = ({ recipe }: Pick<MergeRequest, 'recipe'>) =>
    [...new Set(recipe.models.map(({ path }) => resolve(path)))].sort().join('\0')
  return paths((members[0] as Candidate<Of>).plan) === paths(request)
}

/** What comes before it writes what it reads, or to the same place. */
function isBoundToOrder<Of>({ members, passedOver }: Pass<Of>, { recipe, run }: MergeRequest): boolean {
  const written = [...members.map(({ plan }) => plan.run.out), ...passedOver]
  return [run.out, ...recipe.models.map(({ path }) => path)].some((path) => written.some((out) => overlap(path, out)))
}

function overlap(a: string, b: string): boolean {
  const [one, other] = [resolve(a) + sep, resolve(b) + sep]
  return one.startsWith(other) || other.startsWith(one)
}

/** That the files can be written at the same time, within memory and disk. */
async function fits(plans: readonly MergePlan[]): Promise<boolean> {
  const layouts = plans.map(layoutOf)
  if (layouts.flat(2).length > maxTensors) return false
  const order = commonOrder(layouts)
  if (!order) return false
  const { run, memoryLimit } = plans.at(-1) as MergePlan
  const files = mostFilesAtOnce(layouts, order)
  if (files > maxFilesAtOnce || files * outputBlockBytes > memoryLimit / memoryShare) return false
  const free = await freeBytes(run.out)
  return free === undefined || free >= plans.reduce((total, plan) => total + outputBytes(plan), 0)
}
