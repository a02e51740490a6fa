import { readTokenizerFiles } from '../../checkpoint/tokenizerFiles.js'
import { inThreads } from '../../threads/inThreads.js'
import { WorkerPool } from '../../threads/workerPool.js'
import { withAnswersLeft } from '../answersLeft.js'
import type { Candidate } from '../candidate.js'
import type { Outcome, Step, StepContext, StepKind } from '../step.js'
import { type Judged, type Judgement, QualityJudge } from './judge.js'
import { defaultForeignShare, defaultLimits, type QualityOptions } from './qualityOptions.js'
import type { QualityWorkerData } from './qualityWorker.js'

/** Takes out answers that are incomplete, too long, that repeat themselves, mix languages or decline. */
export const quality: StepKind<QualityOptions> = {
  columns: () => [],
  check({ length }, problems, path, { hasTokenizer }) {
    if (!length) return
    if (!hasTokenizer) {
      problems.add(
        [...path, 'length'],
        'Expected tokenizer in the recipe, or --tokenizer: tokens are those of the student',
        {
          key: true,
        },
      )
    }
    for (const [name, { min = 0, max = Number.POSITIVE_INFINITY }] of Object.entries(length)) {
      if (min <= max) continue
      problems.add([...path, 'length', name], `Expected min up to max but received ${min} and ${max}`)
    }
  },
  describe: (options) => describeQuality(options).join(', '),
  open: openQuality,
}

function describeQuality({ finish, reasoning, length, repetition, languages, refusals }: QualityOptions): string[] {
  const said: string[] = ['complete answers']
  if (finish) said.push(`finish ${finish.join(' or ')}`)
  if (reasoning === 'required') said.push('reasoning')
  for (const [name, { min, max }] of Object.entries(length ?? {})) {
    said.push(`${name} ${min === undefined ? '' : `${min} to `}${max ?? 'any number of'} tokens`)
  }
  if (repetition) {
    const { runs, lines, loop } = { ...defaultLimits, ...(repetition === true ? {} : repetition) }
    said.push(`repetition up to ${runs} of runs, ${lines} of lines, loops below ${loop} words`)
  }
  if (languages)
    said.push(`other scripts up to ${(languages === true ? undefined : languages.share) ?? defaultForeignShare}`)
  if (refusals) said.push('no refusals')
  return said
}

async function openQuality(options: QualityOptions, context: StepContext): Promise<Step> {
  const tokenizer = options.length && context.tokenizer ? await readTokenizerFiles(context.tokenizer) : undefined
  // What is wrong with a tokenizer is told here, before there are threads.
  const judge = new QualityJudge(options, tokenizer)
  const readsTexts = options.length ?? options.repetition ?? options.languages
  if (!readsTexts) return { apply: (portion) => portion.map((row) => outcomeOf(row, judge.judge(judgedOf(row)))) }
  const pool = new WorkerPool<Judged[], Judgement[]>({
    file: 'select/quality/qualityWorker.js',
    does: 'judges answers',
    workerData: { options, tokenizer } satisfies QualityWorkerData,
    threads: context.threads,
    signal: context.signal,
  })
  return {
    async apply(portion) {
      const judgements = await inThreads(pool, portion.map(judgedOf))
      return portion.map((row, i) => outcomeOf(row, judgements[i] as Judgement))
    },
    close: () => pool.close(),
  }
}

const judgedOf = ({ question, answers }: Candidate): Judged => ({
  question,
  answers: answers.map(({ reasoning, text, closed, finish }) => ({ reasoning, text, closed, finish })),
})

const outcomeOf = (row: Candidate, { question, answers }: Judgement): Outcome =>
  question ? { rejected: question } : withAnswersLeft(row, answers)
