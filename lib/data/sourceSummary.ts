import { BranchMergeError } from '../errors.js'
import type { Thinking } from './reasoning.js'
import type { RowOutcome } from './sourceRows.js'

/** A row that could not be used, and where it is. */
export interface BadRowPlace {
  file: string
  /** In the file, from 0. */
  row: number
  /** Of a text file, from 1. */
  line?: number
  reason: string
}

/** What became of the rows of one source. */
export interface SourceSummary {
  name: string
  files: string[]
  /** Rows that were read: all, or as many as `take` needed. */
  rows: number
  /** Left out by where and choose. */
  filtered: number
  /** Left out because they have more tokens than fit: excessLengthStrategy drop. */
  tooLong: number
  bad: number
  /** The first of them. */
  badRows: BadRowPlace[]
  /** All of them, by reason. */
  badReasons: Record<string, number>
  /** Documents for training, copies counted. */
  documents: number
  validationDocuments: number
  /** Documents that were longer than the cutoff. */
  truncated: number
  /** Of documents for training and validation, copies counted. */
  tokens: number
  trainedTokens: number
  /** Answers by what became of their reasoning. */
  thinking: Record<Thinking, number>
}

/** Bad rows that are named one by one. */
export const maxNamed = 20
/** Different reasons that are told apart; the rest count as one. */
const maxReasons = 100
/** After this many rows it is plain when most are bad. */
const earlyRows = 1000

export function newSummary(name: string, files: string[]): SourceSummary {
  return {
    name,
    files,
    rows: 0,
    filtered: 0,
    tooLong: 0,
    bad: 0,
    badRows: [],
    badReasons: {},
    documents: 0,
    validationDocuments: 0,
    truncated: 0,
    tokens: 0,
    trainedTokens: 0,
    thinking: { given: 0, added: 0, opened: 0, none: 0, unclosed: 0 },
  }
}

export function countBad(summary: SourceSummary, { file, fileRow, line, problem = '' }: RowOutcome): void {
  summary.bad++
  const { badReasons, badRows } = summary
  const known = Object.hasOwn(badReasons, problem) || Object.keys(badReasons).length < maxReasons
  const reason = known ? problem : 'other reasons'
  badReasons[reason] = (badReasons[reason] ?? 0) + 1
  if (badRows.length < maxNamed) {
    badRows.push({ file, row: fileRow, ...(line !== undefined && { line }), reason: problem })
  }
}

/**
 * @param ended - every row was read; before that only a run that goes wrong altogether is stopped
 * @throws ERR_DATA when more rows are bad than `maxBadRows` allows
 */
export function refuseTooManyBad(summary: SourceSummary, maxBadRows: number, ended: boolean): void {
  const { rows, filtered, bad } = summary
  const wanted = rows - filtered
  const limit = ended ? maxBadRows : Math.max(maxBadRows, 0.5)
  if (bad <= limit * wanted || (!ended && rows < earlyRows)) return
  const reasons = Object.entries(summary.badReasons).sort(([, a], [, b]) => b - a)
  const listed = reasons.slice(0, 10).map(([reason, count]) => `  ${count} × ${reason}${firstPlace(summary, reason)}`)
  throw new BranchMergeError(
    'ERR_DATA',
    `Expected at most ${percent(maxBadRows)} of the rows of "${summary.name}" to be unusable (maxBadRows) but ${bad} of ` +
      `${wanted} are (${percent(bad / wanted)}). Correct the rows or the options of the source:\n${listed.join('\n')}`,
  )
}

function firstPlace({ badRows }: SourceSummary, reason: string): string {
  const found = badRows.find((bad) => bad.reason === reason)
  return found ? `, first in ${placeText(found)}` : ''
}

/** `math.jsonl, row 3 (line 4)` */
export const placeText = ({ file, row, line }: BadRowPlace): string =>
  `${file}, row ${row}${line === undefined ? '' : ` (line ${line})`}`

const percent = (fraction: number): string => `${Number((fraction * 100).toPrecision(3))} %`
