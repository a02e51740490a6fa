import { gradersVersion, needsPrograms, notesOnFields, readQuestion } from '../../questions/customQuestion.js'
import { checkIds } from '../../questions/questionRow.js'
import { readBenchmarkRows } from './rows.js'
import type { BenchmarkReader, BenchmarkSource, ReadBenchmark } from './source.js'

export const custom: BenchmarkReader = {
  kind: 'custom',
  names: /^custom$/i,
  hasColumns: (columns) =>
    columns.has('id') && columns.has('grader') && (columns.has('question') || columns.has('messages')),
  profiles: ['strict'],
  options: [],
  read: readCustom,
}

/** Questions of the user's own. */
async function readCustom({ path, signal }: BenchmarkSource): Promise<ReadBenchmark> {
  const { paths, rows } = await readBenchmarkRows(path, signal)
  const questions = rows.map(readQuestion)
  checkIds(questions, rows)
  return {
    version: gradersVersion,
    paths,
    questions,
    trials: 1,
    sampling: {},
    needsPrograms: rows.some(needsPrograms),
    confidential: false,
    notes: notesOnFields(rows),
  }
}
