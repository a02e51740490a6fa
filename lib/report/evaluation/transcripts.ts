import { compareText } from '../../evaluate/analysis/compareText.js'
import type { EvaluationResults } from '../../evaluate/analysis/results.js'
import type { Transcript } from '../../evaluate/readOutcomes.js'
import type { VerdictStatus } from '../../grading/verdict.js'

/** What the page embeds, with short names: there are many. */
interface Embedded {
  /** Places in the lists of benchmarks and models. */
  b: number
  m: number
  q: string
  t: number
  status: VerdictStatus
  rule: string
  tokens: number | null
  /** Absent where the benchmark's texts are not to be shown. */
  texts?: Record<'prompt' | 'reasoning' | 'text' | 'reference', string> & { extracted: string | null }
}

export interface ChosenTranscripts {
  /** JSON of each, in the order of benchmarks, questions, models and trials. */
  json: readonly string[]
  /** How many there are, embedded or not. */
  all: number
  /** Keys of questions of which at least one transcript is embedded. */
  questions: ReadonlySet<string>
}

/** A longer text loses its middle. 32,768 tokens of prose are about 130,000 characters. */
const mostCharacters = 200_000

export const questionKey = (benchmark: string, question: string): string => JSON.stringify([benchmark, question])

/**
 * Reads all transcripts and keeps as many as fit in `mostBytes`: first of each model and question that a difference names,
 * one right and one wrong; then the others of these questions; then any. Those that come first are preferred. Memory is
 * bounded by `mostBytes` and one transcript.
 */
export async function chooseTranscripts(
  transcripts: Iterable<Transcript> | AsyncIterable<Transcript>,
  results: EvaluationResults,
  mostBytes: number,
): Promise<ChosenTranscripts> {
  const changed = changedQuestions(results)
  const confidential = new Set(results.benchmarks.flatMap((each) => (each.confidential ? [each.name] : [])))
  const places = {
    b: new Map(results.benchmarks.map(({ name }, i) => [name, i])),
    m: new Map(results.models.map((name, i) => [name, i])),
  }
  const firsts = new Set<string>()
  const kept: Kept[][] = [[], [], []]
  let bytes = 0
  let all = 0
  for await (const transcript of transcripts) {
    const { benchmark, question, model, status, trial } = transcript
    const [b, m] = [places.b.get(benchmark), places.m.get(model)]
    if (b === undefined || m === undefined) continue
    all++
    const key = questionKey(benchmark, question)
    const kind = JSON.stringify([key, model, status === 'correct'])
    const rank = !changed.has(key) ? 2 : firsts.has(kind) ? 1 : 0
    // Where nothing of this rank would stay, its text need not be prepared.
    if (bytes >= mostBytes && kept.slice(rank + 1).every((each) => each.length === 0)) continue
    firsts.add(kind)
    const json = inScript(embedded(transcript, b, m, confidential.has(benchmark)))
    const each = { json, bytes: Buffer.byteLength(json) + 2, b, question, m, trial, key }
    kept[rank]?.push(each)
    bytes += each.bytes
    while (bytes > mostBytes) bytes -= kept.findLast((of) => of.length > 0)?.pop()?.bytes ?? 0
  }
  const sorted = kept
    .flat()
    .sort((a, b) => a.b - b.b || compareText(a.question, b.question) || a.m - b.m || a.trial - b.trial)
  return { json: sorted.map(({ json }) => json), all, questions: new Set(sorted.map(({ key }) => key)) }
}

interface Kept {
  json: string
  bytes: number
  b: number
  question: string
  m: number
  trial: number
  key: string
}

const changedQuestions = ({ differences }: EvaluationResults): Set<string> =>
  new Set(
    differences.flatMap(({ benchmark, gained, lost }) =>
      [...gained, ...lost].map(({ question }) => questionKey(benchmark, question)),
    ),
  )

function embedded(transcript: Transcript, b: number, m: number, confidential: boolean): Embedded {
  const { question, trial, status, rule, tokens, prompt, reasoning, text, reference, extracted } = transcript
  const shown = { b, m, q: question, t: trial, status, rule: visible(rule), tokens }
  if (confidential) return shown
  return {
    ...shown,
    texts: {
      prompt: visible(prompt),
      reasoning: visible(reasoning),
      text: visible(text),
      reference: visible(reference),
      extracted: extracted === null ? null : visible(extracted),
    },
  }
}

/** Shortened, with escapes for characters that nobody sees or that turn the direction of writing; line feeds and tabs stay. */
function visible(text: string): string {
  const half = mostCharacters / 2
  const left = text.length - mostCharacters
  const short = left > 0 ? `${text.slice(0, half)}\n[${left} characters are left out here]\n${text.slice(-half)}` : text
  return short.replace(/[^\P{Cc}\n\t]|[\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (c) => `\\u{${c.codePointAt(0)?.toString(16)}}`)
}

/** JSON that no HTML parser can leave: no `<`, so neither an end tag nor a comment can begin in it. */
export const inScript = (value: unknown): string =>
  JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
