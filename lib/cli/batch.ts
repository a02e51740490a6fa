import type { DownloadProgress } from '../hub/download.js'
import { type BatchResult, batch } from '../merge/batch.js'
import type { MergeSummary } from '../merge/run/mergeResult.js'
import { progressAfterDownload } from '../report/downloadProgress.js'
import { progressReporter } from '../report/progress.js'
import { deviceLines } from '../report/summary.js'
import { formatPercent, formatTable, printable } from '../text/format.js'
import { formatBytes, formatDuration } from '../text/formatUnits.js'
import { withInterrupt } from './interrupt.js'
import { givenOptions } from './merge.js'
import { printJson, printText } from './print.js'

/** `branchmerge batch FILE…` */
export async function runBatch(args: Record<string, unknown>): Promise<number> {
  const files = args.files as string[]
  const results = await withInterrupt(args.resume ? 'kept' : 'removed', async (signal) => {
    let progress = progressAfterDownload(process.stderr, progressReporter)
    const onRecipe = ({ file, status }: BatchResult) => {
      progress.end()
      progress = progressAfterDownload(process.stderr, progressReporter)
      if (!args.json) process.stderr.write(`${printable(file)}: ${status}\n`)
    }
    const options = { ...givenOptions(args), signal, onRecipe }
    const onDownload = (now: DownloadProgress) => progress.download(now)
    return await batch(files, { ...options, onDownload, onProgress: (now) => progress.update(now) })
  })
  const failed = results.filter(({ status }) => status === 'failed').length
  if (args.json) printJson({ recipes: results, failed })
  else printText(batchText(results))
  return failed > 0 ? 1 : 0
}

function batchText(results: BatchResult[]): string {
  const rows = results.map(({ file, status, pass, out, summary, error }) => [
    printable(file),
    status,
    pass === undefined ? '-' : String(pass),
    summary ? formatDuration(summary.seconds) : '-',
    summary ? formatPercent(summary.merges.at(-1)?.keptFraction ?? 0) : '-',
    printable(out ?? error?.code ?? ''),
  ])
  const failures = results.flatMap(({ file, error }) =>
    error ? [`${printable(file)}: ${error.message.split('\n').map(printable).join('\n')} [${error.code}]`] : [],
  )
  const table = formatTable([['recipe', 'status', 'pass', 'time', 'from Right', 'output'], ...rows], [2, 3, 4])
  const summaries = results.flatMap(({ summary }) => summary ?? [])
  // Recipes of one pass say the same.
  const devices = new Set(summaries.flatMap(deviceLines))
  const pass = [transferLine(results), ...devices].filter((line) => line !== '').join('\n')
  return [table, ...failures, pass].filter((text) => text !== '').join('\n\n')
}

/** Recipes of one pass have read their models together. */
function transferLine(results: BatchResult[]): string {
  const summaries = results.flatMap(({ summary }) => summary ?? [])
  if (summaries.length === 0) return ''
  const sum = (value: (summary: MergeSummary) => number) => summaries.reduce((total, each) => total + value(each), 0)
  const passes = new Set(results.map(({ pass }) => pass).filter((pass) => pass !== undefined)).size
  const read = formatBytes(sum(({ bytesRead }) => bytesRead))
  const written = formatBytes(sum(({ bytesWritten }) => bytesWritten))
  return `Read ${read} in ${passes} ${passes === 1 ? 'pass' : 'passes'} over the models and wrote ${written}`
}
