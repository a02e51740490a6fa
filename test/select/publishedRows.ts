import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { leaf, list, type RowsOptions, text, writeRows } from '../../bench/parquetRows.js'

const textsOnly = (names: string) => names.split(' ').map((name) => [leaf(name, text)])

/** Columns of the published files, by where they lie. */
const schemas = {
  openThoughts: textsOnly(
    'problem deepseek_reasoning deepseek_solution ground_truth_solution domain source test_cases starter_code',
  ),
  s1K11: textsOnly(
    'solution question cot_type source_type metadata gemini_thinking_trajectory gemini_attempt deepseek_thinking_trajectory deepseek_attempt gemini_grade gemini_grade_reason deepseek_grade deepseek_grade_reason',
  ),
  s1Pool: [
    ...textsOnly('solution question cot_type source_type metadata cot'),
    list('thinking_trajectories', [leaf('element', text)]),
    ...textsOnly('attempt'),
  ],
}

/** Writes rows in a published schema; what a row does not name is null. */
export function writePublished(
  directory: string,
  path: string,
  schema: keyof typeof schemas,
  rows: readonly Record<string, unknown>[],
  options: RowsOptions,
): void {
  const columns = schemas[schema]
  const names = columns.map(([element]) => element?.name ?? '')
  const whole = rows.map((row) => Object.fromEntries(names.map((name) => [name, row[name] ?? null])))
  mkdirSync(dirname(join(directory, path)), { recursive: true })
  writeRows(join(directory, path), columns, whole, options)
}
