import type { Path, Problems } from '../../recipe/problems.js'
import type { Answer, Candidate } from '../candidate.js'
import { type Check, type Condition, checkCondition, columnsIn, compileCondition } from '../condition.js'
import type { Outcome, StepContext, StepKind } from '../step.js'
import { priorityOf } from './priority.js'

/** Which of a row's answers stay. */
export interface ChooseOptions {
  /** Only answers whose labels are so; also their `verdict`, `finish` and `closed`. */
  where?: Condition
  /** Of those that fit. `best` has the highest number as label `score`. Default: first. */
  by?: 'first' | 'shortest' | 'longest' | 'random' | 'best'
  /** With `best`: the name of a label. */
  score?: string
  /** At most so many stay, in their order. Default: 1. */
  count?: number
}

/** What can be said of answers beside the labels that a recipe maps. */
export const ownLabels = ['verdict', 'finish', 'closed', 'index'] as const

/** Keeps some of the answers of each row; a row of which none fits is taken out. */
export const choose: StepKind<ChooseOptions> = {
  columns: () => [],
  check({ where, by, score }, problems, path, { labels }) {
    if (where) checkCondition(where, problems, [...path, 'where'])
    const known = [...labels, ...ownLabels]
    const check = (name: string, at: Path) => checkLabel(name, known, problems, at)
    for (const name of where ? columnsIn(where) : []) check(name.split('.')[0] as string, [...path, 'where', name])
    if (score !== undefined) check(score, [...path, 'score'])
    if ((by === 'best') !== (score !== undefined)) {
      problems.add(path, 'Expected score, the name of a label, beside by: best, and only there')
    }
  },
  describe({ where, by = 'first', score, count = 1 }) {
    const fitting = where ? ` with ${columnsIn(where).join(', ')}` : ''
    return `${count} ${count === 1 ? 'answer' : 'answers'}${fitting}, ${score === undefined ? by : `best ${score}`}`
  },
  open(options, context) {
    const check = options.where && compileCondition(options.where)
    return { apply: (portion) => portion.map((candidate) => chosen(candidate, options, check, context)) }
  },
}

function checkLabel(name: string, known: readonly string[], problems: Problems, path: Path): void {
  if (known.includes(name)) return
  problems.add(path, `Expected a label that map.labels names, or ${ownLabels.join(', ')}, but received ${name}`)
}

function chosen(
  candidate: Candidate,
  { by = 'first', score, count = 1 }: ChooseOptions,
  check: Check | undefined,
  context: StepContext,
): Outcome {
  const failures: string[] = []
  const fitting = candidate.answers.filter((answer) => {
    const failure = check?.(labelsOf(answer))
    if (failure) failures.push(`answer ${answer.index}: ${failure.found}`)
    return failure === undefined
  })
  if (fitting.length === 0) return { rejected: { reason: 'no-answer-fits', detail: failures.join('; ') } }
  const ranks = ranksOf(fitting, by, score, candidate, context)
  const ranked = fitting.flatMap((answer, i) => (ranks[i] === undefined ? [] : [{ answer, rank: ranks[i] as number }]))
  if (ranked.length === 0) return { rejected: { reason: 'no-score', detail: `no answer has a number as ${score}` } }
  // The sort is stable: of equal ones the first comes first.
  const best = ranked.sort((a, b) => a.rank - b.rank).slice(0, count)
  const answers = best.map(({ answer }) => answer).sort((a, b) => a.index - b.index)
  return { kept: { ...candidate, answers } }
}

const labelsOf = ({ labels, verdict, finish, closed, index }: Answer): Record<string, unknown> => ({
  ...labels,
  verdict,
  finish,
  closed,
  index,
})

/** The lowest comes first; undefined cannot be chosen. */
function ranksOf(
  answers: readonly Answer[],
  by: NonNullable<ChooseOptions['by']>,
  score: string | undefined,
  { source, row }: Candidate,
  { seed, place }: StepContext,
): (number | undefined)[] {
  const length = ({ reasoning = '', text }: Answer) => reasoning.length + text.length
  switch (by) {
    case 'first':
      return answers.map(({ index }) => index)
    case 'shortest':
      return answers.map(length)
    case 'longest':
      return answers.map((answer) => -length(answer))
    case 'random':
      return answers.map(({ index }) => priorityOf(seed, place, source, row, index))
    case 'best':
      return answers.map(({ labels }) => {
        const value = labels[score as string]
        const isNumber = (typeof value === 'number' && !Number.isNaN(value)) || typeof value === 'bigint'
        return isNumber ? -Number(value) : undefined
      })
  }
}
