import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RawRow } from '../../lib/data/rawRow.js'
import { readRows } from '../../lib/data/readRows.js'
import { listSourceFiles } from '../../lib/data/sourceFiles.js'
import type { FunnelStep } from '../../lib/select/funnel.js'
import { selectData } from '../../lib/select/run/selectData.js'
import type { Selection } from '../../lib/select/run/selection.js'
import type { SelectionSummary } from '../../lib/select/summary.js'

export interface Rejected {
  source: string
  row: number
  file: string
  fileRow: number
  line?: number
  step: string
  reason: string
  detail: string
}

export interface Selected {
  summary: SelectionSummary
  rows: Record<string, unknown>[]
  rejected: Rejected[]
}

export const jsonLines = (path: string): unknown[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))

/** The rows of any file that lib/data reads. */
export async function rowsOf(path: string): Promise<Record<string, unknown>[]> {
  const rows: RawRow[] = []
  for (const file of await listSourceFiles([path]))
    for await (const portion of readRows(file, undefined)) rows.push(...portion)
  return rows.map(({ value }) => value as Record<string, unknown>)
}

/** Runs a selection into `out` of a directory and reads what came of it. */
export async function select(
  directory: string,
  recipe: Selection,
  options: { out?: string; limit?: number; overwrite?: boolean } = {},
): Promise<Selected> {
  const out = join(directory, options.out ?? 'out.jsonl')
  const summary = await selectData(recipe, { ...options, out })
  return { summary, rows: await rowsOf(out), rejected: jsonLines(summary.rejected) as Rejected[] }
}

export function writeLines(directory: string, name: string, rows: readonly unknown[]): string {
  const path = join(directory, name)
  writeFileSync(path, rows.map((row) => `${typeof row === 'string' ? row : JSON.stringify(row)}\n`).join(''))
  return path
}

/** What came into each step is what stayed and what was rejected, and the next step gets what stayed. */
export function funnelProblems(
  { funnel, rowsRead }: Pick<SelectionSummary, 'funnel' | 'rowsRead'>,
  rejected: readonly Rejected[],
): string[] {
  const sum = ({ rejected }: FunnelStep) => Object.values(rejected).reduce((total, rows) => total + rows, 0)
  const problems = funnel.flatMap((step, i) => [
    ...(step.rowsIn === step.rowsKept + sum(step) ? [] : [`${step.name}: ${step.rowsIn} rows came`]),
    ...(step.rowsIn === (funnel[i - 1]?.rowsKept ?? rowsRead) ? [] : [`${step.name}: other rows came`]),
    ...(rejected.filter(({ step: name }) => name === step.name).length === sum(step) ? [] : [`${step.name}: rejected`]),
  ])
  const kept = funnel.at(-1)?.rowsKept ?? 0
  return rowsRead === kept + rejected.length ? problems : [...problems, `${rowsRead} rows, ${kept} kept`]
}

export const rejections = (rejected: readonly Rejected[]): string[] =>
  rejected.map(({ row, step, reason }) => `${row} ${step} ${reason}`)
