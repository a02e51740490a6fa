import { inThreads } from '../../threads/inThreads.js'
import { WorkerPool } from '../../threads/workerPool.js'
import { withAnswersLeft } from '../answersLeft.js'
import type { Answer, Candidate } from '../candidate.js'
import type { Outcome, Rejection, Step, StepContext, StepKind } from '../step.js'
import { GrowingWords } from './growingWords.js'
import { NearIndex } from './nearIndex.js'
import { bandingFor } from './sketch.js'
import type { SketchWorkerData } from './sketchWorker.js'
import { type TextKey, textKey } from './textKey.js'

/** Which rows are the same as one before. */
export interface DuplicatesOptions {
  /** What is compared. Of answers, reasoning is a part, and those that are left keep their row. Default: question. */
  of?: 'question' | 'answer'
  /** Jaccard similarity of the sets of runs of words from which two texts are near duplicates, 0.3 to 1; false for exact ones alone. Default: 0.8. */
  near?: number | false
  /** Words of a run, 1 to 20. Default: 5. */
  words?: number
}

const settled = ({ of = 'question', near = 0.8, words = 5 }: DuplicatesOptions): Required<DuplicatesOptions> => ({
  of,
  near,
  words,
})

/** Keeps the first of rows that ask, or answer, the same, in all sources together. */
export const duplicates: StepKind<DuplicatesOptions> = {
  columns: () => [],
  check({ near, words }, problems, path) {
    if (near !== false || words === undefined) return
    problems.add([...path, 'words'], 'Expected words only where near is a number', { key: true })
  },
  describe(options) {
    const { of, near, words } = settled(options)
    return `${of}s once${near === false ? '' : `, and those of similarity ${near} in runs of ${words} words`}`
  },
  open: (options, context) => openDuplicates(settled(options), context),
}

function openDuplicates({ of, near, words }: Required<DuplicatesOptions>, { threads, signal }: StepContext): Step {
  const pool =
    near === false
      ? undefined
      : new WorkerPool<string[], TextKey[]>({
          file: 'select/duplicates/sketchWorker.js',
          does: 'compares texts',
          workerData: { threshold: near, words } satisfies SketchWorkerData,
          threads,
          signal,
        })
  const known = new KnownTexts(near === false ? undefined : near)
  return {
    async apply(portion) {
      const texts = portion.flatMap((row) => (of === 'question' ? [row.question] : row.answers.map(textOf)))
      const keys = pool ? await inThreads(pool, texts) : texts.map((text) => textKey(text, undefined))
      let next = 0
      return portion.map((row): Outcome => {
        const rejections = (of === 'question' ? [0] : row.answers).map(() => known.add(keys[next++] as TextKey, row))
        if (of === 'answer') return withAnswersLeft(row, rejections)
        return rejections[0] ? { rejected: rejections[0] } : { kept: row }
      })
    },
    ...(pool && { close: () => pool.close() }),
  }
}

const textOf = ({ reasoning, text }: Answer): string => (reasoning === undefined ? text : `${reasoning}\n${text}`)

/** The texts that stay. */
class KnownTexts {
  private readonly exact = new Map<string, number>()
  private readonly near: NearIndex | undefined
  /** Of each text its row, and its source by number. */
  private readonly rows = new GrowingWords()
  private readonly sources = new GrowingWords()
  private readonly sourceNames: string[] = []

  constructor(threshold: number | undefined) {
    this.near = threshold === undefined ? undefined : new NearIndex(threshold, bandingFor(threshold))
  }

  /** Why a text does not stay; else it is known from now on. */
  add({ exact, sketch }: TextKey, row: Candidate): Rejection | undefined {
    const same = this.exact.get(exact)
    if (same !== undefined) return { reason: 'duplicate', detail: `of ${this.placeOf(same)}` }
    const match = sketch && this.near?.find(sketch)
    if (match) {
      const detail = `similarity ${match.similarity.toFixed(2)} to ${this.placeOf(match.text)}`
      return { reason: 'near-duplicate', detail }
    }
    const number = this.rows.length
    this.rows.push(row.row)
    this.sources.push(this.numberOf(row.source))
    this.exact.set(exact, number)
    if (sketch) this.near?.add(sketch, number)
    return undefined
  }

  private numberOf(source: string): number {
    const known = this.sourceNames.indexOf(source)
    return known < 0 ? this.sourceNames.push(source) - 1 : known
  }

  private placeOf(number: number): string {
    return `row ${this.rows.at(number)} of ${this.sourceNames[this.sources.at(number)]}`
  }
}
