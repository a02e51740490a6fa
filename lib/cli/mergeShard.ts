import { checkShard, executePart, type PartSummary, type Shard } from '../merge/parts/mergePart.js'
import { resolveMergeRequest } from '../merge/plan/mergeRequest.js'
import { progressAfterDownload } from '../report/downloadProgress.js'
import { progressReporter } from '../report/progress.js'
import { formatCountOf } from '../text/format.js'
import { formatBytes, formatDuration } from '../text/formatUnits.js'
import { invalidArgument } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { givenOptions, recipeOf } from './merge.js'
import { printJson, printText } from './print.js'

/** `branchmerge merge … --shard I/N` */
export async function runMergeShard(args: Record<string, unknown>): Promise<number> {
  const started = performance.now()
  const shard = shardOf(args.shard)
  const recipe = await recipeOf(args)
  const progress = progressAfterDownload(process.stderr, progressReporter)
  return await withInterrupt('kept', async (signal) => {
    const request = resolveMergeRequest(recipe, {
      ...givenOptions(args),
      signal,
      onProgress: progress.update,
      onDownload: progress.download,
    })
    const summary = await executePart(request, shard, started).finally(progress.end)
    if (args.json) printJson(summary)
    else printText(partText(summary, request.run.out))
    return 0
  })
}

function shardOf(value: unknown): Shard {
  const [, part, parts] = (typeof value === 'string' ? /^(\d+)\/(\d+)$/.exec(value) : undefined) ?? []
  if (part === undefined) throw invalidArgument('I/N, the part and the number of parts,', 'shard', value)
  return checkShard(Number(part), Number(parts))
}

function partText(summary: PartSummary, out: string): string {
  const { part, parts, files, tensors, bytesRead, bytesWritten, seconds, alreadyDone } = summary
  const name = `Part ${part} of ${parts}`
  const next = `When all parts are done: branchmerge finish ${out}`
  if (files.length === 0) return `${name} has nothing to do: ${fewFilesText(summary.filesOfAllParts)}\n${next}`
  if (alreadyDone) return `${name} was done before\n${next}`
  return [
    `${name}: merged ${tensors} tensors into ${files.join(', ')}`,
    `Read ${formatBytes(bytesRead)} and wrote ${formatBytes(bytesWritten)} in ${formatDuration(seconds)}`,
    next,
  ].join('\n')
}

/** Why some parts have nothing to do. */
export function fewFilesText(files: number): string {
  const output = `the output has ${formatCountOf(files, 'file')}`
  return `${output}, and a part writes whole files. A smaller --max-shard-size makes more.`
}
