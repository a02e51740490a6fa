import { type ReproduceOptions, reproduce } from '../merge/reproduce.js'
import type { MergeSummary } from '../merge/run/mergeResult.js'
import { progressAfterDownload } from '../report/downloadProgress.js'
import { progressReporter } from '../report/progress.js'
import { deviceLines } from '../report/summary.js'
import { checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { modelPaths } from './modelArguments.js'
import { printJson, printText } from './print.js'

/** `branchmerge reproduce DIR --model NAME=DIR … --out DIR` */
export async function runReproduce(args: Record<string, unknown>): Promise<number> {
  const directory = checkPath(args.directory, 'directory')
  const { model, out, overwrite, card, resume, threads, memory, device } = args
  const options = {
    models: modelPaths(model),
    out,
    overwrite,
    card,
    resume,
    threads,
    memory,
    device,
  } as ReproduceOptions
  const progress = progressAfterDownload(process.stderr, progressReporter)
  return await withInterrupt(resume ? 'kept' : 'removed', async (signal) => {
    const work = reproduce(directory, {
      ...options,
      signal,
      onProgress: progress.update,
      onDownload: progress.download,
    })
    const summary = await work.finally(progress.end)
    if (args.json) printJson(summary)
    else printText(reproductionText(summary, options.out))
    return 0
  })
}

function reproductionText(summary: MergeSummary, out: string): string {
  if (summary.alreadyDone)
    return `${out} is complete already: ${summary.tensors} tensors, the same bytes. Nothing was done.`
  return [`Made ${summary.tensors} tensors again in ${out}: the same bytes`, ...deviceLines(summary)].join('\n')
}
