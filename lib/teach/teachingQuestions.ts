import { createHash } from 'node:crypto'
import type { Prompt } from '../engines/generation.js'
import { hashFile } from '../files/hashFile.js'
import {
  gradersVersion,
  gradingText,
  needsPrograms,
  notesOnFields,
  readLabels,
  readMessages,
  readQuestion,
} from '../questions/customQuestion.js'
import type { Question } from '../questions/question.js'
import { checkIds, QuestionRow, readQuestionRows } from '../questions/questionRow.js'

/** A question to the teacher. */
export interface TeachingQuestion {
  /** Unique among the questions. */
  id: string
  labels: Readonly<Record<string, string>>
  prompt(attempt: number, seed: number): Prompt
  /** Undefined where the row has no right answer: then no answer is wrong. */
  grade: Question['grade'] | undefined
  /** Of all that decides how its answers are checked: answers are checked again when it is another. */
  checks: string
}

export interface TeachingQuestions {
  questions: TeachingQuestion[]
  files: { path: string; sha256: string }[]
  needsPrograms: boolean
  notes: string[]
}

/**
 * Reads questions from JSON Lines, JSON or Parquet. A row without an id is called by its number, from 1.
 *
 * @throws ERR_DATA where a row cannot be used; ERR_FILE_READ
 */
export async function readTeachingQuestions(
  given: readonly string[],
  { grader, limit }: { grader: string | undefined; limit: number | undefined },
  signal: AbortSignal,
): Promise<TeachingQuestions> {
  const { paths, rows: all } = await readQuestionRows(given, 'ERR_DATA', signal)
  const rows = all.slice(0, limit).map((row, index) => withDefaults(row, index, grader))
  const questions = rows.map(questionOf)
  checkIds(questions, rows)
  const files: TeachingQuestions['files'] = []
  for (const file of paths) files.push({ path: file, sha256: await hashFile(file, signal) })
  return {
    questions,
    files,
    needsPrograms: rows.some((row) => row.has('grader') && needsPrograms(row)),
    notes: notesOnFields(rows),
  }
}

function withDefaults(row: QuestionRow, index: number, grader: string | undefined): QuestionRow {
  const id = row.has('id') ? {} : { id: String(index + 1) }
  const named = row.has('grader') || grader === undefined || !row.has('answer') ? {} : { grader }
  return new QuestionRow({ ...row.fields, ...id, ...named }, row.place, 'ERR_DATA')
}

function questionOf(row: QuestionRow): TeachingQuestion {
  if (row.has('grader')) {
    const { id, labels, prompt, grade } = readQuestion(row)
    return { id, labels, prompt, grade, checks: `${gradersVersion} ${hashOf(gradingText(row))}` }
  }
  if (row.has('answer')) {
    throw row.problem(
      'expected grader beside answer, which says how answers are compared with it; --grader NAME is for rows that name none',
    )
  }
  const messages = readMessages(row)
  return {
    id: row.textOrNumber('id'),
    labels: readLabels(row),
    prompt: () => ({ messages }),
    grade: undefined,
    checks: 'none',
  }
}

const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16)
