import type { Prompt } from '../engines/generation.js'
import type { Benchmark, Question } from './benchmarks/benchmark.js'
import { answerKey, requestSeed } from './store/askingKey.js'

/** One answer that is wanted. */
export interface Task {
  asking: string
  model: string
  benchmark: Benchmark
  question: Question
  /** From 0. */
  trial: number
  prompt: Prompt
  requestSeed: number
  key: string
}

/** How much of a benchmark is asked. */
export interface Extent {
  trials: number
  /** The first questions only; null for all. */
  limit: number | null
}

/**
 * The answers that are wanted of a model on a benchmark: the first trial of every question, then the second, so that what was
 * cut off can be compared.
 */
export function* tasksOf(
  benchmark: Benchmark,
  { trials, limit }: Extent,
  { asking, root, model, seed }: { asking: string; root: string; model: string; seed: number },
): Generator<Task> {
  for (let trial = 0; trial < trials; trial++) {
    for (const question of askedQuestions(benchmark, limit)) {
      const prompt = question.prompt(trial, seed)
      yield {
        asking,
        model,
        benchmark,
        question,
        trial,
        prompt,
        requestSeed: requestSeed(seed, benchmark.name, question.id, trial),
        key: answerKey(root, question.id, trial, prompt),
      }
    }
  }
}

export const askedQuestions = (benchmark: Benchmark, limit: number | null): readonly Question[] =>
  limit === null ? benchmark.questions : benchmark.questions.slice(0, limit)

/** Tokens that a prompt has at most: no token is shorter than a byte, but those that a template adds. */
export function promptBound(prompt: Prompt): number {
  const texts = prompt.messages ? prompt.messages.map(({ content }) => content) : [prompt.text]
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text) + tokensOfMessage, 0)
}

/** Role, separators and an empty reasoning block that templates write around a message. */
const tokensOfMessage = 32
