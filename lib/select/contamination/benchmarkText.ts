import { createHash } from 'node:crypto'
import { plainWords } from '../text/plainWords.js'
import { wordHashes } from '../text/wordHashes.js'

/** A question that rows must not hold. */
export interface BenchmarkQuestion {
  /** As the user calls the benchmark. */
  benchmark: string
  id: string
  text: string
}

/** What a text has in common with a benchmark. */
export interface Overlap {
  benchmark: string
  question: string
  /** The words that both have; undefined where the whole questions are the same. */
  words: string | undefined
}

/**
 * The runs of words of benchmarks' questions, and the questions as a whole. Memory grows with the benchmarks alone.
 */
export class BenchmarkText {
  /** The first question that has a run of words. */
  private readonly runs = new Map<string, BenchmarkQuestion>()
  private readonly whole = new Map<string, BenchmarkQuestion>()
  /** Words that some run begins with: most words of other texts are none, and need no run of theirs looked up. */
  private readonly firstWords = new Set<string>()

  constructor(
    questions: Iterable<BenchmarkQuestion>,
    private readonly length: number,
  ) {
    for (const question of questions) {
      const words = plainWords(question.text)
      const key = wholeKey(question.text)
      if (key !== undefined && !this.whole.has(key)) this.whole.set(key, question)
      for (let i = 0; i + length <= words.length; i++) {
        const run = words.slice(i, i + length).join(' ')
        if (this.runs.has(run)) continue
        this.runs.set(run, question)
        this.firstWords.add(words[i] as string)
      }
    }
  }

  /** Distinct runs of words. */
  get size(): number {
    return this.runs.size
  }

  /** The first run of words that a question has, or the whole. Takes time in proportion to the text's length. */
  find(text: string): Overlap | undefined {
    const words = plainWords(text)
    const key = wholeKey(text)
    const same = key === undefined ? undefined : this.whole.get(key)
    if (same) return { benchmark: same.benchmark, question: same.id, words: undefined }
    for (let i = 0; i + this.length <= words.length; i++) {
      if (!this.firstWords.has(words[i] as string)) continue
      const run = words.slice(i, i + this.length).join(' ')
      const question = this.runs.get(run)
      if (question) return { benchmark: question.benchmark, question: question.id, words: run }
    }
    return undefined
  }
}

/** Of words and operators, so that neither spaces nor punctuation matter; undefined for a text without any. */
function wholeKey(text: string): string | undefined {
  const words = wordHashes(text)
  return words.length === 0 ? undefined : createHash('sha256').update(words).digest('base64')
}
