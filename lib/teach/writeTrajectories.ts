import { basename, dirname } from 'node:path'
import { type Place, RecordReader, readPlacedRecords } from '../asking/recordFile.js'
import { sync } from '../files/durableFiles.js'
import { removeAbandoned } from '../files/owners.js'
import { WholeLines } from '../files/wholeLines.js'
import { writeWhole } from '../files/writeWhole.js'
import type { OutputPaths } from './outputPaths.js'
import type {
  CheckRecord,
  OutputFile,
  TaughtAnswer,
  TaughtFailure,
  TeachingCounts,
  TeachingManifest,
} from './records.js'
import type { ReasoningForm } from './teachingOptions.js'
import type { TeachingQuestion } from './teachingQuestions.js'
import type { TeachingStore } from './teachingStore.js'
import { trajectoryLine } from './trajectory.js'

/** Keys of the answers to a question that count, in the order of the attempts; undefined for one that is missing. */
export type KeysOf = (question: TeachingQuestion) => readonly (string | undefined)[]

export interface WriteOptions {
  store: TeachingStore
  questions: readonly TeachingQuestion[]
  keysOf: KeysOf
  reasoning: ReasoningForm
  paths: OutputPaths
  /** All of the manifest that is known without the files. */
  manifest: Omit<TeachingManifest, 'counts' | 'files' | 'tokens' | 'asked' | 'complete' | 'cost'>
  costOf: (prompt: number, completion: number) => number | null
  signal: AbortSignal
}

/** Answers that are read together. */
const answersAtOnce = 64

const kinds = ['trajectories', 'rejected', 'truncated'] as const

/**
 * Writes what became of the answers, in the order of the questions and attempts: the same answers give the same bytes. The
 * manifest comes last.
 *
 * @throws ERR_OUTPUT_WRITE or ERR_DISK_FULL; the signal's reason. What was there before stays then.
 */
export async function writeTrajectories(options: WriteOptions): Promise<TeachingManifest> {
  const { store, paths, signal } = options
  const answerPlaces = await readPlaces(store.answersPath, signal)
  const checkPlaces = await readPlaces(store.checksPath, signal)
  for (const path of [...kinds.map((kind) => paths[kind]), paths.manifest]) {
    await removeAbandoned(dirname(path), `${basename(path)}.`)
  }
  const [answers, checks] = [await RecordReader.open(store.answersPath), await RecordReader.open(store.checksPath)]
  const opened: WholeLines[] = []
  try {
    for (const kind of kinds) opened.push(await WholeLines.create(paths[kind]))
    const [kept, rejected, truncated] = opened as [WholeLines, WholeLines, WholeLines]
    const files = { accepted: kept, rejected, truncated }
    const tally = new Tally(options)
    let waiting: { question: TeachingQuestion; place: Place; checkPlace: Place }[] = []
    let answered: TeachingQuestion | undefined
    const write = async () => {
      const read = waiting
      waiting = []
      const found = await answers.readAll<TaughtAnswer>(read.map(({ place }) => place))
      const checked = await checks.readAll<CheckRecord>(read.map(({ checkPlace }) => checkPlace))
      for (const [i, { question }] of read.entries()) {
        const [answer, check] = [found[i] as TaughtAnswer, checked[i] as CheckRecord]
        tally.add(answer, check)
        if (check.decision === 'accepted' && question !== answered) {
          tally.answered++
          answered = question
        }
        await files[check.decision].add(trajectoryLine(answer, check, question, options.reasoning))
      }
    }
    for (const question of options.questions) {
      signal.throwIfAborted()
      for (const key of options.keysOf(question)) {
        const [place, checkPlace] = key === undefined ? [] : [answerPlaces.get(key), checkPlaces.get(key)]
        if (place && checkPlace) waiting.push({ question, place, checkPlace })
        else tally.missing++
        if (waiting.length >= answersAtOnce) await write()
      }
    }
    await write()
    const hashes: string[] = []
    for (const file of opened) hashes.push(await file.complete())
    signal.throwIfAborted()
    // The trajectories last: what is new beside them is not taken for theirs.
    for (const file of [truncated, rejected, kept]) await file.publish()
    const written = Object.fromEntries(
      kinds.map((kind, i) => [kind, outputFile(opened[i] as WholeLines, hashes[i] ?? '')]),
    )
    const manifest = { ...options.manifest, ...tally.record(), files: written as unknown as TeachingManifest['files'] }
    await writeWhole(paths.manifest, `${JSON.stringify(manifest, null, 2)}\n`)
    await sync(dirname(paths.manifest))
    return manifest
  } finally {
    await answers.close()
    await checks.close()
    for (const file of opened) await file.discard()
  }
}

const outputFile = ({ path, rows, bytes }: WholeLines, sha256: string): OutputFile => ({
  name: basename(path),
  rows,
  bytes,
  sha256,
})

class Tally {
  missing = 0
  answered = 0
  private answers = 0
  accepted = 0
  private truncated = 0
  private readonly rejected: Record<string, number> = {}
  private readonly tokens = { prompt: 0, completion: 0 }
  private first: string | null = null
  private last: string | null = null

  constructor(private readonly options: WriteOptions) {}

  add({ tokens, times }: TaughtAnswer, check: CheckRecord): void {
    this.answers++
    this.tokens.prompt += tokens.prompt ?? 0
    this.tokens.completion += tokens.completion ?? 0
    if (this.first === null || times.asked < this.first) this.first = times.asked
    if (this.last === null || times.asked > this.last) this.last = times.asked
    if (check.decision === 'truncated') this.truncated++
    else if (check.decision === 'rejected') this.rejected[check.reason] = (this.rejected[check.reason] ?? 0) + 1
    else this.accepted++
  }

  record(): Pick<TeachingManifest, 'complete' | 'asked' | 'counts' | 'tokens' | 'cost'> {
    const { answers, accepted, truncated, missing, tokens, answered } = this
    const rejected = Object.fromEntries(Object.entries(this.rejected).sort())
    const questions = this.options.questions.length
    const counts: TeachingCounts = { questions, answered, answers, accepted, rejected, truncated, missing }
    const cost = this.options.costOf(tokens.prompt, tokens.completion)
    return { complete: missing === 0, asked: { first: this.first, last: this.last }, counts, tokens, cost }
  }
}

/** By key: where the last record lies, failures left out. */
async function readPlaces(path: string, signal: AbortSignal): Promise<Map<string, Place>> {
  const places = new Map<string, Place>()
  for await (const { record, offset, bytes } of readPlacedRecords<CheckRecord | TaughtFailure>(path, { signal })) {
    if (!('error' in record)) places.set(record.key, { offset, bytes })
  }
  return places
}
