import { promptBound } from '../../asking/promptBound.js'
import type { PlannedEvaluation } from '../../evaluate/evaluate.js'
import { askedQuestions } from '../../evaluate/tasks.js'
import { formatCount, formatCountOf, formatTable, printable } from '../../text/format.js'

/** How much an evaluation asks. */
export interface EvaluationPlanRecord {
  out: string
  models: { name: string; place: string; highestCost: number | null }[]
  benchmarks: {
    name: string
    kind: string
    /** Of prompts and grading. */
    version: string
    questions: number
    trials: number
    /** Tokens of an answer at most. */
    maxTokens: number
    notes: readonly string[]
  }[]
  /** Of all models together; answers that are stored among them. */
  answers: number
  /** An estimate, at four bytes a token. */
  promptTokens: number
  /** If every answer takes all that it may. */
  highestCompletionTokens: number
  /** By the prices, if every answer takes all that it may; null where no model has one. */
  highestCost: number | null
}

const bytesOfToken = 4

export function evaluationPlanRecord({ resolved, examinations }: PlannedEvaluation): EvaluationPlanRecord {
  const { models, seed, out } = resolved
  const parts = examinations.map(({ benchmark, trials, limit, sampling }) => {
    const questions = askedQuestions(benchmark, limit)
    const bytes = questions.reduce((sum, question) => sum + promptBound(question.prompt(0, seed)), 0)
    return {
      benchmark,
      questions: questions.length,
      trials,
      maxTokens: sampling.maxTokens,
      prompt: Math.ceil(bytes / bytesOfToken) * trials,
      completion: questions.length * trials * sampling.maxTokens,
    }
  })
  const sum = (of: (part: (typeof parts)[number]) => number) => parts.reduce((total, part) => total + of(part), 0)
  const [prompt, completion] = [sum((part) => part.prompt), sum((part) => part.completion)]
  const priced = models.map(({ name, place, price }) => ({
    name,
    place,
    highestCost: price ? (prompt * price.input + completion * price.output) / 1e6 : null,
  }))
  return {
    out,
    models: priced,
    benchmarks: parts.map(({ benchmark: { name, kind, version, notes }, questions, trials, maxTokens }) => ({
      name,
      kind,
      version,
      questions,
      trials,
      maxTokens,
      notes,
    })),
    answers: models.length * sum(({ questions, trials }) => questions * trials),
    promptTokens: models.length * prompt,
    highestCompletionTokens: models.length * completion,
    highestCost: priced.some(({ highestCost }) => highestCost !== null)
      ? priced.reduce((total, { highestCost }) => total + (highestCost ?? 0), 0)
      : null,
  }
}

export function evaluationPlanText(plan: EvaluationPlanRecord): string {
  const { models, benchmarks, answers, promptTokens, highestCompletionTokens, highestCost } = plan
  const rows = benchmarks.map(({ name, version, questions, trials, maxTokens }) => [
    printable(name),
    version,
    formatCountOf(questions, 'question'),
    formatCountOf(trials, 'trial'),
    `at most ${formatCount(maxTokens)} tokens each`,
  ])
  const cost = highestCost === null ? '' : `, ${highestCost.toFixed(2)} at most by your prices`
  return [
    `models      ${models.map(({ name }) => printable(name)).join(', ')}`,
    ...formatTable(rows, [2, 3])
      .split('\n')
      .map((line, i) => `${i === 0 ? 'benchmarks' : '          '}  ${line}`),
    `answers     ${formatCount(answers)}: prompts of about ${formatCount(promptTokens)} tokens, answers of at most ` +
      `${formatCount(highestCompletionTokens)}${cost}`,
    ...benchmarks.flatMap(({ name, notes }) => notes.map((note) => `note        ${printable(name)}: ${note}`)),
  ].join('\n')
}
