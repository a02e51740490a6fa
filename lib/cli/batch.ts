import { type BatchResult, batch } from '../merge/batch.js'
import { formatDuration, formatPercent, formatTable, printable } from '../report/format.js'
import { progressReporter } from '../report/progress.js'
import { withInterrupt } from './interrupt.js'
import { mergeOptions } from './merge.js'
import { printJson, printText } from './print.js'

/** `branchmerge batch FILE…` */
export async function runBatch(args: Record<string, unknown>): Promise<number> {
  const files = args.files as string[]
  const results = await withInterrupt('removed', async (signal) => {
    let progress = progressReporter(process.stderr)
    const onRecipe = ({ file, status }: BatchResult) => {
      progress.end()
      progress = progressReporter(process.stderr)
      if (!args.json) process.stderr.write(`${printable(file)}: ${status}\n`)
    }
    const options = { ...mergeOptions(args), signal, onRecipe }
    return await batch(files, { ...options, onProgress: (now) => progress.update(now) })
  })
  const failed = results.filter(({ status }) => status === 'failed').length
  if (args.json) printJson({ recipes: results, failed })
  else printText(batchText(results))
  return failed > 0 ? 1 : 0
}

function batchText(results: BatchResult[]): string {
  const rows = results.map(({ file, status, out, summary, error }) => [
    printable(file),
    status,
    summary ? formatDuration(summary.seconds) : '-',
    summary ? formatPercent(summary.merges.at(-1)?.keptFraction ?? 0) : '-',
    printable(out ?? error?.code ?? ''),
  ])
  const failures = results.flatMap(({ file, error }) =>
    error ? [`${printable(file)}: ${error.message.split('\n').map(printable).join('\n')} [${error.code}]`] : [],
  )
  const table = formatTable([['recipe', 'status', 'time', 'from Right', 'output'], ...rows], [2, 3])
  return [table, ...failures].join('\n\n')
}
