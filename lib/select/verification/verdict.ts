import { boxesIn } from '../../grading/boxed.js'
import { type Choices, gradeChoice } from '../../grading/choice.js'
import type { Completion } from '../../grading/completion.js'
import { gradeMath } from '../../grading/gradeMath.js'
import { gradeFunction, gradeStdin, type ProgramGradeOptions } from '../../grading/programs/gradeProgram.js'
import type { readTests } from '../../grading/programs/readTests.js'
import type { Verdict } from '../../grading/verdict.js'
import type { ProgramRunner } from '../../sandbox/program.js'
import type { Answer, Candidate } from '../candidate.js'

/** What an answer is, and why, in few words. */
export interface Verification {
  verdict: NonNullable<Answer['verdict']>
  detail: string
}

const unverifiable = (detail: string): Verification => ({ verdict: 'unverifiable', detail })

/** An answer as graders take it: what stands after the reasoning decides. */
export const completionOf = ({ text, closed, finish }: Pick<Answer, 'text' | 'closed' | 'finish'>): Completion => ({
  reasoning: '',
  answer: closed ? text : '',
  full: text,
  closed,
  truncated: finish === 'length',
})

/** Answers that NuminaMath has for questions without one. */
const noAnswer = /^(?:proof|not ?found)$/i

/** The answer of a reference that is a worked solution is in its last box. */
export function goldOf(reference: string | undefined): string | undefined {
  const gold = (reference === undefined ? undefined : (boxesIn(reference).at(-1) ?? reference))?.trim()
  return gold === undefined || gold === '' || noAnswer.test(gold) ? undefined : gold
}

export function verifyMathAnswer(completion: Completion, reference: string | undefined): Verification {
  const gold = goldOf(reference)
  if (gold === undefined) return unverifiable('there is no reference answer')
  return verificationOf(gradeMath(completion, gold, 'lenient'), gold)
}

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
/** Letters of a question that has its options in its text. */
const lettersInQuestion = letters.slice(0, 10)

/** The letter of a reference, or the option whose text it is. */
export function choicesOf({ reference = '', choices }: Pick<Candidate, 'reference' | 'choices'>): Choices | undefined {
  const bare = reference.trim()
  const letter = /^\(?([A-Z])(?:[).:]|$)/.exec(bare)?.[1]
  const shown = choices ? letters.slice(0, choices.length) : lettersInQuestion
  const byText = choices ? choices.findIndex((choice) => choice.trim() === bare) : -1
  const right = byText >= 0 ? byText : letter === undefined ? -1 : shown.indexOf(letter)
  return right < 0 ? undefined : { letters: shown, texts: choices, right }
}

export function verifyChoice(completion: Completion, row: Pick<Candidate, 'reference' | 'choices'>): Verification {
  const choices = choicesOf(row)
  if (!choices) return unverifiable('the reference names no option')
  return verificationOf(gradeChoice(completion, choices), choices.letters[choices.right] as string)
}

export async function verifyProgram(
  completion: Completion,
  tests: ReturnType<typeof readTests>,
  runner: ProgramRunner,
  options: ProgramGradeOptions,
): Promise<Verification> {
  if ('problem' in tests) return unverifiable(tests.problem)
  if (tests.kind === 'stdin') {
    return verificationOf(await gradeStdin(completion, tests.tests, runner, options), 'its tests')
  }
  const names = [`Solution.${tests.name}`, tests.name]
  const graded = await gradeFunction(completion, tests.tests, names, runner, { ...options, unwrap: true })
  return verificationOf(graded, 'its tests')
}

/** Who gives no answer is wrong: the reference has one. */
function verificationOf({ status, extracted, rule, detail }: Verdict, reference: string): Verification {
  if (status === 'correct') return { verdict: 'correct', detail: rule }
  if (status === 'unsupported') return unverifiable(`${rule}, ${short(extracted ?? '')} and ${short(reference)}`)
  const given = extracted === null ? rule : `${short(extracted)} instead of ${short(reference)}`
  return { verdict: 'wrong', detail: detail ?? given }
}

/** In one line. */
const short = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 59)}…` : text)
