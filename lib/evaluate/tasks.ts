import type { AskedTask } from '../asking/ask.js'
import type { Question } from '../questions/question.js'
import type { Benchmark } from './benchmarks/benchmark.js'
import { answerKey, requestSeed } from './store/askingKey.js'

/** One answer that is wanted. */
export interface Task extends AskedTask {
  asking: string
  benchmark: Benchmark
  question: Question
  /** From 0. */
  trial: number
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
