import type { AnalysisPlan } from '../../analysis/planAnalysis.js'
import type { AnalysisOutcome } from '../../analysis/runAnalysis.js'
import { formatCountOf, formatTable, printable } from '../../text/format.js'
import { formatBytes, formatDuration, formatRate } from '../../text/formatUnits.js'
import { analysisTables } from './analysisTables.js'

/** What a terminal shows of an analysis. */
export function analysisText({ results, bytesRead, seconds }: AnalysisOutcome, files: readonly string[]): string {
  const tables = analysisTables(results).map(({ title, rows }) => {
    const right = (rows[0] ?? []).map((_, i) => i).slice(1)
    return `${title}\n\n${formatTable(rows, right)}`
  })
  const { total, leftOut } = results
  return `${[
    ...tables,
    ...leftOut.map(({ name, reason }) => printable(`Not compared: ${name}, ${reason}`)),
    `Compared ${formatCountOf(total.tensors, 'tensor')}: read ${formatBytes(bytesRead)} in ${formatDuration(seconds)}, ` +
      formatRate(bytesRead, seconds),
    ...(files.length > 0 ? [`Written: ${files.map(printable).join(', ')}`] : []),
  ].join('\n\n')}\n`
}

/** What an analysis would read and need. */
export interface AnalysisPlanRecord {
  models: { role: string; name: string; path: string; files: number; bytes: number }[]
  tensors: number
  bytesToRead: number
  /** Upper estimate of the memory for tensors and counters. */
  memoryBytes: number
  leftOut: { name: string; reason: string }[]
}

export function analysisPlanRecord({ models, native, bytesToRead, memoryBytes, leftOut }: AnalysisPlan) {
  const record: AnalysisPlanRecord = {
    models: models.map(({ role, name, checkpoint: { path, files, bytes } }) => ({
      role,
      name,
      path,
      files: files.length,
      bytes,
    })),
    tensors: native.tensors.length,
    bytesToRead,
    memoryBytes,
    leftOut,
  }
  return record
}

export function analysisPlanText(plan: AnalysisPlan): string {
  const { models, tensors, bytesToRead, memoryBytes, leftOut } = analysisPlanRecord(plan)
  const facts = [
    ['tensors', `${tensors}`],
    ['read', formatBytes(bytesToRead)],
    ['memory', `at most about ${formatBytes(memoryBytes)}`],
  ]
  const rows = models.map(({ role, name, path, files, bytes }) => [
    role === name ? role : `${role} ${name}`,
    formatCountOf(files, 'file'),
    formatBytes(bytes),
    printable(path),
  ])
  return `${[
    formatTable(facts, []),
    formatTable(rows, [1, 2]),
    ...leftOut.map(({ name, reason }) => printable(`Not compared: ${name}, ${reason}`)),
    'Nothing was read or written (--plan).',
  ].join('\n\n')}\n`
}
