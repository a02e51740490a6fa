import { setMaxListeners } from 'node:events'
import { readTests } from '../../grading/programs/readTests.js'
import { openSandbox } from '../../sandbox/openSandbox.js'
import type { SandboxLevel } from '../../sandbox/program.js'
import { inThreads } from '../../threads/inThreads.js'
import { WorkerPool } from '../../threads/workerPool.js'
import { withAnswersLeft } from '../answersLeft.js'
import type { Answer, Candidate } from '../candidate.js'
import type { Outcome, Rejection, Step, StepContext, StepKind } from '../step.js'
import { priorityOf } from '../steps/priority.js'
import type { MathAnswer } from './mathWorker.js'
import { completionOf, type Verification, verifyChoice, verifyProgram } from './verdict.js'

/** How answers are compared with the reference, and which of them stay. */
export interface VerifyOptions {
  /** `math`: equal in value to `reference`; `choice`: its letter, or the text out of `choices`; `programs`: passes `tests`. */
  by: 'math' | 'choice' | 'programs'
  /** What becomes of answers of which nobody can tell: no reference, one that cannot be compared, no tests. */
  unverifiable: 'keep' | 'reject'
  /** Share of the wrong answers that stay, drawn by seed, 0 to 1. Default: 0. */
  wrong?: number
  /** Of each test of a program, by the clock, above 0 and up to 600. Default: 6. */
  seconds?: number
  /** Where programs run; docs/evaluate-sandbox.md. */
  sandbox?: { level?: SandboxLevel; python?: string }
}

/** Sets the verdict of every answer, and takes out those that are wrong or cannot be verified. */
export const verify: StepKind<VerifyOptions> = {
  columns: () => [],
  check({ by, seconds, sandbox }, problems, path) {
    if (by === 'programs') return
    for (const [name, value] of Object.entries({ seconds, sandbox })) {
      if (value !== undefined) problems.add([...path, name], `Expected ${name} only with by: programs`, { key: true })
    }
  },
  describe({ by, unverifiable, wrong = 0 }) {
    const kept = [
      'correct',
      ...(wrong > 0 ? [`${wrong} of the wrong`] : []),
      ...(unverifiable === 'keep' ? [unverified] : []),
    ]
    return `${kept.join(' and ')} by ${by}`
  },
  async open(options, context) {
    const verifier = await openVerifier(options, context)
    const { wrong = 0 } = options
    const judge = (row: Candidate, answer: Answer, { verdict, detail }: Verification): Rejection | undefined => {
      if (verdict === 'correct') return undefined
      if (verdict === 'unverifiable')
        return options.unverifiable === 'keep' ? undefined : { reason: unverified, detail }
      const drawn = priorityOf(context.seed, context.place, row.source, row.row, answer.index) < wrong * 2 ** 48
      return drawn ? undefined : { reason: 'wrong', detail }
    }
    return {
      async apply(portion) {
        const verified = await verifier.verify(portion)
        return portion.map((row, i): Outcome => {
          const each = verified[i] as Verification[]
          const answers = row.answers.map((answer, j) => ({ ...answer, verdict: (each[j] as Verification).verdict }))
          const rejections = answers.map((answer, j) => judge(row, answer, each[j] as Verification))
          return withAnswersLeft({ ...row, answers }, rejections)
        })
      },
      close: () => verifier.close(),
    } satisfies Step
  },
}

const unverified = 'unverifiable'

/** Verifies the answers of rows; what is close at hand for a row is done once. */
interface Verifier {
  verify(portion: readonly Candidate[]): Promise<Verification[][]>
  close(): Promise<void>
}

async function openVerifier(options: VerifyOptions, context: StepContext): Promise<Verifier> {
  if (options.by === 'math') return mathVerifier(context)
  if (options.by === 'programs') return await programVerifier(options, context)
  return {
    verify: async (portion) =>
      portion.map((row) => row.answers.map((answer) => verifyChoice(completionOf(answer), row))),
    close: async () => {},
  }
}

function mathVerifier({ threads, signal }: StepContext): Verifier {
  const [file, does] = ['select/verification/mathWorker.js', 'compares answers']
  const pool = new WorkerPool<MathAnswer[], Verification[]>({ file, does, workerData: undefined, threads, signal })
  return {
    async verify(portion) {
      const answers = portion.flatMap(({ reference, answers }) =>
        answers.map(({ text, closed, finish }) => ({ text, closed, finish, reference })),
      )
      const verified = await inThreads(pool, answers)
      let next = 0
      return portion.map((row) => row.answers.map(() => verified[next++] as Verification))
    },
    close: () => pool.close(),
  }
}

async function programVerifier(
  { seconds, sandbox }: VerifyOptions,
  { threads, signal }: StepContext,
): Promise<Verifier> {
  const runner = await openSandbox({ workers: threads, minimumLevel: sandbox?.level, python: sandbox?.python, signal })
  // Every program that waits listens to it.
  const aborted = AbortSignal.any([signal])
  setMaxListeners(0, aborted)
  const verifyRow = async (row: Candidate): Promise<Verification[]> => {
    const tests = readTests(row.tests)
    const verified: Verification[] = []
    for (const answer of row.answers) {
      verified.push(await verifyProgram(completionOf(answer), tests, runner, { seconds, signal: aborted }))
    }
    return verified
  }
  return { verify: (portion) => eachOf(portion, 2 * threads, verifyRow), close: () => runner.close() }
}

/** Works on some of the items at once: tests of all rows together may be many megabytes. */
async function eachOf<Item, Result>(
  items: readonly Item[],
  width: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = new Array(items.length)
  const waiting = items.entries()
  const workOnNext = async () => {
    for (const [i, item] of waiting) results[i] = await work(item)
  }
  await Promise.all(Array.from({ length: width }, workOnNext))
  return results
}
