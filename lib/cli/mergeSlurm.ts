import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type SlurmMerge, type SlurmResources, slurmJobs, slurmText } from '../cluster/slurmScripts.js'
import { submitSlurm } from '../cluster/submitSlurm.js'
import { checkFreeSpace } from '../files/outputDirectory.js'
import { maxParts, preparePart } from '../merge/parts/mergePart.js'
import type { PartDirectory } from '../merge/parts/partDirectory.js'
import { fetchModels, pinModels } from '../merge/plan/hubModels.js'
import { type MergePlan, outputBytes } from '../merge/plan/mergePlan.js'
import { type MergeRequest, resolveMergeRequest } from '../merge/plan/mergeRequest.js'
import { planSplitMerge } from '../merge/plan/planMerge.js'
import { downloadReporter } from '../report/downloadProgress.js'
import { checkInteger, invalidArgument } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { givenOptions, recipeOf } from './merge.js'
import { mergeOptions } from './mergeOptions.js'
import { fewFilesText } from './mergeShard.js'
import { printJson, printText } from './print.js'

/** By default there are no more tasks than this: each starts Node and reads all headers, and the storage is shared. */
const mostTasksByDefault = 64

/** Options that are not the tasks' own, or are set for them here. */
const notOfTasks = new Set(['out', 'plan', 'json', 'stats', 'shard', 'threads'])
const ofSlurm = new Set(['slurm', 'parts', 'partition', 'time', 'cpus', 'mem', 'sbatch-arg'])

/** `branchmerge merge … --slurm` */
export async function runMergeSlurm(args: Record<string, unknown>): Promise<number> {
  const resources = resourcesOf(args)
  const recipe = await recipeOf(args)
  return await withInterrupt('removed', async (signal) => {
    // Compute nodes often have no way to the Hub, and all tasks must have the same commits.
    const progress = downloadReporter(process.stderr)
    const onDownload = progress.update
    const request = await pinModels(resolveMergeRequest(recipe, { ...givenOptions(args), signal, onDownload }))
    const plan = await planSplitMerge(await fetchModels(request).finally(progress.end))
    const files = plan.files.length
    const parts = args.parts === undefined ? Math.min(files, mostTasksByDefault) : partsOf(args.parts)
    const { directory } = await preparePart(plan, parts)
    const merge = slurmMerge({ ...args, model: pinnedModels(args, request) }, plan, { directory, parts, resources })
    if (parts > files) process.stderr.write(`branchmerge: Some tasks have nothing to do: ${fewFilesText(files)}\n`)
    if (args.plan) printScripts(merge, files, args.json === true)
    else await submit(merge, plan, { directory, json: args.json === true, signal })
    return 0
  })
}

/** What names the models for a task: those of the Hub by their commits. */
function pinnedModels({ model }: Record<string, unknown>, { recipe }: MergeRequest): string[] {
  const pins = recipe.models.flatMap(({ name, origin }) => (origin ? [{ name, text: `${name}=${origin.name}` }] : []))
  const isPinned = (given: unknown) => pins.some(({ name }) => `${given}`.startsWith(`${name}=`))
  return [...listOf(model).filter((given) => !isPinned(given)), ...pins.map(({ text }) => text)] as string[]
}

const partsOf = (value: unknown): number => checkInteger(value, 'parts', 1, maxParts)

function resourcesOf({ partition, time, cpus, mem, sbatchArg }: Record<string, unknown>): SlurmResources {
  return {
    partition: textOf(partition, 'partition'),
    time: textOf(time, 'time'),
    cpus: cpus === undefined ? undefined : checkInteger(cpus, 'cpus', 1, 1024),
    memory: textOf(mem, 'mem'),
    sbatchArguments: listOf(sbatchArg).map((value) => textOf(value, 'sbatch-arg') as string),
  }
}

function textOf(value: unknown, name: string): string | undefined {
  if (value === undefined || (typeof value === 'string' && value !== '')) return value
  throw invalidArgument('one text', name, value)
}

function listOf(value: unknown): unknown[] {
  if (value === undefined) return []
  return Array.isArray(value) ? value : [value]
}

function slurmMerge(
  args: Record<string, unknown>,
  { run }: MergePlan,
  { directory, parts, resources }: { directory: PartDirectory; parts: number; resources: SlurmResources },
): SlurmMerge {
  const out = resolve(run.out)
  const script = fileURLToPath(new URL('../../bin/branchmerge.js', import.meta.url))
  const threads = args.threads ?? resources.cpus
  return {
    command: [process.execPath, ...process.execArgv, script],
    arguments: [...mergeArguments(args), `--out=${out}`, ...(threads === undefined ? [] : [`--threads=${threads}`])],
    workingDirectory: process.cwd(),
    out,
    stagingDirectory: directory.path,
    parts,
    resources,
  }
}

/** What the user wrote, for a task to read again. */
function mergeArguments(args: Record<string, unknown>): string[] {
  const names = Object.keys(mergeOptions).filter((name) => !notOfTasks.has(name) && !ofSlurm.has(name))
  const options = names.flatMap((name) =>
    listOf(args[name]).map((value) => (value === true ? `--${name}` : `--${name}=${value}`)),
  )
  return [...(args.source === undefined ? [] : [`${args.source}`]), ...options]
}

function printScripts(merge: SlurmMerge, files: number, json: boolean): void {
  if (!json) {
    printText(`${slurmText(merge)}\n\nNothing was submitted (--plan).`)
    return
  }
  const { part, finish } = slurmJobs(merge)
  const jobs = [part, finish('JOB')].map(({ sbatch, text }) => ({ sbatch, script: text }))
  printJson({ parts: merge.parts, files, jobs })
}

async function submit(
  merge: SlurmMerge,
  plan: MergePlan,
  { directory, json, signal }: { directory: PartDirectory; json: boolean; signal: AbortSignal },
): Promise<void> {
  const done = (await directory.records()).flatMap(({ files }) => files)
  const written = done.reduce((total, { bytes }) => total + bytes, 0)
  await checkFreeSpace(merge.out, outputBytes(plan) - written)
  await directory.create()
  signal.throwIfAborted()
  const { mergeJob, finishJob, logs } = await submitSlurm(merge)
  if (json) {
    printJson({ mergeJob, finishJob, parts: merge.parts, files: plan.files.length, logs })
    return
  }
  printText(
    `Job ${mergeJob} merges in ${merge.parts} ${merge.parts === 1 ? 'task' : 'tasks'}\n` +
      `Job ${finishJob} makes the checkpoint in ${plan.run.out} when they have succeeded\nLogs: ${logs}`,
  )
}
